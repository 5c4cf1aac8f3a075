"""An HTTP proxy before a store that misbehaves on demand."""

from __future__ import annotations

import http.client
import random
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .process import HOST

# What may happen to a request.
PASS = "pass"
ERROR = "error"  # answered 500, not done
SLOW = "slow"  # done and answered late
LOST = "lost"  # done, and the connection breaks instead of an answer
SLOW_S = 0.3
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class FaultProxy:
    """`faults` maps what may happen to its share of the requests; the rest pass."""

    def __init__(self, upstream: str, seed: int = 1):
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.faults: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://{HOST}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def decide(self) -> str:
        with self._lock:
            draw, chosen = self._random.random(), PASS
            for fault, share in self.faults.items():
                if draw < share:
                    chosen = fault
                    break
                draw -= share
            self.counts[chosen] = self.counts.get(chosen, 0) + 1
            return chosen

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def log_message(self, *_):
        pass

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        fault = self.owner.decide()
        if fault == ERROR:
            self._answer(500, "Internal Server Error", [], b"<Error><Code>InternalError</Code></Error>")
            return
        if fault == SLOW:
            time.sleep(SLOW_S)
        try:
            status, reason, headers, content = self._forward(body)
        except OSError:
            self.close_connection = True
            return
        if fault == LOST:
            self.close_connection = True
            return
        self._answer(status, reason, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle

    def _forward(self, body: bytes):
        # The headers as they came, `Host` included: the signature covers it.
        connection = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() != "connection":
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.reason, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, reason: str, headers: list, content: bytes):
        self.send_response_only(status, reason)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            elif name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
