"""A whole cluster on this machine without Docker, as docker-compose.yml describes it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
import threading

from . import minio
from .command import end_like_ctrl_c
from .etcd import Etcd
from .loglake import Loglake
from .minio import Minio
from .process import ServerError

BUCKET = "loglake"


@contextlib.contextmanager
def minio_and_etcd(folder: pathlib.Path, nodes: int):
    """MinIO with an empty bucket, and etcd."""
    with Minio(folder / "minio") as store, Etcd(folder / "etcd", nodes) as etcd:
        store.s3.make_bucket(BUCKET)
        yield store, etcd


def run(folder: str | None):
    """Starts it, says where it is, and waits for Ctrl-C. Without a folder its files are temporary."""
    end_like_ctrl_c()
    try:
        if folder is not None:
            _run(pathlib.Path(folder).absolute(), "they stay")
            return
        with tempfile.TemporaryDirectory(prefix="loglake-cluster-") as temporary:
            _run(pathlib.Path(temporary), "removed at the end")
    except ServerError as error:
        sys.exit(str(error))


def _run(folder: pathlib.Path, files_stay: str):
    try:
        print("starting MinIO and three etcd …", flush=True)
        with minio_and_etcd(folder, 3) as (store, etcd):
            print("starting loglake …", flush=True)
            lake = Loglake(
                folder / "loglake",
                store=f"s3://{BUCKET}",
                etcd=etcd.endpoints,
                env=store.client_environment(),
                http=int(os.environ.get("HTTP_PORT", "9400")),
                grpc=int(os.environ.get("GRPC_PORT", "9401")),
            )
            with lake:
                _announce(lake, store, etcd, folder, files_stay)
                _wait_and_stop(lake)
    except KeyboardInterrupt:
        print("\nended", flush=True)


def _wait_and_stop(lake: Loglake):
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("\nending: what is buffered is committed", flush=True)
        lake.stop()
        print("ended", flush=True)


def _announce(lake: Loglake, store: Minio, etcd: Etcd, folder: pathlib.Path, files_stay: str):
    print(
        f"""
  HTTP   {lake.url}
  gRPC   {lake.grpc} (Flight SQL)
  MinIO  {store.endpoint}, bucket {BUCKET}, key {minio.KEY}, secret {minio.SECRET}
  etcd   {etcd.endpoints}
  files  {folder} ({files_stay})

Ctrl-C ends everything.
""",
        flush=True,
    )
