#!/usr/bin/env python3
"""Runs a command with real servers beside it: MinIO and two etcds that know nothing of each other.

    with_servers.py cargo test --workspace

The command finds them in its environment: LOGLAKE_TEST_ETCD and LOGLAKE_TEST_ETCD_OTHER (endpoints,
comma separated), LOGLAKE_TEST_S3_URL (`s3://bucket`) and the AWS_* variables that go with it.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

if __package__ in (None, ""):  # started as a script
    sys.path[0] = str(pathlib.Path(__file__).resolve().parent.parent)

from servers.cluster import BUCKET, minio_and_etcd
from servers.etcd import Etcd


def run(command: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="loglake-servers-") as folder:
        path = pathlib.Path(folder)
        with minio_and_etcd(path, 1) as (store, etcd), Etcd(path / "other") as other:
            environment = {
                **os.environ,
                **store.client_environment(),
                "LOGLAKE_TEST_ETCD": etcd.endpoints,
                "LOGLAKE_TEST_ETCD_OTHER": other.endpoints,
                "LOGLAKE_TEST_S3_URL": f"s3://{BUCKET}",
            }
            return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1:]))
