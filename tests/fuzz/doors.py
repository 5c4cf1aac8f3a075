"""The doors by their names."""

from __future__ import annotations

from .bodies import Bulk, Ndjson
from .elastic import Elastic
from .flight import Flight
from .kafka import Batches, Lines, Requests
from .otlp import OtlpJson, OtlpProtobuf
from .sql import Sql

DOORS = {door.name: door for door in (Requests, Batches, Lines, Ndjson, Bulk, OtlpProtobuf, OtlpJson, Sql, Flight, Elastic)}
