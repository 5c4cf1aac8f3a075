"""What every door is."""

from __future__ import annotations

import random

from .inputs import Input

# Requests are answered, or their connections closed, within this.
PATIENCE_S = 10.0
TOKEN = "fuzz-token"
# Small bounds, so that they are met; queries that end long before anybody's patience.
BOUNDED = {
    "LOGLAKE_LIMITS_BODY_BYTES_MAX": str(64 << 20),
    "LOGLAKE_LIMITS_TABLE_COLUMNS_MAX": "200",
    "LOGLAKE_INGEST_BUFFER_BYTES_MAX": str(128 << 20),
    "LOGLAKE_QUERY_MEMORY_BYTES_MAX": str(128 << 20),
    "LOGLAKE_QUERY_SPILL_BYTES_MAX": str(256 << 20),
    "LOGLAKE_QUERY_TIMEOUT_S": "5",
    "LOGLAKE_KAFKA_SETTLE_S": "1",
    "LOGLAKE_KAFKA_FIELDS": "key,headers,partition",
}


class Session:
    """One client of a door."""

    def send(self, input_: Input) -> str:
        """Sends it and looks at what comes back: a word for that, or a `Problem`."""
        raise NotImplementedError

    def settle(self):
        """Waits until the server is done with what was sent."""

    def close(self):
        pass


class Door:
    name = "door"
    # Inputs begun before something is seen that may have caused it.
    suspects = 60
    # Whether what an input does is seen some time after it was sent.
    is_late = False
    # Clients at once.
    clients = 12

    def begin(self) -> tuple[dict[str, str], object]:
        """Before a lake starts: its environment beside `BOUNDED`, and what is kept as its `beside`."""
        return {}, None

    def prepare(self, lake):
        """What has to be there before anything is sent. `NotOffered` when there is no such door."""

    def make(self, rng: random.Random) -> Input:
        raise NotImplementedError

    def session(self, lake) -> Session:
        raise NotImplementedError

    def check(self, lake):
        """At the end: the door works as ever, else a `Problem`."""
