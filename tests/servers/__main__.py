import sys

from . import __doc__ as usage
from . import build, cluster, with_servers

match sys.argv[1:]:
    case ["build"]:
        build.build_all()
    case ["kafka"]:
        build.build_kafka()
    case ["cluster", *folder] if len(folder) < 2:
        build.build_all()
        cluster.run(folder[0] if folder else None)
    case ["with", *command] if command:
        sys.exit(with_servers.run(command))
    case _:
        sys.exit(usage)
