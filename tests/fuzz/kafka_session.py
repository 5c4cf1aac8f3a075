"""One connection to Kafka's door after the other: each request is answered, with its number, or the connection is
closed."""

from __future__ import annotations

import random
import re
import select
import socket
import struct
import time

from . import kafka_answers
from . import kafka_requests as kafka
from .door import PATIENCE_S, TOKEN, Session
from .inputs import Input, Problem
from .kafka_requests import MEMBER, head

# A question behind each request that is always answered, so that silence is told from slowness.
_ALWAYS = 0x5E47_1E1
_QUESTION = head(kafka.API_VERSIONS, 0, _ALWAYS).bytes()
# Fetch waits for news so long at most; who joins a group waits for others, whom nobody knows here.
_FETCH_WAITS_S = 30.0
_WAITED_FOR_S = 1.0
_WAITING_MAX = 50
_MEMBER = re.compile(rb"member-[0-9a-f]{32}")
_NONCE = re.compile(rb"r=([^,]+),s=")


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def _login() -> list[bytes]:
    handshake = head(kafka.SASL_HANDSHAKE, 1, 1).bytes() + kafka.sasl_handshake("PLAIN").bytes()
    shown = head(kafka.SASL_AUTHENTICATE, 0, 2).bytes() + kafka.sasl_authenticate(b"\0fuzz\0" + TOKEN.encode()).bytes()
    return [frame(handshake), frame(shown)]


class _Closed(Exception):
    pass


class _Waiting(Exception):
    """There is no answer yet, and need not be."""


class KafkaSession(Session):
    """Keeps its connection as long as the server does."""

    def __init__(self, lake):
        self.address = tuple(lake.kafka.rsplit(":", 1))
        self.socket: socket.socket | None = None
        # Fetches that may still wait, and until when.
        self.waiting: list[tuple[socket.socket, float]] = []
        self.member, self.nonce, self.raw = MEMBER.encode(), b"", False

    def send(self, input_: Input) -> str:
        self._look_at_waiting()
        # Frames whose length is wrong are the last of their connection, and strangers begin one.
        stranger = input_.how.startswith("stranger")
        if stranger or not all(_is_whole(part) for part in input_.parts):
            self.close_connection()
        try:
            if self.socket is None:
                self._connect(login=not stranger)
            answered = [self._one(part) for part in input_.parts]
        except _Closed:
            self.close_connection()
            if input_.valid:
                raise Problem(f"the connection is closed on a request that is well-formed: {input_.how}") from None
            return "closed"
        except _Waiting:
            return "waits"
        except TimeoutError:
            self.close_connection()
            raise Problem(f"no answer within {PATIENCE_S:.0f} s\n{input_.how}") from None
        if stranger:
            self.close_connection()
        return "answered" if all(answered) else "silence"

    def _connect(self, login: bool):
        # Another address of loopback, now and then: ports of closed connections are held for a minute.
        here = f"127.0.{random.randrange(256)}.{random.randrange(2, 255)}"
        self.socket = socket.create_connection((self.address[0], int(self.address[1])), PATIENCE_S, (here, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw = False
        for part in _login() if login else []:
            self._one(part)

    def _one(self, part: bytes) -> bool:
        """Sends a frame; whether it was answered."""
        part = part.replace(MEMBER.encode(), self.member).replace(b"NONCE", self.nonce or b"NONCE")
        if not _is_whole(part):
            self._last(part)
            raise _Closed
        key, version = _key(part)
        if self.raw or key == kafka.SASL_HANDSHAKE:
            answer = self._raw(part, key, version)
        else:
            answer = self._exchange(part, key)
        if answer is not None:
            self._learn(key, version, answer)
        return answer is not None

    def _exchange(self, part: bytes, key: int) -> bytes | None:
        self._send(part + frame(_QUESTION))
        wanted, always = part[8:12], struct.pack(">i", _ALWAYS)
        answer = self._read(key)
        if answer[:4] == always != wanted:
            if key != kafka.PRODUCE:
                raise Problem(f"request {key} has no answer, and its connection goes on")
            return None  # without acknowledgements
        if answer[:4] != wanted:
            raise Problem(f"the answer to request {key} has number {answer[:4].hex()}, not {wanted.hex()}")
        if self._read(None)[:4] != always:
            raise Problem(f"request {key} has two answers")
        return answer

    def _raw(self, part: bytes, key: int, version: int) -> bytes | None:
        """Tokens without Kafka's head, after version 0 of SaslHandshake."""
        self._send(part)
        answer = self._read(None)
        if not self.raw and answer[:4] != part[8:12]:
            raise Problem(f"the answer to SaslHandshake has number {answer[:4].hex()}")
        self.raw = self.raw or (version == 0 and answer[4:6] == b"\0\0")
        return answer

    def _last(self, part: bytes):
        """A frame that is not as long as it says: no more comes behind it, so the connection ends."""
        self._send(part)
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            raise _Closed from None
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            self._read(_key(part)[0])
        raise TimeoutError

    def _learn(self, key: int, version: int, answer: bytes):
        if found := _MEMBER.search(answer):
            self.member = found[0]
        if found := _NONCE.search(answer):
            self.nonce = found[1]
        try:
            codes = kafka_answers.codes(key, version, answer[4:])
        except struct.error:
            raise Problem(f"the answer to request {key} in version {version} cannot be read\n{answer[:300]!r}") from None
        if kafka_answers.UNKNOWN_SERVER_ERROR in codes:
            raise Problem(f"request {key} in version {version} is answered with UNKNOWN_SERVER_ERROR\n{answer[:600]!r}")

    def _send(self, data: bytes):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            raise _Closed from None

    def _read(self, key: int | None) -> bytes:
        """The next answer, without its length."""
        if key in (kafka.FETCH, kafka.JOIN_GROUP, kafka.SYNC_GROUP):
            self._wait_a_little(key)
        (length,) = struct.unpack(">i", self._bytes(4))
        if not (0 if self.raw else 4) <= length <= 128 << 20:
            raise Problem(f"an answer of {length} bytes")
        return self._bytes(length)

    def _bytes(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.socket.recv(min(1 << 20, count - len(data)))
            except ConnectionError:
                raise _Closed from None
            if not piece:
                raise _Closed
            data += piece
        return bytes(data)

    def _wait_a_little(self, key: int):
        if select.select([self.socket], [], [], _WAITED_FOR_S)[0]:
            return
        if key == kafka.FETCH:
            self.waiting.append((self.socket, time.monotonic() + _FETCH_WAITS_S + PATIENCE_S))
        else:
            self.socket.close()
        self.socket = None
        raise _Waiting

    def _look_at_waiting(self):
        if not self.waiting:
            return
        ready = select.select([waiting for waiting, _ in self.waiting], [], [], 0)[0]
        now, kept = time.monotonic(), []
        for waiting, until in self.waiting:
            if waiting in ready or len(kept) >= _WAITING_MAX:
                waiting.close()
            elif now > until:
                waiting.close()
                raise Problem(f"a Fetch has no answer after {_FETCH_WAITS_S + PATIENCE_S:.0f} s")
            else:
                kept.append((waiting, until))
        self.waiting = kept

    def close_connection(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def close(self):
        self.close_connection()
        for waiting, _ in self.waiting:
            waiting.close()


def _is_whole(part: bytes) -> bool:
    return len(part) >= 4 and struct.unpack_from(">i", part)[0] == len(part) - 4


def _key(part: bytes) -> tuple[int, int]:
    return struct.unpack_from(">hh", part, 4) if len(part) >= 8 else (-1, -1)
