"""Real servers for tests and for trying a cluster: built once, started on loopback.

Standard library only. From the folder above:

    python3 -m servers build            MinIO, etcd and HDFS, into the user's cache
    python3 -m servers kafka            Kafka's jars, through Maven
    python3 -m servers cluster [DIR]    MinIO, three etcd and loglake, until Ctrl-C
    python3 -m servers with COMMAND…    runs a command with MinIO, etcd and HDFS beside it
"""

from .etcd import Etcd
from .hdfs import Hdfs
from .kafka import Kafka
from .loglake import Loglake
from .minio import Minio
from .network import Network
from .process import LOOPBACK, Place, ServerError, free_port

__all__ = [
    "LOOPBACK",
    "Etcd",
    "Hdfs",
    "Kafka",
    "Loglake",
    "Minio",
    "Network",
    "Place",
    "ServerError",
    "free_port",
]
