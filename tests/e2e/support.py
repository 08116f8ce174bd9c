"""The server as a process, and a receiver that keeps a ledger of what it was sent."""

import dataclasses
import hashlib
import http.server
import json
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time

import requests

# Of a stream's `delivery`, for tests that wait for a retry.
FAST_RETRY = {"retry": {"initial_ms": 50, "max_ms": 200, "jitter": 0.1}}


def wait_until(condition, timeout_s=30, what="the condition"):
    """Polls until condition() is true; the bound is generous and only fails a hung test."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {timeout_s} s")


class Sluice:
    """`sluice serve` on one data directory; may be killed and started again."""

    def __init__(self, binary, data_dir, settings="", listen="127.0.0.1:0", environment=None,
                 wrapper=()):
        self.binary = binary
        self.data_dir = str(data_dir)
        self.listen = listen
        self.settings = settings
        self.environment = environment or {}
        self.wrapper = list(wrapper)
        self.process = None
        self.url = None
        self._tokens = {}

    def start(self):
        config = self.data_dir + ".toml"
        with open(config, "w", encoding="utf-8") as file:
            file.write('[egress]\nallow = ["127.0.0.0/8", "::1/128"]\n' + self.settings)
        with open(self.data_dir + ".stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [*self.wrapper, self.binary, "serve", "--config", config, "--data-dir",
                 self.data_dir, "--listen", self.listen],
                stdout=subprocess.PIPE, stderr=errors, text=True, env=self.environment or None)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on (https?://\S+)\n", line)
        assert found, f"no listening line but {line!r}; stderr: {self.stderr()[-2000:]}"
        self.url = found[1]
        return self

    def stderr(self):
        with open(self.data_dir + ".stderr", encoding="utf-8", errors="replace") as file:
            return file.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, timeout_s=30):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout_s)
        self.process.stdout.close()
        return status

    def close(self):
        """Ends what still runs: each server must also know how to go."""
        if self.process and self.process.poll() is None:
            status = self.stop()
            assert status == 0, f"ended with {status}: {self.stderr()[-3000:]}"

    def run(self, *arguments, **options):
        return subprocess.run([self.binary, *arguments], capture_output=True, text=True,
                              timeout=60, check=False, **options)

    def token(self, role="admin", organisation=1, ttl="24h"):
        key = (role, organisation)
        if key not in self._tokens:
            done = self.run("token", "--organisation", str(organisation), "--role", role,
                            "--ttl", ttl, "--data-dir", self.data_dir)
            assert done.returncode == 0, done.stderr
            self._tokens[key] = done.stdout.strip()
        return self._tokens[key]

    def call(self, method, path, role="admin", organisation=1, **options):
        headers = {"Authorization": "Bearer " + self.token(role, organisation)}
        headers.update(options.pop("headers", {}))
        return requests.request(method, self.url + path, headers=headers, timeout=60, **options)

    def ingest(self, kind, records, organisation=1, **options):
        """Posts records (dicts, or bytes as they are) as lines."""
        if not isinstance(records, bytes):
            records = "".join(json.dumps(r, separators=(",", ":")) + "\n" for r in records).encode()
        headers = {"Content-Type": "application/x-ndjson"} | options.pop("headers", {})
        role = options.pop("role", "ingest")
        return self.call("POST", f"/api/v2/records/{kind}", role=role, organisation=organisation,
                         data=records, headers=headers, **options)

    def create_stream(self, url, organisation=1, type_id=2, **more):
        credentials = {"url": url} | more.pop("credentials", {})
        body = {"name": "test", "data_stream_type": {"id": type_id},
                "destination": {"connection_type": "RestAPI", "credentials": credentials}} | more
        answer = self.call("POST", "/api/v2/data_stream", organisation=organisation, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def stream(self, stream_id, organisation=1):
        answer = self.call("GET", f"/api/v2/data_stream/{stream_id}", organisation=organisation)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclasses.dataclass
class Delivery:
    headers: dict
    body: bytes
    answered: int

    @property
    def webhook_id(self):
        return self.headers["webhook-id"]

    @property
    def offsets(self):
        first, last = self.headers["x-sluice-offsets"].split("-")
        return int(first), int(last)

    @property
    def records(self):
        parsed = json.loads(self.body)
        return parsed if isinstance(parsed, list) else [parsed]


class Receiver:
    """A webhook receiver. `answer(delivery) -> status` decides, or (status, headers), or None to
    hang up without an answer. Everything that came is in `deliveries`, bodies only if they are to
    be kept."""

    def __init__(self, answer=lambda delivery: 200, port=0, tls=None, host="127.0.0.1",
                 keep_bodies=True):
        self.answer = answer
        self.deliveries = []
        self.connections = set()
        self.sockets = []
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                announced = int(self.headers["Content-Length"])
                body = self.rfile.read(announced)
                if len(body) < announced:  # the sender was killed
                    self.close_connection = True
                    return
                delivery = Delivery({k.lower(): v for k, v in self.headers.items()}, body, 0)
                decided = outer.answer(delivery)
                if not keep_bodies:
                    delivery.body = b""
                with outer.lock:
                    outer.connections.add(self.client_address)
                    delivery.answered = decided[0] if isinstance(decided, tuple) else decided or 0
                    outer.deliveries.append(delivery)
                if decided is None:
                    self.close_connection = True
                    return
                status, headers = decided if isinstance(decided, tuple) else (decided, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_PUT = do_PATCH = do_POST

            def log_message(self, *arguments):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

            def process_request(self, request, client_address):
                outer.sockets.append(request)
                super().process_request(request, client_address)

        self.server = Listener((host, port), Handler)
        scheme = "http"
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.port = self.server.server_address[1]
        self.url = f"{scheme}://{host}:{self.port}/in"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        """Gone as a killed process is: kept-alive connections too."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accepted(self):
        with self.lock:
            return [d for d in self.deliveries if 200 <= d.answered < 300]

    def record_ids(self):
        return [record["id"] for delivery in self.accepted() for record in delivery.records]


def check_ledger(deliveries):
    """What delivery.md promises of one stream's accepted deliveries: first deliveries in order, no
    gap (by X-Sluice-Previous), one id one body. Returns the records, each once, in order."""
    bodies, records, newest = {}, [], None
    for delivery in deliveries:
        digest = hashlib.sha256(delivery.body).hexdigest()
        assert bodies.setdefault(delivery.webhook_id, digest) == digest, \
            f"{delivery.webhook_id} stood for two bodies"
        first, last = delivery.offsets
        if newest is not None and last <= newest:
            continue  # a repeat, allowed where an answer was lost
        previous = delivery.headers.get("x-sluice-previous")
        assert (None if previous is None else int(previous)) == newest, \
            f"{delivery.webhook_id}: previous is {previous}, but {newest} came last"
        assert newest is None or first > newest
        newest = last
        records += delivery.records
    return records


def event(record_id, organisation=1, type_id=1, **more):
    return {"id": record_id, "timestamp": "2026-11-21T08:38:02.000Z",
            "event_type": {"id": type_id, "description": "Update location"},
            "organisation": {"id": organisation, "name": "Test"}} | more


def usage(record_id, organisation=1, **more):
    return {"id": record_id, "start_timestamp": "2026-11-21 08:00:00",
            "end_timestamp": "2026-11-21 08:38:02",
            "organisation": {"id": organisation, "name": "Test"},
            "volume": {"total": 0.022331, "rx": 0.0138, "tx": 0.008531}} | more


def has_sanitizer(binary):
    return "asan" in binary or "tsan" in binary


def free_port():
    """One that stays free until somebody listens there, also while a killed broker is away:
    outgoing connections take theirs from a range above."""
    outgoing = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii")
    while True:
        port = random.randrange(10_000, int(outgoing.split()[0]))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
