"""Files of the data directory that are damaged, gone or locked: the rest goes on, and says so."""

import pathlib
import sqlite3

import pytest
import requests

from support import event, wait_until

FAST = {"retry": {"initial_ms": 10, "max_ms": 50}}


def segments(server):
    return sorted(pathlib.Path(server.data_dir).glob("log/p*/*.seg"),
                  key=lambda file: file.stat().st_size, reverse=True)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0xff
    path.write_bytes(data)


def held_back(start, receivers, count=2000):
    """A server with undelivered records in a sealed segment, stopped."""
    answers = {"status": 503}
    target = receivers(answer=lambda _: answers["status"])
    sluice = start()
    stream = sluice.create_stream(target.url, credentials={"size": 100}, delivery=FAST)["id"]
    for first in range(0, count, 100):
        sluice.ingest("events", [event(first + i, description="x" * 500) for i in range(100)])
    sluice.stop()
    answers["status"] = 200
    return sluice, target, stream


def test_damage_in_a_segment_costs_its_chunk_alone(start, receivers):
    sluice, target, stream = held_back(start, receivers)
    segment = segments(sluice)[0]
    flip(segment, segment.stat().st_size // 2)
    assert sluice.run("log", "verify", sluice.data_dir).returncode == 1
    sluice.start()
    wait_until(lambda: sluice.stream(stream)["progress"]["lag_records"] == 0)
    ids = target.record_ids()
    lost = 2000 - len(set(i for i in ids if i < 2000))
    assert 0 < lost <= 1000 and ids == sorted(set(ids))
    assert sluice.ingest("events", [event(5000)]).status_code == 200
    wait_until(lambda: 5000 in target.record_ids())
    answer = sluice.call("GET", "/readyz")
    assert answer.status_code == 503 and "damage" in answer.text
    alerts = sluice.call("GET", "/api/v2/records", params={
        "kind": "event", "filters": '[{"field": "event_type_id", "value": 10008}]'}).json()["items"]
    assert [alert["record"]["detail"]["records"] for alert in alerts] == [lost]


def test_a_segment_that_is_gone_is_missed_even_if_it_was_the_only_one(start, receivers):
    sluice, target, stream = held_back(start, receivers)
    segments(sluice)[0].unlink()
    sluice.start()
    assert sluice.ingest("events", [event(5000)]).status_code == 200
    shown = wait_until(lambda: (s := sluice.stream(stream))["status"]["id"] == 3 and s
                       or 5000 in target.record_ids() and s)
    assert shown["status"]["id"] == 1 or "LogTruncated" in shown["last_error"]
    assert sluice.call("GET", "/healthz").status_code == 200
    answer = sluice.call("GET", "/readyz")
    assert answer.status_code == 503 and "missing" in answer.text


@pytest.mark.parametrize("fate", ["junk", "gone"])
def test_a_damaged_journal_costs_repeats_and_no_records(start, receivers, fate):
    sluice, target, stream = held_back(start, receivers)
    sluice.start()
    wait_until(lambda: sluice.stream(stream)["progress"]["lag_records"] == 0)
    lost = "sluice_journal_lost_streams_total"
    assert f"{lost} 0" in requests.get(sluice.url + "/metrics", timeout=30).text
    sluice.stop()
    for file in pathlib.Path(sluice.data_dir, "journal").glob("*.log"):
        if fate == "gone":
            file.unlink()
        else:
            file.write_bytes(b"\xff" * file.stat().st_size)
    sluice.start()
    assert f"{lost} 1" in requests.get(sluice.url + "/metrics", timeout=30).text
    assert "the stream journal has lost a stream" in sluice.stderr()
    sluice.ingest("events", [event(5000)])
    wait_until(lambda: 5000 in target.record_ids())
    assert set(range(2000)) <= set(target.record_ids())
    assert fate == "gone" or list(pathlib.Path(sluice.data_dir, "journal", "quarantine").iterdir())


def test_a_locked_catalog_stops_no_delivery(sluice, receivers):
    target = receivers()
    sluice.create_stream(target.url)
    assert sluice.token("ingest") and sluice.token("operator")  # made by a process that writes
    other = sqlite3.connect(pathlib.Path(sluice.data_dir, "catalog.db"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        for i in range(20):
            assert sluice.ingest("events", [event(i)]).status_code == 200
        wait_until(lambda: target.record_ids() == list(range(20)))
        answer = sluice.call("POST", "/api/v2/organisation", role="operator", json={"id": 77})
        assert answer.status_code == 503 and answer.headers["Retry-After"], answer.text
    finally:
        other.execute("ROLLBACK")
    made = sluice.call("POST", "/api/v2/organisation", role="operator", json={"id": 77})
    assert made.status_code == 201


def test_a_damaged_catalog_refuses_the_start_in_one_sentence(start, receivers):
    sluice = start()
    sluice.create_stream(receivers().url)
    sluice.stop()
    catalog = pathlib.Path(sluice.data_dir, "catalog.db")
    data = bytearray(catalog.read_bytes())
    data[4096:] = b"\x55" * (len(data) - 4096)
    catalog.write_bytes(data)
    done = sluice.run("serve", "--data-dir", sluice.data_dir, "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "catalog.db" in done.stderr and "backup" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
