#!/usr/bin/env python3
"""Runs a command with real servers beside it: MinIO, two etcds that know nothing of each other, and HDFS
where Java and its jars are there.

    with_servers.py cargo test --workspace

The command finds them in its environment: LOGLAKE_TEST_ETCD and LOGLAKE_TEST_ETCD_OTHER (endpoints,
comma separated), LOGLAKE_TEST_S3_URL (`s3://bucket`) and the AWS_* variables that go with it,
LOGLAKE_TEST_HDFS_URL (`hdfs://host:port`).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile

if __package__ in (None, ""):  # started as a script
    sys.path[0] = str(pathlib.Path(__file__).resolve().parent.parent)

from servers.cluster import BUCKET, minio_and_etcd
from servers.etcd import Etcd
from servers.hdfs import Hdfs, missing


@contextlib.contextmanager
def _hdfs(folder: pathlib.Path):
    """HDFS that starts while others do, if there can be one."""
    if problem := missing():
        print(f"without HDFS: {problem}", flush=True)
        yield None
        return
    hdfs = Hdfs(folder, datanodes=2)
    try:
        yield hdfs.start(wait=False)
    finally:
        hdfs.__exit__()


def run(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="loglake-servers-") as folder:
        path = pathlib.Path(folder)
        with (
            _hdfs(path / "hdfs") as hdfs,
            minio_and_etcd(path, 1) as (store, etcd),
            Etcd(path / "other") as other,
        ):
            if hdfs is not None:
                hdfs.wait_ready()
            environment = {
                **os.environ,
                **store.client_environment(),
                "LOGLAKE_TEST_ETCD": etcd.endpoints,
                "LOGLAKE_TEST_ETCD_OTHER": other.endpoints,
                "LOGLAKE_TEST_S3_URL": f"s3://{BUCKET}",
                **({"LOGLAKE_TEST_HDFS_URL": hdfs.url} if hdfs is not None else {}),
            }
            return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1:]))
