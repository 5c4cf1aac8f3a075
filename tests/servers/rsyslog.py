"""The rsyslog of the machine, or one that is unpacked under `LOGLAKE_RSYSLOG_ROOT`."""

from __future__ import annotations

import glob
import os
import pathlib
import shutil


def with_module(name: str) -> tuple[str, str] | None:
    """The daemon and the folder of its modules, if this one is among them."""
    for root in (os.environ.get("LOGLAKE_RSYSLOG_ROOT", ""), ""):
        modules = glob.glob(f"{root}/usr/lib/*/rsyslog/{name}.so")
        daemon = shutil.which("rsyslogd", path=f"{root}/usr/sbin")
        if modules and daemon:
            return daemon, str(pathlib.Path(modules[0]).parent)
    return None
