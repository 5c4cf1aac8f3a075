"""A real Kafka on loopback: one node, broker and controller in one (KRaft)."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

from . import build
from .process import LOOPBACK, Place, Server, ServerError, free_port


def jars() -> pathlib.Path:
    """From `LOGLAKE_KAFKA_JARS`, or where `python3 -m servers kafka` puts them."""
    given = os.environ.get("LOGLAKE_KAFKA_JARS")
    return pathlib.Path(given) if given else build.kafka()


def is_there() -> bool:
    return jars().is_dir() and shutil.which("java") is not None


class Kafka(Server):
    """Topics are made by their first record, with one partition; others by `topic`."""

    name = "kafka"

    def __init__(self, folder, port: int | None = None, place: Place = LOOPBACK, heap: str = "320m"):
        super().__init__(folder, place)
        self.port, self.controller = port or free_port(), free_port()
        self.address = f"{place.host}:{self.port}"
        # With SASL/PLAIN: user `lake`, password `secret`.
        self.sasl = f"{place.host}:{free_port()}"
        self.heap, self._admin = heap, None

    def java(self, *command: str) -> list[str]:
        if not is_there():
            raise ServerError("no Java or no jars of Kafka: python3 -m servers kafka")
        options = [f"-Xmx{self.heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        log = f"-Dlog4j2.configurationFile=file:{self.folder / 'log4j2.properties'}"
        return ["java", *options, log, "-cp", f"{jars()}/*", *command]

    def start(self, wait: bool = True):
        host, logs = self.place.host, self.folder / "logs"
        (self.folder / "log4j2.properties").write_text(_LOG4J)
        settings = self.folder / "server.properties"
        settings.write_text(
            _SETTINGS.format(host=host, port=self.port, controller=self.controller, logs=logs, sasl=self.sasl)
        )
        if not (logs / "meta.properties").exists():
            tool = "kafka.tools.StorageTool"
            made = subprocess.run(self.java(tool, "random-uuid"), capture_output=True, check=True)
            cluster = made.stdout.decode().split()[-1]
            command = self.java(tool, "format", "-t", cluster, "-c", str(settings))
            subprocess.run(command, capture_output=True, check=True)
        return super().start(wait)

    def command(self):
        return self.java("kafka.Kafka", str(self.folder / "server.properties"))

    def ready(self):
        from confluent_kafka import KafkaException

        try:
            return bool(self.admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def admin(self):
        """A client for topics: of the Python package confluent-kafka."""
        from confluent_kafka.admin import AdminClient

        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        return self._admin

    def topic(self, name: str, partitions: int = 1, **config: str):
        """Makes a topic."""
        from confluent_kafka.admin import NewTopic

        config = {key.replace("_", "."): value for key, value in config.items()}
        new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=config)
        for made in self.admin().create_topics([new]).values():
            made.result(20)

    def grow(self, name: str, partitions: int):
        """Gives a topic more partitions."""
        from confluent_kafka.admin import NewPartitions

        for made in self.admin().create_partitions([NewPartitions(name, partitions)]).values():
            made.result(20)


_LOG4J = """
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""

_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{port},SASL://{sasl},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},SASL://{sasl}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_lake="secret";
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
num.partitions=1
auto.create.topics.enable=true
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=1000
num.network.threads=2
num.io.threads=2
background.threads=2
"""
