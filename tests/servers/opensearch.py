"""A real OpenSearch node on loopback, to compare answers with."""

from __future__ import annotations

import glob
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import build
from .process import LOOPBACK, Place, Server, free_port, http_ok

HERE = pathlib.Path(__file__).resolve().parent / "opensearch_node"
JAVA_MIN = 21
VERSION = re.search(r"<opensearch.version>(.*?)<", (HERE / "pom.xml").read_text()).group(1)


def java() -> str | None:
    """A Java that OpenSearch runs on: the one of `LOGLAKE_JAVA`, of `JAVA_HOME`, or any that stands
    where Linux has them."""
    homes = [os.environ.get("JAVA_HOME"), *sorted(glob.glob("/usr/lib/jvm/*"))]
    found = [os.environ.get("LOGLAKE_JAVA"), *(f"{home}/bin/java" for home in homes if home), shutil.which("java")]
    for candidate in found:
        if candidate and os.path.exists(candidate) and _major(candidate) >= JAVA_MIN:
            return candidate
    return None


def _major(java: str) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0


def missing() -> str | None:
    """Why no node can be started here."""
    if java() is None:
        return f"OpenSearch needs Java {JAVA_MIN} or later (LOGLAKE_JAVA)"
    if not libraries_there() and shutil.which("mvn") is None:
        return "Maven is needed to fetch OpenSearch"
    return None


def libraries() -> pathlib.Path:
    return build.cache() / f"opensearch-{VERSION}"


def libraries_there() -> bool:
    return (libraries() / f"opensearch-{VERSION}.jar").exists()


def fetch():
    """Its artifacts from Maven, once."""
    if libraries_there():
        return
    libraries().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libraries().parent, prefix="fetch-") as folder:
        part = pathlib.Path(folder) / "libraries"
        subprocess.run(
            ["mvn", "-q", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={part}"],
            check=True,
        )  # fmt: skip
        shutil.rmtree(libraries(), ignore_errors=True)
        part.rename(libraries())  # in one step: half of them are as good as none


class OpenSearch(Server):
    """See [`missing`] before, and [`fetch`]."""

    name = "opensearch"
    ready_within_s = 120.0

    def __init__(self, folder, place: Place = LOOPBACK):
        super().__init__(folder, place)
        self.port, self.transport_port = free_port(), free_port()
        self.url = f"http://{place.host}:{self.port}"

    def command(self):
        return [
            java(), "-Xms512m", "-Xmx1g", "-XX:+UseSerialGC", "-cp", f"{libraries()}/*", str(HERE / "OpenSearchNode.java"),
            str(self.folder), str(self.port), str(self.transport_port),
        ]  # fmt: skip

    def ready(self):
        return http_ok(f"{self.url}/_cluster/health")
