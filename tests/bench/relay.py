"""A relay before a store that counts what passes: loglake counts its requests itself, not their bytes.

It works on connections, not on requests: headers are counted too, some hundred bytes of each answer.
"""
import contextlib
import socket
import threading

CHUNK = 1 << 18


class Relay:
    def __init__(self, port):
        """`port`: of the store, on loopback."""
        self.upstream = ("127.0.0.1", port)
        self.sent = self.received = 0  # bytes to the store, and from it
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self.listener.accept()
                store = socket.create_connection(self.upstream)
                for side in (client, store):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.pass_on, args=(client, store, "sent"), daemon=True).start()
                threading.Thread(target=self.pass_on, args=(store, client, "received"), daemon=True).start()

    def pass_on(self, source, target, counter):
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                with self.lock:
                    setattr(self, counter, getattr(self, counter) + len(data))
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        if counter == "received":
            source.close()
            target.close()
