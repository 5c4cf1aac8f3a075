"""Counts the members' requests to the store, from their own metrics, over restarts."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from collections import Counter

from .topology import Cluster

_LINE = re.compile(r'^loglake_store_requests_total\{([^}]*)\} (\d+)', re.MULTILINE)
_LABEL = re.compile(r'operation="([^"]*)"')


def scrape(url: str, token: str | None, timeout_s: float = 2) -> Counter | None:
    """Requests since the process's start, by operation; `None` without an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        request = urllib.request.Request(f"{url}/metrics", headers=headers)
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    found = Counter()
    for labels, value in _LINE.findall(text):
        operation = _LABEL.search(labels)
        found[operation.group(1) if operation else "?"] += int(value)
    return found


class Watcher(threading.Thread):
    """Looks every few seconds; what a process counted after the last look before its death is lost."""

    def __init__(self, cluster: Cluster, stopping: threading.Event, every_s: float = 3):
        super().__init__(name="watcher", daemon=True)
        self.cluster, self.stopping, self.every_s = cluster, stopping, every_s
        self.totals: dict[str, Counter] = {name: Counter() for name in cluster.members}
        self._last: dict[str, Counter] = {name: Counter() for name in cluster.members}
        self.began = time.monotonic()
        self.ended = self.began

    def run(self):
        while not self.stopping.wait(self.every_s):
            self.look()

    def look(self):
        for name, member in self.cluster.members.items():
            now = scrape(member.url, self.cluster.token)
            if now is None:
                continue
            last = self._last[name]
            if any(now[operation] < count for operation, count in last.items()):
                last = Counter()  # a new process
            self.totals[name] += now - last
            self._last[name] = now
        self.ended = time.monotonic()

    def per_minute(self) -> list[str]:
        minutes = max(self.ended - self.began, 1) / 60
        lines = []
        for name, counts in self.totals.items():
            by_kind = ", ".join(f"{kind} {n / minutes:.0f}" for kind, n in counts.most_common())
            lines.append(f"{name}: {sum(counts.values()) / minutes:.0f} ({by_kind})")
        return lines
