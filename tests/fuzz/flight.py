"""Flight SQL: gRPC calls whose messages are changed: descriptors, tickets, actions, and Arrow's own messages in puts."""

from __future__ import annotations

import json
import os
import random
import re
import struct

# Lakes are started from this process by fork; gRPC is not used on the other side of it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import grpc  # noqa: E402
import pyarrow as pa  # noqa: E402

from . import mutate, seeds, sql  # noqa: E402
from .door import PATIENCE_S, TOKEN, Door, Session  # noqa: E402
from .fields import Fields, change  # noqa: E402
from .inputs import Input, Problem  # noqa: E402
from .mutate import chance  # noqa: E402

_SERVICE = "/arrow.flight.protocol.FlightService/"
_TYPES = "type.googleapis.com/arrow.flight.protocol.sql."
_METADATA = (("authorization", f"Bearer {TOKEN}"),)
# A query is ended by the server after 5 s; this is for silence.
_ANSWERED_WITHIN_S = 2 * PATIENCE_S
# Messages of an answer that are read: some have no end.
_READ_MAX = 20
_DEFECTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
# Said with INTERNAL by the gRPC library itself, before the server sees a message.
_UNREADABLE = ("failed to decode Protobuf message", 'ParseError("Unable to decode Any value')
_STREAMS_IN = {"DoPut", "Handshake", "DoExchange"}


def any_(name: str, message: Fields, prefix: str = _TYPES) -> Fields:
    return Fields().pb(1, prefix + name).pb(2, message)


def _statement(rng: random.Random) -> str:
    query = rng.choice(sql.QUERIES)
    return sql.change(rng, query) if chance(rng, 0.5) else query


def _handle(rng) -> Fields:
    """As the server makes it: the statement, and a row of parameters as it is put: its schema, then its values."""
    handle = Fields().pb(1, _statement(rng) if chance(rng, 0.5) else "SELECT $1, $2, n FROM logs LIMIT 2")
    if chance(rng, 0.5):
        row = pa.record_batch({"1": pa.array([7]), "2": pa.array(["x"])})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, row.schema) as writer:
            writer.write_batch(row)
        for message in pa.ipc.MessageReader.open_stream(sink.getvalue()):
            body = message.body.to_pybytes() if message.body else b""
            handle.pb(3, Fields().pb(2, message.metadata.to_pybytes()).pb(1000, body))
    return handle


def _pattern(rng) -> str:
    return rng.choice(("%", "logs", "lo_s", "", "loglake", "public", "lake", "%" * 50 + "x", "\\", "[a"))


def _command(rng) -> tuple[str, Fields]:
    """A command as it is in descriptors, and in tickets of metadata."""
    name = rng.choice(
        ("StatementQuery", "StatementQuery", "PreparedStatementQuery", "GetCatalogs", "GetDbSchemas", "GetTables", "GetTables",
         "GetTableTypes", "GetSqlInfo", "GetXdbcTypeInfo", "GetPrimaryKeys", "GetExportedKeys", "GetImportedKeys", "GetCrossReference",
         "StatementUpdate", "StatementSubstraitPlan")
    )  # fmt: skip
    fields = Fields()
    if name in ("StatementQuery", "StatementUpdate"):
        fields.pb(1, _statement(rng))
    elif name == "PreparedStatementQuery":
        fields.pb(1, _handle(rng))
    elif name == "GetDbSchemas":
        fields.pb(1, "loglake").pb(2, _pattern(rng))
    elif name == "GetTables":
        fields.pb(1, "loglake").pb(2, _pattern(rng)).pb(3, _pattern(rng)).pb(4, "TABLE").pb(5, True)
    elif name == "GetSqlInfo":
        fields.pb(1, rng.choice((0, 1, 500, 2**32 - 1)))
    elif name == "GetXdbcTypeInfo":
        fields.pb(1, rng.choice((4, -1, 12)))
    elif name.endswith("Keys") or name == "GetCrossReference":
        fields.pb(1, "loglake").pb(2, "public").pb(3, "logs")
    return f"Command{name}", fields


def _descriptor(command: Fields) -> Fields:
    return Fields().pb(1, 2).pb(2, command)


def _info(rng) -> tuple[str, list[Fields]]:
    return rng.choice(("GetFlightInfo", "GetFlightInfo", "GetSchema", "PollFlightInfo")), [_descriptor(any_(*_command(rng)))]


def _get(rng) -> tuple[str, list[Fields]]:
    kind = rng.random()
    if kind < 0.4:
        ticket = any_("TicketStatementQuery", Fields().pb(1, _handle(rng)))
    elif kind < 0.85:
        ticket = any_(*_command(rng))
    else:
        scan = Fields().pb(1, "01J" + "0" * 23).pb(2, "0" * 36).pb(3, 1).pb(5, Fields().pb(1, "n")).pb(7, 3)
        ticket = any_("loglake/fresh-rows", scan, prefix="")
    return "DoGet", [Fields().pb(1, ticket)]


def _act(rng) -> tuple[str, list[Fields]]:
    kind = rng.randrange(4)
    if kind == 0:
        body: Fields = any_("ActionCreatePreparedStatementRequest", Fields().pb(1, _statement(rng)))
        name = "CreatePreparedStatement"
    elif kind == 1:
        body, name = any_("ActionClosePreparedStatementRequest", Fields().pb(1, _handle(rng))), "ClosePreparedStatement"
    elif kind == 2:
        question = json.dumps({"writer": "01J" + "0" * 23, "key": "x"}).encode()
        body, name = Fields().raw(question), "loglake.key_fate"
    else:
        body = any_("ActionBeginTransactionRequest", Fields())
        name = rng.choice(("loglake.standing", "BeginTransaction", "EndTransaction", "CancelFlightInfo", "CancelQuery", ""))
    return "DoAction", [Fields().pb(1, name).pb(2, body)]


def _messages(rng) -> list[tuple[bytes, bytes]]:
    """A schema and batches of every kind of column, each as Arrow's head and body."""
    count = rng.choice((1, 2, 5, 0))
    columns = {
        "n": pa.array(range(count)),
        "message": pa.array([seeds.message(rng) for _ in range(count)]),
        "view": pa.array(["a long text that does not fit into a view"] * count, pa.string_view()),
        "timestamp": pa.array([seeds.BEGIN * 10**6 + n for n in range(count)], pa.timestamp("us", tz=rng.choice((None, "UTC", "+02:00")))),
        "kind": pa.array(["a"] * count).dictionary_encode(),
        "list": pa.array([[1, 2]] * count, pa.list_(pa.int32())),
        "struct": pa.array([{"a": 1, "b": "x"}] * count, pa.struct({"a": pa.int8(), "b": pa.string()})),
        "map": pa.array([[("k", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        "float": pa.array([float("nan")] * count),
        "decimal": pa.array([None] * count, pa.decimal128(38, 9)),
        "binary": pa.array([b"\xff"] * count),
        "bool": pa.array([True] * count),
        "interval": pa.array([None] * count, pa.month_day_nano_interval()),
        "runs": pa.RunEndEncodedArray.from_arrays(pa.array([count], pa.int32()), pa.array(["x"])) if count else pa.array([], pa.null()),
        "null": pa.nulls(count),
    }  # fmt: skip
    names = rng.sample(sorted(columns), rng.randrange(1, 6))
    batch = pa.record_batch({name: columns[name] for name in names})
    compression = rng.choice((None, None, None, "lz4", "zstd"))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        for _ in range(rng.choice((1, 1, 2))):
            writer.write_batch(batch)
    return _parts(sink.getvalue().to_pybytes())


def _parts(stream: bytes) -> list[tuple[bytes, bytes]]:
    """The messages of a stream: each has its head's length before it, and the head says how long its body is."""
    reader, found, at = pa.ipc.MessageReader.open_stream(stream), [], 0
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return found
        (length,) = struct.unpack_from("<i", stream, at + 4)
        head = stream[at + 8 : at + 8 + length]
        body = message.body.to_pybytes() if message.body else b""
        found.append((head, body))
        at += 8 + length + len(body)


def _put(rng) -> tuple[str, list[Fields]]:
    kind = rng.random()
    if kind < 0.6:
        options = Fields().pb(1, rng.choice((1, 2, 0))).pb(2, rng.choice((3, 2, 1, 0)))
        command = any_("CommandStatementIngest", Fields().pb(1, options).pb(2, rng.choice(seeds.TABLES)))
    elif kind < 0.85:
        command = any_("CommandPreparedStatementQuery", Fields().pb(1, _handle(rng)))
    elif kind < 0.92:
        where = {"batch": "b", "writer": "01J" + "0" * 23, "tenant": "default", "name": "logs", "table": "0" * 36}
        command = any_("loglake/forward", Fields().raw(json.dumps(where).encode()), prefix="")
    else:
        command = any_(*_command(rng))
    messages = [Fields().pb(2, head).pb(1000, body) for head, body in _messages(rng)]
    messages[0][:0] = Fields().pb(1, _descriptor(command))
    return "DoPut", messages


def _other(rng) -> tuple[str, list[Fields]]:
    method = rng.choice(("Handshake", "ListFlights", "ListActions", "DoExchange", "Nothing"))
    return method, [Fields().pb(1, 0).pb(2, b"payload")]


class FlightSession(Session):
    def __init__(self, lake):
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(lake.grpc.removeprefix("grpc://"), options)

    def send(self, input_: Input) -> str:
        method, messages = input_.parts[0].decode(), input_.parts[1:]
        try:
            self._call(method, messages)
        except grpc.RpcError as error:
            return _judged(error)
        return "OK"

    def _call(self, method: str, messages: list[bytes]):
        kind = self.channel.stream_stream if method in _STREAMS_IN else self.channel.unary_stream
        call = kind(_SERVICE + method, lambda raw: raw, lambda raw: raw)
        answers = call(
            iter(messages) if method in _STREAMS_IN else messages[0], timeout=_ANSWERED_WITHIN_S, metadata=_METADATA
        )
        for read, _ in enumerate(answers):
            if read == _READ_MAX:
                answers.cancel()
                break

    def close(self):
        self.channel.close()


def _judged(error: grpc.RpcError) -> str:
    code, details = error.code(), error.details() or ""
    if details.startswith(_UNREADABLE):
        return "unreadable"
    if code in _DEFECTS:
        kind = re.sub(r"-?\d+|`.*", "_", details.splitlines()[0] if details else "")[:40]
        raise Problem(f"{code.name}: {kind}\n{details[:1_500]}")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED and details == "Deadline Exceeded":
        raise Problem(f"no answer within {_ANSWERED_WITHIN_S:.0f} s")
    if code == grpc.StatusCode.UNAVAILABLE and ("Socket closed" in details or "connect" in details):
        raise Problem(f"the connection is lost: {details}")
    return code.name


class Flight(Door):
    name = "flight"

    def prepare(self, lake):
        seeds.prepare(lake)

    def session(self, lake):
        return FlightSession(lake)

    def make(self, rng):
        method, messages = rng.choices((_info, _get, _act, _put, _other), (3, 4, 3, 8, 1))[0](rng)
        how = method
        if chance(rng, 0.9):
            how, messages = f"changed {method}", _changed(rng, messages)
        return Input([method.encode(), *(message.bytes() for message in messages)], how)


def _changed(rng, messages: list[Fields]) -> list[Fields]:
    if len(messages) > 1 and chance(rng, 0.15):
        at, other = rng.randrange(len(messages)), rng.randrange(len(messages))
        messages[at], messages[other] = messages[other], messages[at]
    if len(messages) > 1 and chance(rng, 0.1):
        del messages[rng.randrange(1, len(messages))]
    at = rng.randrange(len(messages))
    if chance(rng, 0.15):
        messages[at] = Fields().raw(mutate.bytes_(rng, messages[at].bytes()))
    else:
        change(rng, messages[at])
    return messages
