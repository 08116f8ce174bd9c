"""A start with a large backlog reads footers, not records."""

import json
import os
import pathlib
import threading
import time

from support import check_ledger, event, wait_until

BYTES = int(os.environ.get("SLUICE_BACKLOG_BYTES", 48 << 20))
SEGMENT = max(1 << 20, min(BYTES // 64, 128 << 20))
DEEP = BYTES > 1 << 30
BODY_RECORDS = 4000
PAD = "x" * 600


def body(first):
    return "".join(json.dumps(event(i, description=PAD)) + "\n"
                   for i in range(first, first + BODY_RECORDS)).encode()


def fill(server):
    """Records of ids from 0 on, until BYTES are stored. Returns how many."""
    lock, state = threading.Lock(), {"next": 0, "bytes": 0}

    def feed():
        while True:
            with lock:
                if state["bytes"] >= BYTES:
                    return
                first = state["next"]
                state["next"] += BODY_RECORDS
            text = body(first)
            assert server.ingest("events", text).status_code == 200
            with lock:
                state["bytes"] += len(text)
    feeders = [threading.Thread(target=feed) for _ in range(1 if not DEEP else 4)]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    return state["next"]


def log_bytes(server):
    return sum(f.stat().st_size for f in pathlib.Path(server.data_dir, "log").rglob("*.seg"))


def bytes_read(server):
    for line in pathlib.Path(f"/proc/{server.process.pid}/io").read_text("utf-8").splitlines():
        if line.startswith("rchar: "):
            return int(line.split()[1])
    raise AssertionError("no rchar")


def test_a_start_does_not_read_the_backlog(start, receivers):
    open_for_business = []
    target = receivers(answer=lambda _: 200 if open_for_business else 503)
    sluice = start(settings=f"[recordlog]\nsegment_bytes = {SEGMENT}\n")
    delivery = {"retry": {"initial_ms": 100, "max_ms": 500}}
    stream = sluice.create_stream(target.url, credentials={"size": 1000}, delivery=delivery)["id"]
    for _ in range(5):
        paused = sluice.create_stream(target.url)["id"]
        sluice.call("PATCH", f"/api/v2/data_stream/{paused}", json={"status": 2})
    count = fill(sluice)
    for end in (sluice.kill, sluice.stop):
        end()
        began = time.monotonic()
        sluice.start()
        read = bytes_read(sluice)
        print(f"after {end.__name__}: ready in {time.monotonic() - began:.1f} s, "
              f"{read >> 20} of {log_bytes(sluice) >> 20} MiB read")
        assert sluice.call("GET", "/readyz").status_code == 200
        # Segments that were growing are read; and the streams' first batches, of at most 5 MiB.
        assert read < 8 * SEGMENT + (32 << 20), f"{read} bytes of {log_bytes(sluice)}"
    shown = sluice.stream(stream)["progress"]
    assert shown["lag_records"] == count
    if DEEP:
        return
    open_for_business.append(True)
    wait_until(lambda: sluice.stream(stream)["progress"]["delivered"] == count, timeout_s=120)
    ledger = check_ledger(d for d in target.accepted() if d.headers["x-sluice-stream"] == str(stream))
    assert [record["id"] for record in ledger] == list(range(count))
