"""A real HDFS on loopback: a NameNode and DataNodes, one JVM each.

Heartbeats are short, so that a dead DataNode is avoided after 3 seconds and dropped after 14; blocks are
small, so that files have several.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import time
import urllib.error
import urllib.request
import xml.sax.saxutils

from . import build
from .process import HOST, Server, ServerError, free_port

BLOCK_BYTES = 1 << 20
_NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"
_LOGGING = """log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d %p %c{1} %m%n
"""


def missing() -> str | None:
    """What is missing to start one, if anything."""
    if shutil.which("java") is None:
        return "no java on this machine"
    if not build.hdfs().exists():
        return "HDFS is not there: python3 -m servers build (with Maven)"
    return None


class _Node(Server):
    """One JVM with its configuration in a folder of its own."""

    ready_within_s = 120.0
    main = ""

    def __init__(self, folder, properties: dict[str, object]):
        super().__init__(folder)
        self.configuration = self.folder / "conf"
        self.configuration.mkdir(exist_ok=True)
        self.properties = properties
        text = "".join(
            f"<property><name>{name}</name>"
            f"<value>{xml.sax.saxutils.escape(str(value))}</value></property>\n"
            for name, value in self.properties.items()
        )
        for name in ("core-site.xml", "hdfs-site.xml"):
            (self.configuration / name).write_text(f"<configuration>\n{text}</configuration>\n")
        (self.configuration / "log4j.properties").write_text(_LOGGING)

    def java(self, *words: str) -> list[str]:
        if problem := missing():
            raise ServerError(problem)
        return [
            "java", "-Xms32m", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "--add-opens", "java.base/java.lang=ALL-UNNAMED",
            "-cp", f"{self.configuration}:{build.hdfs()}/*", *words,
        ]  # fmt: skip

    def command(self):
        return self.java(self.main)


class NameNode(_Node):
    name = "namenode"
    main = _NAMENODE

    def __init__(self, folder, properties: dict[str, object]):
        folder = pathlib.Path(folder)
        self.http = free_port()
        super().__init__(
            folder,
            {
                **properties,
                "dfs.namenode.http-address": f"{HOST}:{self.http}",
                "dfs.namenode.name.dir": f"file://{folder}/name",
            },
        )

    def command(self):
        if (self.folder / "name" / "current").exists():
            return super().command()
        # Formatted first, by the same process.
        java = " ".join(f"'{word}'" for word in self.java(_NAMENODE))
        return ["sh", "-c", f"{java} -format -force -nonInteractive && exec {java}"]

    def state(self) -> dict:
        """What it says of itself; empty while it does not answer."""
        url = f"http://{HOST}:{self.http}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
        try:
            with urllib.request.urlopen(url, timeout=1.0) as answer:
                beans = json.load(answer)["beans"]
        except (OSError, urllib.error.URLError, ValueError):
            return {}
        return beans[0] if beans else {}

    def ready(self):
        return bool(self.state())


class DataNode(_Node):
    main = _DATANODE

    def __init__(self, folder, properties: dict[str, object], number: int):
        self.name = f"datanode-{number}"
        folder = pathlib.Path(folder)
        super().__init__(
            folder,
            {
                **properties,
                "dfs.datanode.data.dir": f"file://{folder}/data",
                "dfs.datanode.address": f"{HOST}:{free_port()}",
                "dfs.datanode.http.address": f"{HOST}:{free_port()}",
                "dfs.datanode.ipc.address": f"{HOST}:{free_port()}",
            },
        )

    def ready(self):
        return self.alive


class Hdfs:
    """A NameNode and DataNodes; every file has a replica on each of up to three."""

    def __init__(self, folder, datanodes: int = 3, brisk: bool = True):
        """Where it is not `brisk` a dead DataNode is given out for ten minutes, as HDFS has it unless told
        otherwise."""
        folder = pathlib.Path(folder).absolute()
        self.port = free_port()
        self.url = f"hdfs://{HOST}:{self.port}"
        properties = {
            "fs.defaultFS": self.url,
            "hadoop.tmp.dir": folder / "tmp",
            "dfs.namenode.rpc-address": f"{HOST}:{self.port}",
            "dfs.replication": min(datanodes, 3),
            "dfs.blocksize": BLOCK_BYTES,
            "dfs.namenode.fs-limits.min-block-size": 1024,
            # Two replicas before anything is acknowledged, where a third may be missing.
            "dfs.namenode.replication.min": 2 if datanodes > 2 else 1,
            # Else a NameNode leaves out a DataNode, a dead one too, that was busy when last heard of.
            "dfs.namenode.redundancy.considerLoad": "false",
            "dfs.permissions.enabled": "false",
            "dfs.namenode.datanode.registration.ip-hostname-check": "false",
            "dfs.datanode.hostname": HOST,
            "dfs.namenode.safemode.extension": 0,
            "dfs.heartbeat.interval": 1,
        }
        # As docs/hdfs.md says, and shorter.
        missed_soon = {
            "dfs.namenode.heartbeat.recheck-interval": 2000,
            "dfs.namenode.stale.datanode.interval": 3000,
            "dfs.namenode.avoid.write.stale.datanode": "true",
            "dfs.namenode.avoid.read.stale.datanode": "true",
        }
        if brisk:
            properties |= missed_soon
        self.namenode = NameNode(folder / "namenode", properties)
        self.datanodes = [
            DataNode(folder / f"datanode-{n}", properties, n) for n in range(datanodes)
        ]

    def start(self, wait: bool = True):
        self.namenode.start(wait=False)
        for node in self.datanodes:
            node.start(wait=False)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        """Until it can be written to, with all its DataNodes that run."""
        self.namenode.wait_ready()
        deadline = time.monotonic() + self.namenode.ready_within_s
        while True:
            state = self.namenode.state()
            running = sum(node.alive for node in self.datanodes)
            if state.get("NumLiveDataNodes", 0) >= running and state.get("FSState") == "Operational":
                return
            for server in (self.namenode, *self.datanodes):
                if not server.alive:
                    raise ServerError(f"{server.name} ended:\n{server.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"HDFS is not ready: {state}\n{self.namenode.log_tail()}")
            time.sleep(0.1)

    def __enter__(self):
        return self if self.namenode.alive else self.start()

    def __exit__(self, *_):
        for server in (*self.datanodes, self.namenode):
            server.__exit__()
