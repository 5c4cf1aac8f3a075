"""A loglake of its own for a benchmark: started on a directory or a store, loaded and asked over HTTP."""
import concurrent.futures
import http.client
import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from storm.requests import scrape  # noqa: E402

BLOCK = 8 << 20
IN_FLIGHT = 4
BACK_PRESSURE = (429, 503)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def blocks(path):
    """Pieces of about 8 MiB that end at a line's end."""
    with open(path, "rb") as f:
        while block := f.read(BLOCK):
            yield block + f.readline()


def first(path, rows, out):
    """A file of its first lines, so many."""
    with open(path, "rb") as source, open(out, "wb") as file:
        file.writelines(itertools.islice(source, rows))
    return out


def post(port, path, body, headers={}):
    """Sends until it is taken: at back-pressure the same again. The answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        while True:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            given = answer.read()
            if answer.status == 200:
                return json.loads(given)
            if answer.status not in BACK_PRESSURE:
                raise RuntimeError(f"{answer.status}: {given[:300]}")
            time.sleep(float(answer.headers.get("Retry-After", 1)))
    finally:
        connection.close()


def post_ndjson(port, block):
    return post(port, "/api/v1/ingest/logs", block)["stored"]


def post_bulk(port, block):
    """The same records as Elasticsearch takes them; those that are told to come back are sent again."""
    lines = block.splitlines()
    stored = 0
    while lines:
        body = b"".join(b'{"create":{}}\n%s\n' % line for line in lines)
        answer = post(port, "/logs/_bulk", body, {"Content-Type": "application/x-ndjson"})
        if not answer["errors"]:
            return stored + len(lines)
        became = [item["create"] for item in answer["items"]]
        if refused := [item for item in became if item["status"] not in (201, *BACK_PRESSURE)]:
            raise RuntimeError(f"{len(refused)} refused: {refused[0]}")
        stored += sum(item["status"] == 201 for item in became)
        lines = [line for line, item in zip(lines, became) if item["status"] in BACK_PRESSURE]
        time.sleep(1)
    return stored


def send(path, post_block):
    """Sends the file in blocks, a few at once. Returns the number of records stored."""
    stored, waiting = 0, set()
    with concurrent.futures.ThreadPoolExecutor(IN_FLIGHT) as pool:
        for block in blocks(path):
            waiting.add(pool.submit(post_block, block))
            if len(waiting) >= IN_FLIGHT:
                done, waiting = concurrent.futures.wait(
                    waiting, return_when=concurrent.futures.FIRST_COMPLETED)
                stored += sum(f.result() for f in done)
        return stored + sum(f.result() for f in waiting)


def cpu_seconds(pid):
    """Of a process since its start."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mb(pid):
    """The most that was resident, parts of files that it maps among it."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def drop_from_page_cache(folder):
    for file in pathlib.Path(folder).rglob("*"):
        if file.is_file():
            with open(file, "rb") as f:
                os.fsync(f.fileno())
                os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Lake:
    def __init__(self, binary, data, args=None, env=None):
        """`data`: its folder; `args`: where its lake is, if not there, and more; `env`: over the environment."""
        self.binary, self.data = binary, pathlib.Path(data)
        self.args = args or ["--data", self.data / "lake"]
        self.env = {**os.environ, **(env or {})}
        self.http, self.grpc = free_port(), free_port()
        self.connection = None

    def __enter__(self):
        self.log = open(self.data / "loglake.log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "serve", *self.args, "--http", f"127.0.0.1:{self.http}",
             "--grpc", f"127.0.0.1:{self.grpc}"], stderr=self.log, stdout=self.log, env=self.env)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.request("GET", "/ready")[0] == 200:
                    return self
            except OSError:
                self.connection = None
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("loglake did not become ready; see " + self.log.name)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.log.close()

    def hang_up(self):
        """Before a request after a long time: the server has closed an idle connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def request(self, method, path, body=None, headers={}):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.http)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def load(self, path, post_block=post_ndjson):
        """Sends the file, then flushes. Returns the number of records stored."""
        stored = send(path, lambda block: post_block(self.http, block))
        self.flush()
        return stored

    def flush(self):
        """What was acknowledged is committed to the table."""
        self.hang_up()
        status, body = self.request("POST", "/api/v1/flush")
        if status != 200:
            raise RuntimeError(f"flush: {status} {body}")

    def ask(self, sql):
        status, body = self.request("POST", "/api/v1/sql", json.dumps({"sql": sql}),
                                    {"Content-Type": "application/json"})
        if status != 200:
            raise RuntimeError(f"{sql}: {status} {body}")
        return [json.loads(line) for line in body.splitlines()]

    def timed(self, sql):
        start = time.perf_counter()
        answer = self.ask(sql)
        return time.perf_counter() - start, answer

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def peak_memory_mb(self):
        return peak_memory_mb(self.process.pid)

    def requests(self):
        """Requests to the store since its start, by operation."""
        return scrape(f"http://127.0.0.1:{self.http}", None)

    def bytes_read(self):
        """Bytes that it read from files since its start; of sockets none. Without a store beside it, the store's."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/io").read_text().split()[1])

    def files(self):
        """Number and bytes of the table's data files."""
        (row,) = self.ask("SELECT count(*) AS files, sum(bytes) AS bytes FROM lake.files WHERE table_name = 'logs'")
        return row["files"], row["bytes"]

    def settle(self, wait_s):
        """Waits until compaction is done: for so long, then until the number of files stays for a minute.

        Nothing tells that it is done; it begins about eleven minutes after an hour's last file came.
        """
        if not wait_s:
            return
        before, now, pause_s = None, (), wait_s
        while now != before:
            time.sleep(pause_s)
            self.hang_up()
            before, now, pause_s = now, self.files(), 60

    def bytes_of_tables(self):
        """Everything of the tables in the bucket: files and logs."""
        root = self.data / "lake" / "default"
        return sum(f.stat().st_size for f in root.rglob("*") if f.is_file())
