"""Lakes to test: over a directory, and over MinIO or HDFS with etcd."""

from __future__ import annotations

import itertools
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from client import Client  # noqa: E402
from servers import Etcd, Hdfs, Loglake, Minio  # noqa: E402
from servers import hdfs as hdfs_server  # noqa: E402
from servers.cluster import BUCKET  # noqa: E402
from servers.loglake import binary  # noqa: E402

_numbers = itertools.count()
_lakes: list[Loglake] = []


def pytest_sessionstart(session):
    if not os.path.exists(binary()):
        raise pytest.UsageError(f"no binary at {binary()}: cargo build --bin loglake")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for lake in _lakes:
            report.sections.append((f"the log of {lake.folder.name}", lake.log_tail(30)))
    return report


@pytest.fixture(scope="session")
def minio(tmp_path_factory):
    with Minio(tmp_path_factory.mktemp("minio")) as server:
        server.s3.make_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory):
    if problem := hdfs_server.missing():
        pytest.skip(problem)
    with Hdfs(tmp_path_factory.mktemp("hdfs")) as server:
        yield server


@pytest.fixture(scope="session")
def etcd(tmp_path_factory):
    with Etcd(tmp_path_factory.mktemp("etcd")) as servers:
        yield servers


class Maker:
    """Makes lakes, and ends them; none may have panicked."""

    def __init__(self, request, tmp_path_factory):
        self.request, self.tmp = request, tmp_path_factory
        self.made: list[Loglake] = []

    def __call__(self, kind: str = "directory", start: bool = True, **options) -> Loglake:
        folder = self.tmp.mktemp("lake")
        # Another process of the same lake.
        if beside := options.pop("beside", None):
            options = {"store": beside.store, "etcd": beside.etcd, "env": beside.env} | options
        elif kind == "minio":
            minio = options.pop("minio", None) or self.request.getfixturevalue("minio")
            etcd = options.pop("etcd", None) or self.request.getfixturevalue("etcd")
            endpoint = options.pop("endpoint", None)
            name = f"{folder.name}-{next(_numbers)}"
            environment = {
                **minio.client_environment(endpoint),
                "LOGLAKE_COORDINATION_PREFIX": f"/{name}",
                **options.pop("env", {}),
            }
            options |= {"store": f"s3://{BUCKET}/{name}", "etcd": etcd.endpoints, "env": environment}
        elif kind == "hdfs":
            hdfs = options.pop("hdfs", None) or self.request.getfixturevalue("hdfs")
            etcd = options.pop("etcd", None) or self.request.getfixturevalue("etcd")
            name = f"{folder.name}-{next(_numbers)}"
            environment = {
                "LOGLAKE_COORDINATION_PREFIX": f"/{name}",
                **options.pop("env", {}),
            }
            options |= {"store": f"{hdfs.url}/lakes/{name}", "etcd": etcd.endpoints, "env": environment}
        lake = Loglake(folder, **options)
        self.made.append(lake)
        _lakes.append(lake)
        lake.client = Client(lake.url, lake.token)
        return lake.start() if start else lake

    def end(self):
        for lake in self.made:
            _lakes.remove(lake)
            lake.__exit__()
        for lake in self.made:
            log = lake.log.read_text(errors="replace") if lake.log.exists() else ""
            assert "panicked at" not in log, log[log.index("panicked at") - 500 :][:3000]


@pytest.fixture
def make_lake(request, tmp_path_factory):
    maker = Maker(request, tmp_path_factory)
    yield maker
    maker.end()


@pytest.fixture(scope="module")
def make_module_lake(request, tmp_path_factory):
    maker = Maker(request, tmp_path_factory)
    yield maker
    maker.end()


@pytest.fixture(scope="module", params=["directory", "minio"])
def lake(request, make_module_lake) -> Loglake:
    """A lake that the tests of a file share."""
    return make_module_lake(request.param)


@pytest.fixture(scope="module")
def plain_lake(make_module_lake) -> Loglake:
    """A lake over a directory that the tests of a file share."""
    return make_module_lake("directory")


def _shared_logs() -> pathlib.Path:
    """The corpus and its generator lie beside the checkout."""
    given = os.environ.get("LOGLAKE_TEST_LOGS")
    folder = pathlib.Path(given) if given else HERE.parents[2] / "shared" / "logs"
    if not (folder / "corpus.jsonl").exists():
        pytest.skip(f"no corpus in {folder}: set LOGLAKE_TEST_LOGS to its folder")
    return folder


@pytest.fixture(scope="session")
def corpus() -> pathlib.Path:
    return _shared_logs() / "corpus.jsonl"


@pytest.fixture(scope="session")
def generated(corpus) -> pathlib.Path:
    """200,000 records as services write them; made once. Or those of LOGLAKE_TEST_GENERATED."""
    if given := os.environ.get("LOGLAKE_TEST_GENERATED"):
        return pathlib.Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    path = pathlib.Path(base) / "loglake" / "data" / "loggen-200000-1.ndjson"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        loggen = corpus.parent / "loggen.py"
        command = [sys.executable, loggen, "--rows", "200000", "--seed", "1", "--out", part]
        subprocess.run(command, check=True)
        part.rename(path)
    return path
