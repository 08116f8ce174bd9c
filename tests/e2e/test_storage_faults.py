"""A disk that fails under the real binary: faults are injected into its system calls while it runs."""

import os
import pathlib
import signal
import subprocess

import pytest

from support import check_ledger, event, wait_until


class Faults:
    """strace on the running server: from now on these calls fail."""

    def __init__(self, server, calls, error, when, tmp_path):
        self.server = server
        self.strace = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", f"trace={calls}", "-e",
             f"inject={calls}:error={error}:when={when}", "-p", str(server.process.pid)])
        wait_until(self.attached, what="strace")

    def attached(self):
        tasks = pathlib.Path("/proc", str(self.server.process.pid), "task").glob("*/status")
        traced = [f"TracerPid:\t{self.strace.pid}" in task.read_text("utf-8") for task in tasks]
        return bool(traced) and all(traced)

    def end(self):
        self.strace.send_signal(signal.SIGINT)
        self.strace.wait(30)


@pytest.fixture
def fail(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("attaching strace needs root")
    running = []

    def begin(server, calls, error, when):
        running.append(Faults(server, calls, error, when, tmp_path))
        return running[-1]
    yield begin
    for faults in running:
        faults.end()


@pytest.mark.parametrize("calls, error, when", [
    ("fdatasync", "EIO", "1+1"), ("fdatasync", "EIO", "2+3"), ("pwrite64,pwritev", "EIO", "1+2"),
    ("pwrite64,pwritev", "ENOSPC", "1+1"), ("fdatasync", "ENOSPC", "1+2")])
def test_what_was_acknowledged_is_delivered_whatever_the_disk_says(sluice, receivers, fail, calls,
                                                                   error, when):
    target = receivers()
    stream = sluice.create_stream(target.url, credentials={"size": 5})["id"]
    acknowledged = []

    def ingest(first):
        answer = sluice.ingest("events", [event(first + i) for i in range(5)])
        if answer.status_code == 200:
            acknowledged.extend(range(first, first + 5))
        else:
            assert answer.status_code == 503 and answer.headers["Retry-After"], answer.text
        return answer.status_code
    assert ingest(0) == 200
    wait_until(lambda: len(target.record_ids()) == 5)

    faults = fail(sluice, calls, error, when)
    refused = [ingest(first) for first in range(100, 200, 5)].count(503)
    assert refused > 0, "no fault was felt"
    assert sluice.call("GET", "/healthz").status_code == 200
    assert sluice.stream(stream)["status"]["id"] == 1
    faults.end()

    wait_until(lambda: ingest(1000 + len(acknowledged)) == 200, what="ingest going on by itself")
    wait_until(lambda: sluice.call("GET", "/readyz").status_code == 200, what="readiness")
    wait_until(lambda: sluice.stream(stream)["progress"]["lag_records"] == 0)
    sluice.kill()
    sluice.start()
    assert ingest(5000) == 200
    wait_until(lambda: sluice.stream(stream)["progress"]["lag_records"] == 0)
    assert sluice.call("GET", "/readyz").status_code == 200
    ledger = [record["id"] for record in check_ledger(target.accepted())]
    # Refused ones may be there or not: nobody was told.
    assert [i for i in ledger if i in set(acknowledged)] == acknowledged
    assert len(set(ledger)) == len(ledger)


def test_deliveries_go_on_while_the_log_takes_nothing(sluice, receivers, fail):
    """What is read needs no write where batches follow from the cursor alone."""
    open_for_business = []
    target = receivers(answer=lambda _: 200 if open_for_business else 503)
    stream = sluice.create_stream(target.url, credentials={"size": 1}, delivery={
        "retry": {"initial_ms": 10, "max_ms": 50}})["id"]
    sluice.ingest("events", [event(i) for i in range(50)])
    wait_until(lambda: target.deliveries)
    faults = fail(sluice, "fdatasync", "EIO", "1+1")
    assert sluice.ingest("events", [event(100)]).status_code == 503
    assert sluice.call("GET", "/readyz").status_code == 503
    open_for_business.append(True)
    wait_until(lambda: len(target.record_ids()) >= 40, what="deliveries during the fault")
    faults.end()
    wait_until(lambda: sluice.ingest("events", [event(200)]).status_code == 200)
    wait_until(lambda: 200 in target.record_ids())
    assert list(dict.fromkeys(i for i in target.record_ids() if i < 100)) == list(range(50))
    assert sluice.stream(stream)["status"]["id"] == 1
