"""A disk that is really full: a small tmpfs."""

import os
import pathlib
import subprocess

import pytest

from support import Receiver, check_ledger, event, wait_until

MIB = 1 << 20
SETTINGS = f"""
[limits]
reserve_bytes = {4 * MIB}
data_bytes_max = {1024 * MIB}
[recordlog]
segment_bytes = {2 * MIB}
"""


@pytest.fixture
def small_disk(tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", directory],
                             check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


def fill(path, size=None):
    """Until the disk has no byte left, or `size`."""
    piece = b"x" * 65536
    with open(path, "wb", buffering=0) as file:
        try:
            while size is None or file.tell() < size:
                file.write(piece)
            return
        except OSError:
            piece = b"x"
        try:
            while file.write(piece):
                pass
        except OSError:
            pass


def reserve_bytes(sluice):
    for line in sluice.call("GET", "/metrics").text.splitlines():
        if line.startswith("sluice_disk_reserve_bytes "):
            return float(line.split()[1])
    raise AssertionError("no such metric")


def ingest_until_refused(sluice):
    accepted = []
    while True:
        records = [event(len(accepted) + i, description="x" * 20_000) for i in range(40)]
        answer = sluice.ingest("events", records)
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]
            return accepted
        assert answer.status_code == 200, answer.text
        accepted += [record["id"] for record in records]


def test_a_full_disk_leaves_room_for_the_catalog(start, small_disk):
    sluice = start(data_dir=small_disk, settings=SETTINGS)
    for role in ("operator", "admin"):
        sluice.token(role)  # a process of its own, that writes into the catalog
    fill(small_disk / "filler")
    for i in range(100):
        made = sluice.call("POST", "/api/v2/organisation", role="operator",
                           json={"id": 100 + i, "name": "x" * 60})
        assert made.status_code == 201, made.text
    assert reserve_bytes(sluice) == 0
    os.remove(small_disk / "filler")
    wait_until(lambda: reserve_bytes(sluice) == 4 * MIB, what="the reserve")


def test_a_full_disk_stops_ingest_alone(start, small_disk):
    open_for_business = []
    receiver = Receiver(lambda _: 200 if open_for_business else 503)
    fill(small_disk / "other", 24 * MIB)
    sluice = start(data_dir=small_disk, settings=SETTINGS)
    reserve = pathlib.Path(sluice.data_dir, "reserve")
    assert reserve.stat().st_blocks * 512 >= 4 * MIB
    stream = sluice.create_stream(receiver.url, credentials={"size": 1}, delivery={
        "retry": {"initial_ms": 10, "max_ms": 100}})["id"]
    accepted = ingest_until_refused(sluice)
    assert len(accepted) > 100
    fill(small_disk / "filler")

    open_for_business.append(True)
    wait_until(lambda: len(receiver.accepted()) >= len(accepted), what="every delivery")
    for i in range(100):
        changed = sluice.call("PATCH", f"/api/v2/data_stream/{stream}",
                              json={"labels": [f"{i}" + "x" * 60]})
        assert changed.status_code == 202, changed.text
    assert reserve_bytes(sluice) == 0 and not reserve.exists()
    assert "its reserve goes to" in sluice.stderr()
    assert sluice.ingest("events", [event(1)]).status_code == 503

    # Cursors are on disk, and a full disk does not stop a start.
    wait_until(lambda: sluice.stream(stream)["progress"]["lag_records"] == 0, what="the cursor")
    sluice.kill()
    sluice.start()
    assert sluice.stream(stream)["labels"] == ["99" + "x" * 60]
    assert reserve_bytes(sluice) == 0
    assert sluice.ingest("events", [event(1)]).status_code == 503

    os.remove(small_disk / "other")
    wait_until(lambda: sluice.ingest("events", [event(10_000)]).status_code == 200,
               what="ingest going on by itself")
    assert reserve_bytes(sluice) == 4 * MIB and reserve.stat().st_blocks * 512 >= 4 * MIB
    wait_until(lambda: 10_000 in receiver.record_ids(), what="the last record")
    ledger = check_ledger(receiver.accepted())
    assert [record["id"] for record in ledger] == accepted + [10_000]
    receiver.close()
