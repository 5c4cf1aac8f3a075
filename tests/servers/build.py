"""Builds the servers from the Go module proxy, once, into the user's cache; HDFS and Kafka come by Maven."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
ETCD_VERSION = "v3.7.3"
KAFKA_VERSION = "4.4.0"
HADOOP_VERSION = "3.4.2"
# Without the shaded jars' hundred dependencies: these three hold all that a NameNode needs.
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>loglake</groupId><artifactId>hdfs-for-tests</artifactId><version>1</version>
<packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-api</artifactId>
<version>{HADOOP_VERSION}</version></dependency>
<dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-runtime</artifactId>
<version>{HADOOP_VERSION}</version></dependency>
<dependency><groupId>org.apache.hadoop</groupId><artifactId>hadoop-client-minicluster</artifactId>
<version>{HADOOP_VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-reload4j</artifactId>
<version>1.7.36</version></dependency>
</dependencies>
</project>
"""


def cache() -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "loglake" / "servers"


def minio() -> pathlib.Path:
    return cache() / f"minio-{MINIO_VERSION}" / "minio"


def etcd() -> pathlib.Path:
    return cache() / f"etcd-{ETCD_VERSION}" / "etcd"


def hdfs() -> pathlib.Path:
    """The folder of HDFS's jars."""
    return cache() / f"hdfs-{HADOOP_VERSION}" / "libs"


def kafka() -> pathlib.Path:
    """The folder of its jars."""
    return cache().parent / f"kafka-{KAFKA_VERSION}"


def build_kafka():
    """Fetches Kafka's jars through Maven, if they are not there yet."""
    _once(kafka(), _fetch_kafka, "half a minute")


def build_all():
    """Builds what is not there yet."""
    _once(etcd(), _build_etcd, "about a minute and a half")
    _once(minio(), _build_minio, "about six minutes")
    if shutil.which("mvn") is None and not hdfs().exists():
        print("hdfs: no Maven (mvn) here; tests on HDFS are skipped", flush=True)
    else:
        _once(hdfs(), _fetch_hdfs, "half a minute")


def _once(binary: pathlib.Path, build, takes: str):
    if binary.exists():
        print(f"{binary.name}: {binary}")
        return
    print(f"{binary.parent.name}: building, {takes} …", flush=True)
    began = time.monotonic()
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent, prefix="build-") as folder:
        built = build(pathlib.Path(folder))
        built.rename(binary)  # in one step: a broken build leaves nothing behind
    print(f"{binary.name}: {binary} after {time.monotonic() - began:.0f} s", flush=True)


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        sys.exit("Go is needed to build MinIO and etcd: https://go.dev/doc/install")
    return found


def _run(folder: pathlib.Path, *command: str, **environment: str):
    command = ("nice", "-n", "10", *command)
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **environment})


def _build_minio(folder: pathlib.Path) -> pathlib.Path:
    module = f"github.com/minio/minio@{MINIO_VERSION}"
    _run(
        folder, _go(), "install", "-ldflags", "-s -w", module, CGO_ENABLED="0", GOBIN=str(folder)
    )
    return folder / "minio"


def _build_etcd(folder: pathlib.Path) -> pathlib.Path:
    # `go install` refuses modules with replace directives: a module of our own takes it as a tool.
    package = "go.etcd.io/etcd/server/v3"
    _run(folder, _go(), "mod", "init", "etcd-for-tests")
    _run(folder, _go(), "get", "-tool", f"{package}@{ETCD_VERSION}")
    _run(folder, _go(), "build", "-o", "etcd", package, CGO_ENABLED="0")
    return folder / "etcd"


def _fetch_hdfs(folder: pathlib.Path) -> pathlib.Path:
    pom, libs = folder / "pom.xml", folder / "libs"
    pom.write_text(_POM)
    copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}")
    _run(folder, "mvn", "-q", "-B", "-f", str(pom), *copy)
    return libs


_KAFKA_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>loglake</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{version}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version></dependency>
</dependencies></project>
"""


def _fetch_kafka(folder: pathlib.Path) -> pathlib.Path:
    if shutil.which("mvn") is None:
        sys.exit("Maven is needed to fetch Kafka's jars")
    (folder / "pom.xml").write_text(_KAFKA_POM.format(version=KAFKA_VERSION))
    jars = folder / "jars"
    goal = "dependency:copy-dependencies"
    _run(folder, "mvn", "-q", "-B", goal, "-DincludeScope=runtime", f"-DoutputDirectory={jars}")
    return jars
