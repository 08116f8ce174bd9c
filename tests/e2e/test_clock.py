"""Wall clocks that are set forward and back under the server: libfaketime tells it the time, its
steady clock goes on as it is."""

import glob
import os
import pathlib

import pytest

from support import check_ledger, event, has_sanitizer, wait_until

DAY = 86_400
LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
SLOW_RETRY = {"retry": {"initial_ms": 600_000, "jitter": 0}, "error_after_s": 2 * DAY}

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="the Debian package faketime is missing")


class Clock:
    """The server's wall clock, as an offset to the true one."""

    def __init__(self, directory):
        self.file = pathlib.Path(directory, "clock")
        self.set(0)

    def set(self, seconds):
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}", "ascii")
        new.rename(self.file)

    def environment(self):
        return os.environ | {
            "LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}


@pytest.fixture
def clock(tmp_path, binary):
    if has_sanitizer(binary):
        pytest.skip("libfaketime and the sanitizers' interposers do not go together")
    return Clock(tmp_path)


def suspended(server):
    shown = server.call("GET", "/metrics").text.splitlines()
    return "sluice_recordlog_deletion_suspended 1" in shown


def stored_times(server):
    return [item["stored"] for item in server.call("GET", "/api/v2/records").json()["items"]]


def segments(server):
    return sorted(pathlib.Path(server.data_dir).glob("log/p*/*.seg"))


def test_the_clock_set_forward_and_back_under_a_running_server(start, receivers, clock):
    steady, failing = receivers(), receivers(answer=lambda _: 503)
    server = start(environment=clock.environment(), settings="[recordlog]\nretention_days = 1\n")
    stream = server.create_stream(steady.url)["id"]
    stuck = server.create_stream(failing.url, delivery=SLOW_RETRY)["id"]
    for role in ("ingest", "admin"):
        server.token(role, ttl="2000h")
    server.ingest("events", [event(1)])
    wait_until(lambda: steady.record_ids() == [1] and failing.deliveries)
    kept = segments(server)

    clock.set(30 * DAY)
    assert server.ingest("events", [event(2)]).status_code == 200
    wait_until(lambda: steady.record_ids() == [1, 2])
    wait_until(lambda: suspended(server), 90, "deletion being suspended")  # it looks once a minute
    assert pathlib.Path(server.data_dir, "log/DELETION-SUSPENDED").exists()
    assert kept == segments(server), "nothing is deleted by a clock in doubt"

    clock.set(-30 * DAY)
    assert server.ingest("events", [event(3)]).status_code == 200
    wait_until(lambda: steady.record_ids() == [1, 2, 3])
    clock.set(0)
    assert server.ingest("events", [event(4)]).status_code == 200
    wait_until(lambda: steady.record_ids() == [1, 2, 3, 4])

    times = stored_times(server)
    assert times == sorted(times) and len(times) == 4, "stored time never goes back"
    # Back-off, and the time to Error, go by the steady clock.
    assert len(failing.deliveries) == 1
    assert server.stream(stuck)["status"]["id"] == 1 and server.stream(stream)["status"]["id"] == 1
    assert server.call("GET", "/readyz").status_code == 200
    check_ledger(steady.accepted())


@pytest.mark.parametrize("jump", [30 * DAY, -30 * DAY])
def test_a_start_with_a_wrong_clock(start, receivers, clock, jump):
    target = receivers()
    server = start(environment=clock.environment())
    stream = server.create_stream(target.url)["id"]
    for role in ("ingest", "admin"):
        server.token(role, ttl="2000h")
    server.ingest("events", [event(1)])
    wait_until(lambda: server.stream(stream)["progress"]["lag_records"] == 0)
    server.stop()

    clock.set(jump)
    server.start()
    assert suspended(server) == (jump > 0), "more than the retention after the newest record"
    assert server.ingest("events", [event(2)]).status_code == 200
    wait_until(lambda: target.record_ids() == [1, 2])
    server.stop()

    clock.set(0)
    server.start()
    assert suspended(server) == (jump > 0), "until 24 hours have passed, or the operator says so"
    assert server.ingest("events", [event(3)]).status_code == 200
    wait_until(lambda: target.record_ids() == [1, 2, 3])
    times = stored_times(server)
    assert times == sorted(times) and len(times) == 3
    if jump > 0:
        pathlib.Path(server.data_dir, "log/DELETION-SUSPENDED").unlink()
        wait_until(lambda: not suspended(server), 90, "the operator's word")
    check_ledger(target.accepted())
