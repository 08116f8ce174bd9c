"""What a stream's owner sees of its deliveries: attempts, whose fault, nothing secret."""

import json
import sqlite3

import requests

from support import Receiver, event, free_port, wait_until

NOW = {"delivery": {"retry": {"initial_ms": 10, "max_ms": 20}}}


def attempts(sluice, stream, query=""):
    answer = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts{query}", role="viewer")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def without_exchange(attempt):
    return {name: value for name, value in attempt.items()
            if not name.startswith(("request_", "response_"))}


def settled(sluice, stream):
    return lambda: sluice.stream(stream["id"])["progress"]["lag_records"] == 0


def test_each_attempt_is_there_with_what_was_sent_and_answered(sluice):
    answers = iter([(503, {"X-Echo": "s3cret-word"}), 200])
    receiver = Receiver(lambda delivery: next(answers, 200))
    stream = sluice.create_stream(receiver.url + "?key=hidden-key",
                                  credentials={"headers": ["X-Key: s3cret-word"]}, **NOW)
    assert sluice.ingest("events", [event(1), event(2)]).status_code == 200
    wait_until(settled(sluice, stream))
    newest, first = attempts(sluice, stream)
    sent = receiver.deliveries[0]
    assert first["webhook_id"] == newest["webhook_id"] == sent.webhook_id
    assert (first["attempt"], newest["attempt"]) == (1, 2)
    assert (first["first_offset"], first["last_offset"]) == sent.offsets
    assert first["records"] == 2 and first["bytes"] == len(sent.body) - 3
    assert (first["status"], first["outcome"], first["fault"]) == (503, "retry", "destination")
    assert "503" in first["error"] and first["latency_ms"] > 0
    assert first["request_body"].encode() == sent.body
    assert first["request_headers"]["webhook-id"] == sent.webhook_id
    assert first["request_headers"]["X-Key"] == "***"
    assert first["response_headers"]["X-Echo"] == "***"
    assert first["response_body"] == ""
    assert (newest["status"], newest["outcome"]) == (200, "delivered")
    assert newest["error"] is None and newest["fault"] is None
    assert newest["request_body"] == first["request_body"]
    assert "s3cret" not in json.dumps([first, newest]) and "hidden" not in json.dumps([first, newest])
    sluice.stop()
    for file in ("attempts.db", "attempts.db-wal"):
        try:
            with open(f"{sluice.data_dir}/{file}", "rb") as store:
                content = store.read()
        except FileNotFoundError:
            continue
        assert b"s3cret" not in content and b"hidden" not in content


def test_a_failed_connection_is_the_networks_and_keeps_the_request(sluice):
    stream = sluice.call("POST", "/api/v2/data_stream?validate=false", json={
        "data_stream_type": 2, "destination": {
            "connection_type": "RestAPI",
            "credentials": {"url": f"http://127.0.0.1:{free_port()}/"}}} | NOW).json()
    sluice.ingest("events", [event(1)])
    first = wait_until(lambda: attempts(sluice, stream))[-1]
    assert (first["status"], first["outcome"], first["fault"]) == (502, "retry", "network")
    assert json.loads(first["request_body"])[0]["id"] == 1
    assert first["response_headers"] is None and first["response_body"] is None


def test_the_last_twenty_successes_keep_their_bodies_through_kill_and_start(sluice, receiver):
    stream = sluice.create_stream(receiver.url, credentials={"size": 1})
    sluice.ingest("events", [event(n) for n in range(60)])
    wait_until(settled(sluice, stream))
    listed = attempts(sluice, stream)
    assert len(listed) == 60  # and so they are written
    sluice.kill()
    sluice.start()
    kept = attempts(sluice, stream)[-60:]  # before them what the crash repeats
    assert [without_exchange(a) for a in kept] == [without_exchange(a) for a in listed]
    assert [a["request_body"] is not None for a in listed] == [True] * 20 + [False] * 40
    assert [a["first_offset"] for a in listed] == sorted(
        (a["first_offset"] for a in listed), reverse=True)


def test_a_damaged_attempts_log_is_begun_anew(sluice, receiver):
    stream = sluice.create_stream(receiver.url)
    sluice.ingest("events", [event(1)])
    wait_until(settled(sluice, stream))
    sluice.stop()
    with open(sluice.data_dir + "/attempts.db", "wb") as store:
        store.write(b"rubbish" * 5000)
    sluice.start()
    sluice.ingest("events", [event(2)])
    wait_until(settled(sluice, stream))
    assert [a["records"] for a in attempts(sluice, stream)] == [1]
    assert "begun anew" in sluice.stderr()


def metrics(sluice, stream, query=""):
    answer = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/metrics{query}", role="viewer")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_metrics_sum_up_the_attempts_also_those_before_a_start(sluice):
    answers = iter([500, 500])
    receiver = Receiver(lambda delivery: next(answers, 200))
    stream = sluice.create_stream(receiver.url, **NOW)
    sluice.ingest("events", [event(n) for n in range(7)])
    wait_until(settled(sluice, stream))
    before = metrics(sluice, stream, "?window=1h")
    assert (before["success_count"], before["error_count"], before["records"]) == (1, 2, 7)
    assert before["bytes"] == len(receiver.accepted()[0].body) - 2 - 6
    assert 0 < before["latency_ms"]["p50"] <= before["latency_ms"]["p99"]
    assert (before["lag_records"], before["lag_s"]) == (0, 0)
    sluice.stop()
    sluice.start()
    sluice.ingest("events", [event(8)])
    wait_until(settled(sluice, stream))
    after = metrics(sluice, stream)
    assert after["window"] == "3h"
    assert (after["success_count"], after["error_count"], after["records"]) == (2, 2, 8)
    assert metrics(sluice, stream, "?window=24h")["success_count"] == 2
    assert sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/metrics?window=25h").status_code == 400


def test_a_test_goes_out_beside_a_paused_stream_and_moves_nothing(sluice):
    receiver = Receiver(lambda delivery: 202 if "x-sluice-test" in delivery.headers else 200)
    stream = sluice.create_stream(receiver.url, credentials={"headers": ["X-Key: s3cret-word"]})
    path = f"/api/v2/data_stream/{stream['id']}"
    assert sluice.call("PATCH", path, json={"status": {"id": 2}}).status_code == 202
    sluice.ingest("events", [event(1)])
    assert sluice.call("POST", path + "/test", role="viewer").status_code == 403
    assert sluice.call("POST", path + "/test", organisation=2).status_code == 404
    before = sluice.stream(stream["id"])
    answer = sluice.call("POST", path + "/test", role="developer")
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    [sent] = receiver.deliveries
    assert sent.headers["x-sluice-test"] == "true" and sent.headers["x-key"] == "s3cret-word"
    assert sent.webhook_id == shown["webhook_id"] and f"{stream['id']}-test-" in sent.webhook_id
    [record] = sent.records
    assert record["organisation"]["id"] == 1 and "event_type" in record
    assert (shown["status"], shown["outcome"], shown["records"]) == (202, "delivered", 1)
    assert shown["request_body"].encode() == sent.body
    assert shown["request_headers"]["X-Key"] == "***"
    assert sluice.stream(stream["id"]) | {"progress": None} == before | {"progress": None}
    assert sluice.stream(stream["id"])["progress"]["next_offset"] == before["progress"]["next_offset"]
    assert attempts(sluice, stream) == []
    assert sluice.call("PATCH", path, json={"status": {"id": 1}}).status_code == 202
    wait_until(settled(sluice, stream))
    assert [r["id"] for d in receiver.accepted()[1:] for r in d.records] == [1]


def test_a_test_of_a_dead_destination_says_why(sluice, receiver):
    stream = sluice.create_stream(receiver.url)
    receiver.close()
    shown = sluice.call("POST", f"/api/v2/data_stream/{stream['id']}/test", role="developer").json()
    assert (shown["status"], shown["fault"], shown["response_body"]) == (502, "network", None)
    assert "refused" in shown["error"]


def test_the_attempts_of_a_deleted_stream_go(sluice, receiver):
    stream = sluice.create_stream(receiver.url)
    sluice.ingest("events", [event(1)])
    wait_until(lambda: attempts(sluice, stream))
    path = f"/api/v2/data_stream/{stream['id']}"
    assert sluice.call("DELETE", path).status_code == 202
    assert sluice.call("GET", path + "/attempts").status_code == 404
    sluice.stop()
    with sqlite3.connect(sluice.data_dir + "/attempts.db") as store:
        for table in ("attempts", "exchanges", "minutes"):
            assert store.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_full_queue_is_counted_and_never_waited_for(start, receiver):
    sluice = start(settings="[limits]\nattempts_queue_bytes_max = 0\n")
    stream = sluice.create_stream(receiver.url, credentials={"size": 1})
    sluice.ingest("events", [event(n) for n in range(50)])
    wait_until(settled(sluice, stream))
    rows = attempts(sluice, stream)
    assert {row["outcome"] for row in rows} == {"summed_up"}
    assert sum(row["records"] for row in rows) == 50
    assert "50 delivered" in rows[0]["error"] or len(rows) > 1
    assert metrics(sluice, stream)["success_count"] == 50
    text = requests.get(sluice.url + "/metrics", timeout=10).text
    assert "sluice_attempts_summed_up_total 50" in text and "sluice_attempts_queue_bytes 0" in text
