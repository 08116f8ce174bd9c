"""What bench/run, bench/profile and the smoke test share: starting the programs, measuring them from
/proc, and one run of one cell. Standard library only."""

import dataclasses
import http.client
import json
import mmap
import os
import pathlib
import select
import signal
import ssl
import subprocess
import sys
import time
import urllib.parse

FIRST_ORGANISATION = 100_001  # bench_load numbers its organisations from here
STALL_S = 60                  # a run in which nothing arrives for so long has failed
FRESH_BYTES_A_RECORD = 1536   # twice what a record fills of the page cache
MADV_POPULATE_WRITE = 23      # not named by Python's mmap
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


class BenchError(Exception):
    """One sentence for the person at the terminal."""


@dataclasses.dataclass(frozen=True)
class Cell:
    body: int = 1000           # records a request
    streams: int = 1           # of each organisation
    organisations: int = 1
    format: str = "ndjson"     # or array
    backlog: bool = False      # the receiver is down until all is taken in
    tls: bool = False          # the receiver speaks TLS; only Sluice does so too

    @staticmethod
    def parse(text):
        if text == "backlog":
            return Cell(backlog=True)
        try:
            body, streams, organisations, form, *tls = text.split("/")
            cell = Cell(int(body), int(streams), int(organisations), form, tls=tls == ["tls"])
            if tls not in ([], ["tls"]):
                raise ValueError
        except ValueError:
            raise BenchError(f"{text!r} is no cell: BODY/STREAMS/ORGANISATIONS/ndjson|array[/tls] or backlog")
        if min(cell.body, cell.streams, cell.organisations) < 1 or form not in ("ndjson", "array"):
            raise BenchError(f"{text!r} is no cell: numbers from 1, format ndjson or array")
        return cell

    @property
    def name(self):
        if self.backlog:
            return "backlog"
        tls = "/tls" if self.tls else ""
        return f"{self.body}/{self.streams}/{self.organisations}/{self.format}{tls}"

    @property
    def connections(self):
        return 64 if self.body == 1 else 16

    @property
    def records(self):
        """Enough for some seconds on either side."""
        if self.backlog:
            return 2_700_000  # 2 GB
        if self.body == 1:
            return 200_000
        return 600_000 if self.streams > 1 else 2_000_000


class Process:
    """A program of ours that prints "listening on URL" when it is ready."""

    def __init__(self, argv, log_path, cores=None):
        self.name = pathlib.Path(argv[0]).name
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(
                [str(a) for a in argv], stdout=subprocess.PIPE, stderr=log, text=True,
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None)
        self.pid = self.popen.pid
        self.url = self._wait_for_url()

    def _wait_for_url(self):
        ready, _, _ = select.select([self.popen.stdout], [], [], 30)
        line = self.popen.stdout.readline() if ready else ""
        if not line.startswith("listening on "):
            self.popen.kill()
            raise BenchError(f"{self.name} did not start: {line.strip()} {self.log_tail()}")
        return line.split()[-1]

    def log_tail(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")[-2000:]

    def proc(self, name):
        return pathlib.Path(f"/proc/{self.pid}/{name}").read_text()

    def cpu_s(self):
        fields = self.proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S  # utime, stime

    def io(self):
        return {key: int(value) for key, value in
                (line.split(": ") for line in self.proc("io").splitlines())}

    def peak_rss_mib(self):
        line = next(l for l in self.proc("status").splitlines() if l.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def get(self, path):
        with HttpClient(self.url) as client:
            return client.call("GET", path)

    def stop(self):
        """Ends it and returns what it still had to say."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            rest, _ = self.popen.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.communicate()
            raise BenchError(f"{self.name} did not stop within 30 s")
        if self.popen.returncode != 0:
            raise BenchError(f"{self.name} ended with {self.popen.returncode}: {self.log_tail()}")
        return rest


class HttpClient:
    def __init__(self, url, token=None):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https":  # of our own receiver
            self.connection = http.client.HTTPSConnection(
                parts.netloc, timeout=30, context=ssl._create_unverified_context())
        else:
            self.connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def call(self, method, path, body=None):
        headers = dict(self.headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise BenchError(f"{method} {path} was answered {answer.status}: {text[:500]}")
        return json.loads(text) if text else None


class Floor:
    """bench_floor. Knows no organisations: its streams carry everything."""
    token = None

    def __init__(self, programs, directory, cell, sink_url, cores, threads):
        self.process = Process(
            [programs / "bench/bench_floor", "--dir", directory, "--sink", sink_url + "/in",
             "--streams", cell.streams, "--threads", threads], directory / "floor.stderr", cores)


class Sluice:
    """The product, with `cell.streams` webhooks for each organisation."""

    def __init__(self, programs, directory, cell, sink_url, cores, load, settings=""):
        """`settings`: more of [egress]."""
        self.binary = programs / "sluice"
        self.data = directory / "data"
        config = directory / "sluice.toml"
        trusted = f'ca_file = "{directory / "sink.pem"}"\n' if cell.tls else ""
        config.write_text('[egress]\nallow = ["127.0.0.0/8"]\n' + trusted + settings)
        self.process = Process(
            [self.binary, "serve", "--config", config, "--data-dir", self.data,
             "--listen", "127.0.0.1:0"], directory / "sluice.stderr", cores)
        try:
            if cell.organisations == 1:
                self.token = self.make_token("ingest", FIRST_ORGANISATION)
                admin = self.make_token("admin", FIRST_ORGANISATION)
                self.create_streams(cell, sink_url, [None], admin)
            else:
                self.token = self.make_token("operator")
                # An organisation exists from its first record of the operator's feed.
                load(self.process.url, self.token, records=cell.organisations, body=1,
                     organisations=cell.organisations)
                organisations = range(FIRST_ORGANISATION, FIRST_ORGANISATION + cell.organisations)
                self.create_streams(cell, sink_url, organisations, self.token)
        except BaseException:
            self.process.stop()
            raise

    def make_token(self, role, organisation=None):
        bound = ["--organisation", str(organisation)] if organisation else []
        made = subprocess.run(
            [self.binary, "token", "--role", role, *bound, "--data-dir", self.data],
            capture_output=True, text=True)
        if made.returncode != 0:
            raise BenchError(f"no token: {made.stderr.strip()}")
        return made.stdout.strip()

    def create_streams(self, cell, sink_url, organisations, token):
        delivery = {"linger_ms": 0}
        if cell.backlog:
            delivery["retry"] = {"initial_ms": 100, "max_ms": 1000, "jitter": 0}
        with HttpClient(self.process.url, token) as client:
            for organisation in organisations:
                query = f"?organisation_id={organisation}" if organisation else ""
                for number in range(cell.streams):
                    client.call("POST", "/api/v2/data_stream" + query, {
                        "name": f"bench {number}",
                        "data_stream_type": {"id": 1},
                        "destination": {
                            "connection_type": "RestAPI", "format": "Json",
                            "credentials": {"url": f"{sink_url}/in/{number}", "method": "POST",
                                            "size": 3000}},
                        "delivery": delivery})


class Bench:
    """One run of one cell after the other."""

    def __init__(self, programs, scale=1.0, rate=0, floor_threads=1, pin=False, perf=None):
        self.programs = pathlib.Path(programs)
        self.scale = scale
        self.rate = rate
        self.floor_threads = floor_threads
        self.server_cores = {0} if pin else None
        self.other_cores = {1} if pin else None
        self.perf = perf  # perf.data to write, or None

    def run(self, side, cell, directory):
        directory = pathlib.Path(directory)
        if cell.tls and side == "floor":
            raise BenchError("the floor does not speak TLS: --sides sluice")
        sink = self.start_sink(directory, tls=cell.tls)
        server = None
        try:
            server = self.start_server(side, cell, directory, sink.url)
            if cell.backlog:
                sink.stop()
            result, sink = self.measure(server, cell, directory, sink)
            return result
        except BenchError as error:
            raise BenchError(f"{error} {server.process.log_tail() if server else ''}")
        finally:
            for process in (server.process if server else None, sink):
                if process is not None and process.popen.poll() is None:
                    process.stop()

    def start_sink(self, directory, listen="127.0.0.1:0", tls=False, log=None):
        argv = [self.programs / "bench/bench_sink", "--listen", listen]
        if log:
            argv += ["--log", log]
        if tls:
            key, certificate = directory / "sink.key", directory / "sink.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=sink",
                            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
                           check=True, capture_output=True)
            argv += ["--tls-cert", certificate, "--tls-key", key]
        return Process(argv, directory / "sink.stderr", self.other_cores)

    def start_server(self, side, cell, directory, sink_url):
        if side == "floor":
            return Floor(self.programs, directory, cell, sink_url, self.server_cores,
                         self.floor_threads)
        return Sluice(self.programs, directory, cell, sink_url, self.server_cores, self.load)

    def load(self, url, token, records, body, organisations=1, connections=16, form="ndjson",
             rate=None):
        argv = [self.programs / "bench/bench_load", "--url", url,
                "--body-records", body, "--records", records, "--organisations", organisations,
                "--connections", connections, "--format", form, "--rate",
                self.rate if rate is None else rate]
        if token:
            argv += ["--token", token]
        cores = self.other_cores
        done = subprocess.run(
            [str(a) for a in argv], capture_output=True, text=True,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None)
        if done.returncode != 0:
            raise BenchError(done.stderr.strip())
        return json.loads(done.stdout)

    def start_load(self, server, directory, first_organisation, organisations, body, connections,
                   rate):
        """Records at a rate until the process is killed."""
        argv = [self.programs / "bench/bench_load", "--url", server.process.url, "--token",
                server.token, "--body-records", body, "--first-organisation", first_organisation,
                "--organisations", organisations, "--connections", connections, "--rate", rate,
                "--duration", 86_400]
        with open(directory / "load.stderr", "ab") as log:
            return subprocess.Popen([str(a) for a in argv], stdout=log, stderr=log)

    def measure(self, server, cell, directory, sink):
        process = server.process
        records = int(cell.records * self.scale)
        touch_free_memory(records)
        recorder = self.start_perf(process.pid) if self.perf else None
        sink_before = None if cell.backlog else sink.get("/stats")
        io_before, cpu_before, busy_before = process.io(), process.cpu_s(), busy_cpu_s()
        began = time.monotonic()
        load = self.load(process.url, server.token, records, cell.body,
                         cell.organisations, cell.connections, cell.format)
        result = {}
        if cell.backlog:
            result["rss_peak_after_ingest_mib"] = process.peak_rss_mib()
            result["cpu_server_ingest_s_per_m"] = (process.cpu_s() - cpu_before) / load["records"] * 1e6
            sink = self.start_sink(directory, urllib.parse.urlsplit(sink.url).netloc)
            sink_before = {"records": 0, "cpu_s": 0}
        expected = load["records"] * cell.streams
        sink_after = wait_until_delivered(sink, sink_before["records"] + expected)
        elapsed = time.monotonic() - began
        if recorder:
            recorder.send_signal(signal.SIGINT)
            recorder.wait()
        millions = load["records"] / 1e6
        io_after = process.io()
        cpu = {"server": process.cpu_s() - cpu_before, "load": load["cpu_s"],
               "sink": sink_after["cpu_s"] - sink_before["cpu_s"]}
        foreign = busy_cpu_s() - busy_before - sum(cpu.values())
        delivered = sink_after["records"] - sink_before["records"]
        result |= {
            "records": load["records"], "seconds": load["seconds"],
            "in_per_s": load["records_per_s"],
            "end_to_end_per_s": load["records"] / (sink_after["last_s"] - load["start_s"]),
            "out_per_s": delivered / (sink_after["last_s"] - load["start_s"]),
            "duplicates": delivered - expected,
            "refused": load["refused"],
            "ack_ms": load["ack_ms"],
            "cpu_s_per_m": {name: value / millions for name, value in cpu.items()},
            "rss_peak_mib": process.peak_rss_mib(),
            "written_per_byte":
                (io_after["write_bytes"] - io_before["write_bytes"]) / load["body_bytes"],
            "wchar_per_byte": (io_after["wchar"] - io_before["wchar"]) / load["body_bytes"],
            "foreign_cpu": min(1.0, max(0.0, foreign) / (elapsed * os.cpu_count())),
        }
        if cell.backlog:
            result["catch_up_per_s"] = delivered / (sink_after["last_s"] - sink_after["first_s"])
        return result, sink

    def start_perf(self, pid):
        recorder = subprocess.Popen(
            ["perf", "record", "-q", "-F", "499", "--call-graph", "dwarf,16384", "-o", self.perf,
             "-p", str(pid)], stdout=subprocess.DEVNULL)
        time.sleep(0.5)  # perf has no way to say that it is attached
        if recorder.poll() is not None:
            raise BenchError("perf record does not run here; see its message above")
        return recorder


def wait_until_delivered(sink, wanted):
    last_records, last_progress = -1, time.monotonic()
    while True:
        stats = sink.get("/stats")
        if stats["records"] >= wanted:
            return stats
        now = time.monotonic()
        if stats["records"] != last_records:
            last_records, last_progress = stats["records"], now
        elif now - last_progress > STALL_S:
            raise BenchError(f"only {stats['records']} of {wanted} records arrived, none for "
                             f"{STALL_S} s")
        time.sleep(0.05)


def busy_cpu_s():
    """CPU seconds spent by anyone on this machine, stolen ones included."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS_PER_S


def touch_free_memory(records):
    """Takes memory and gives it back. A virtual machine returns what is free to its host, and the next to
    use it pays for getting it again, several times what the copy into it costs: now we, not the run."""
    available = next(int(l.split()[1]) * 1024 for l in open("/proc/meminfo") if "MemAvailable" in l)
    size = min(records * FRESH_BYTES_A_RECORD, available // 2)
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)  # the file system takes it in blocks as large
        memory.madvise(MADV_POPULATE_WRITE)


def build(root, build_dir, targets):
    """The release preset; says nothing unless it fails."""
    commands = [["cmake", "--preset", "release", "-B", str(build_dir)],
                ["ninja", "-C", str(build_dir), *targets]]
    for command in commands:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode != 0:
            sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
            raise BenchError(f"{command[0]} failed")
