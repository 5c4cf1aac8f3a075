"""HTTP: requests as bytes over a socket, and what must hold of every answer."""

from __future__ import annotations

import http.client
import json
import socket
import time

from .door import PATIENCE_S, TOKEN, Session
from .inputs import Input, Problem

# A query ends by itself after 5 s and says so; both may come late on a busy machine.
ANSWERED_WITHIN_S = 2 * PATIENCE_S
# Of a body that becomes much: its parts wait for room.
SLOW_WITHIN_S = 9 * PATIENCE_S
_DEFECTS = ("internal", "corrupt")


def head(method: str, target: str, headers: dict[str, str]) -> bytes:
    """A request's head but for what says how its body is sent."""
    lines = [f"{method} {target} HTTP/1.1", "Host: fuzz", f"Authorization: Bearer {TOKEN}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n"


def framed(parts: list[bytes]) -> bytes:
    """A head and a body as they go over the wire."""
    first, body = parts[0], b"".join(parts[1:])
    if b"\r\nTransfer-Encoding: chunked\r\n" not in first:
        return first + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces = [body[at : at + 1_000] for at in range(0, len(body), 1_000)]
    return first + b"\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in [*pieces, b""])


class HttpSession(Session):
    def __init__(self, lake):
        self.address = ("127.0.0.1", lake.http_port)
        self.connection: socket.socket | None = None

    def send(self, input_: Input) -> str:
        request = framed(input_.parts)
        method = request.split(b" ", 1)[0].decode("latin-1")
        if self.connection is not None:
            try:
                return self._answer(request, method, input_)
            except (ConnectionError, http.client.RemoteDisconnected):
                self.close()  # it may have been closed before
        try:
            return self._answer(request, method, input_)
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            self.close()
            raise Problem(f"the connection is closed without an answer: {error!r}") from error

    def _answer(self, request: bytes, method: str, input_: Input) -> str:
        if self.connection is None:
            self.connection = socket.create_connection(self.address, timeout=ANSWERED_WITHIN_S)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        patience = SLOW_WITHIN_S if input_.slow else ANSWERED_WITHIN_S
        self.connection.settimeout(patience)
        began = time.monotonic()
        try:
            self._send(request)
            answer = http.client.HTTPResponse(self.connection, method=method)
            answer.begin()
            body, whole = _body(answer)
        except TimeoutError as error:
            self.close()
            raise Problem(f"no answer within {patience:.0f} s") from error
        except http.client.HTTPException as error:
            self.close()
            if isinstance(error, http.client.RemoteDisconnected):
                raise
            raise Problem(f"an answer that is not HTTP: {error!r}") from error
        if answer.will_close or not whole:
            self.close()
        check(answer.status, answer.headers, body, whole, input_.valid)
        slow = " slow" if time.monotonic() - began > PATIENCE_S else ""
        return f"{answer.status}{'' if whole else ' cut'}{slow}"

    def _send(self, request: bytes):
        try:
            self.connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have been answered before its end

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def _body(answer: http.client.HTTPResponse) -> tuple[bytes, bool]:
    """What came of it, and whether that is all."""
    try:
        return answer.read(), True
    except http.client.IncompleteRead as error:
        return error.partial, False
    except ConnectionResetError:
        return b"", False


def check(status: int, headers, body: bytes, whole: bool, valid: bool = False):
    shown = f"{status} {body[:1_500].decode(errors='replace')}"
    if status >= 500 and status != 504 and not (status == 503 and headers["Retry-After"]):
        raise Problem(f"answered with {shown}")
    if valid and status != 429 and not (200 <= status < 300 and whole):
        raise Problem(f"a request that is well-formed is answered with {shown}")
    kind = (headers["Content-Type"] or "").split(";")[0]
    if kind in ("application/json", "application/vnd.elasticsearch+json") and whole:
        answer = read_json(body, shown)
        if status >= 400 and not (isinstance(answer, dict) and answer.keys() & {"error", "errors", "status"}):
            raise Problem(f"an error that does not say so: {shown}")
    elif kind == "application/x-ndjson" and status == 200:
        _check_lines(body, whole)
    elif status >= 400 and kind != "" and not body:
        raise Problem(f"an error that says nothing: {shown}")


def _check_lines(body: bytes, whole: bool):
    lines = body.rstrip(b"\n").split(b"\n") if body else []
    if not whole:
        # Its last line may be cut, or says why there are no more.
        last = lines[-1] if lines else b""
        if any(b'"kind":"%s"' % kind.encode() in last for kind in _DEFECTS):
            raise Problem(f"a result ends with {last[:1_500].decode(errors='replace')}")
        lines = lines[:-1]
    for line in lines[:200]:
        read_json(line, line[:500].decode(errors="replace"))


def read_json(body: bytes, shown: str):
    try:
        return json.loads(body.decode(), parse_constant=_no_constant, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        raise Problem(f"an answer that is no JSON: {error}\n{shown}") from error


def _no_constant(name: str):
    raise ValueError(f"{name} is no JSON")
