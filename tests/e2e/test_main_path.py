"""Records in, on disk, out to webhooks: the way of one record and what it promises."""

import csv
import gzip
import io
import json

import pytest

from support import FAST_RETRY, Receiver, check_ledger, event, free_port, usage, wait_until


def test_a_record_goes_in_and_comes_out_with_its_own_bytes(sluice, receiver):
    stream = sluice.create_stream(receiver.url)
    raw = b'{"timestamp": "2026-11-21 08:38:02",  "id": 9223372036854775807, "event_type":{"id":3},' \
          b'"cost":0.0012345678,"big":123456789012345678901234567890,"u":"\\u00e9"}'
    answer = sluice.ingest("events", raw)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    wait_until(receiver.accepted)
    delivery = receiver.accepted()[0]
    assert delivery.body == b"[" + raw + b"]"
    assert delivery.headers["x-sluice-stream"] == str(stream["id"])
    assert delivery.headers["x-sluice-offsets"] == "0-0"
    assert "x-sluice-previous" not in delivery.headers
    assert delivery.headers["content-type"] == "application/json"
    assert delivery.headers["x-sluice-attempt"] == "1"
    assert delivery.headers["user-agent"].startswith("Sluice/")
    assert delivery.webhook_id.startswith(f"{stream['id']}-") and delivery.webhook_id.endswith("-0-0")
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 1)
    shown = sluice.stream(stream["id"])
    assert shown["remote_status"] == 200 and shown["last_error"] is None
    assert shown["progress"]["lag_records"] == 0 and shown["progress"]["next_offset"] == 1


def test_csv_and_json_lines(sluice, receivers):
    """Read back with another CSV reader, field by field."""
    lines, table = receivers(), receivers()
    for receiver, form in [(lines, "JsonLines"), (table, "Csv")]:
        sluice.create_stream(receiver.url, type_id=1, destination={
            "connection_type": "RestAPI", "format": form, "credentials": {"url": receiver.url}})
    records = [usage(i, endpoint={"id": 7, "name": f'a "b", {i}'}) for i in range(3)]
    sluice.ingest("usage", records)
    wait_until(lambda: lines.accepted() and table.accepted())
    got, = lines.accepted()
    assert got.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in got.body.splitlines()] == records
    got, = table.accepted()
    assert got.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(got.body.decode(), newline="")))
    assert [(row["id"], row["endpoint_name"], row["volume"]) for row in rows] == [
        (str(r["id"]), r["endpoint"]["name"], "0.022331") for r in records]
    refused = sluice.call("POST", "/api/v2/data_stream", json={
        "data_stream_type": {"id": 3}, "destination": {
            "connection_type": "RestAPI", "format": "Csv", "credentials": {"url": "http://127.0.0.1:9/"}}})
    assert refused.status_code == 422 and "destination.format" in refused.json()["message"]


def test_compressed(sluice, receiver):
    stream = sluice.create_stream(receiver.url, credentials={"compression": "gzip"})
    assert stream["destination"]["credentials"]["compression"] == "gzip"
    sluice.ingest("events", [event(1), event(2)])
    wait_until(receiver.accepted)
    got, = receiver.accepted()
    assert got.headers["content-encoding"] == "gzip"
    assert [r["id"] for r in json.loads(gzip.decompress(got.body))] == [1, 2]
    page = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts").json()
    assert page["items"][0]["request_body"].startswith('[{"id"'), "shown as it was before"


def test_size_one_sends_bare_objects(sluice, receiver):
    sluice.create_stream(receiver.url, credentials={"size": 1})
    sluice.ingest("events", [event(i) for i in range(5)])
    wait_until(lambda: len(receiver.accepted()) == 5)
    assert [json.loads(d.body)["id"] for d in receiver.accepted()] == list(range(5))
    check_ledger(receiver.accepted())


def test_types_choose_their_kinds_and_order_is_kept(sluice, receivers):
    by_type = {type_id: receivers() for type_id in (1, 2, 3)}
    for type_id, target in by_type.items():
        sluice.create_stream(target.url, type_id=type_id, credentials={"size": 7})
    for i in range(40):
        if i % 3:
            sluice.ingest("events", [event(i)])
        else:
            sluice.ingest("usage", [usage(i)])
    wait_until(lambda: len(by_type[3].record_ids()) == 40)
    assert by_type[3].record_ids() == list(range(40))
    wait_until(lambda: len(by_type[1].record_ids()) == 14)
    assert by_type[1].record_ids() == [i for i in range(40) if i % 3 == 0]
    wait_until(lambda: len(by_type[2].record_ids()) == 26)
    for target in by_type.values():
        check_ledger(target.accepted())


def test_organisations_are_apart(sluice, receivers):
    targets = {org: receivers() for org in (1, 2)}
    for org, target in targets.items():
        sluice.create_stream(target.url, organisation=org)
    feed = [event(i, organisation=1 + i % 3) for i in range(99)]
    assert sluice.ingest("events", feed).status_code == 403  # bound: writes for its own alone
    assert sluice.ingest("events", feed, role="operator").json() == {"accepted": 99}
    for org, target in targets.items():
        wait_until(lambda target=target: len(target.record_ids()) == 33)
        assert target.record_ids() == list(range(org - 1, 99, 3))
    # The feed has made the third one known.
    listed = sluice.call("GET", "/api/v2/data_stream?organisation_id=3", role="operator")
    assert (listed.status_code, listed.json()) == (200, [])
    listed = sluice.call("GET", "/api/v2/data_stream?organisation_id=4", role="operator")
    assert listed.status_code == 404


def test_a_stopped_receiver_misses_nothing(sluice):
    port = free_port()
    first = Receiver(port=port)
    stream = sluice.create_stream(first.url, delivery=FAST_RETRY, credentials={"size": 10})
    sluice.ingest("events", [event(i) for i in range(25)])
    wait_until(lambda: len(first.record_ids()) == 25)
    first.close()
    for i in range(25, 125, 5):
        assert sluice.ingest("events", [event(j) for j in range(i, i + 5)]).status_code == 200
    wait_until(lambda: sluice.stream(stream["id"])["remote_status"] == 502)
    assert sluice.stream(stream["id"])["status"]["id"] == 1
    second = Receiver(port=port)
    try:
        wait_until(lambda: len(first.record_ids() + second.record_ids()) >= 125)
        records = check_ledger(first.accepted() + second.accepted())
        assert [r["id"] for r in records] == list(range(125))
    finally:
        second.close()


def test_a_retry_is_the_same_batch(sluice, receivers):
    answers = iter([503, (429, {"Retry-After": "1"}), None, 500])
    target = receivers(answer=lambda delivery: next(answers, 200))
    sluice.create_stream(target.url, delivery=FAST_RETRY, credentials={"size": 100})
    sluice.ingest("events", [event(i) for i in range(5)])
    sluice.ingest("events", [event(i) for i in range(5, 50)])
    wait_until(lambda: len(set(target.record_ids())) == 50)
    attempts = target.deliveries[:5]
    assert [d.headers["x-sluice-attempt"] for d in attempts] == ["1", "2", "3", "4", "5"]
    assert len({(d.webhook_id, d.body) for d in attempts}) == 1
    check_ledger(target.accepted())


@pytest.mark.parametrize("status", [400, 401, 404, 410, 413, 422, 302])
def test_a_refusal_stops_the_stream_with_its_reason(sluice, receivers, status):
    answers = iter([status])
    target = receivers(answer=lambda delivery: next(answers, 200))
    stream = sluice.create_stream(target.url, delivery={"on_rejected": "halt",
                                                        "misconfigured_in_a_row": 1})
    sluice.ingest("events", [event(1)])
    wait_until(lambda: sluice.stream(stream["id"])["status"]["id"] == 3)
    shown = sluice.stream(stream["id"])
    assert shown["remote_status"] == status
    assert str(status) in shown["last_error"]
    answer = sluice.call("PATCH", f"/api/v2/data_stream/{stream['id']}", json={"status": {"id": 1}})
    assert answer.status_code == 409
    answer = sluice.call("POST", f"/api/v2/data_stream/{stream['id']}/restart")
    assert answer.status_code == 202
    wait_until(lambda: target.record_ids() == [1])


def test_one_dead_stream_does_not_hold_up_its_neighbour(sluice, receivers):
    alive = receivers()
    broken = receivers(answer=lambda delivery: 500)
    sluice.create_stream(broken.url, delivery=FAST_RETRY)
    sluice.create_stream(alive.url)
    for i in range(20):
        sluice.ingest("events", [event(i)])
    wait_until(lambda: len(alive.record_ids()) == 20)
    assert broken.record_ids() == []


def test_pause_keeps_records_and_resume_sends_the_oldest_first(sluice, receiver):
    stream = sluice.create_stream(receiver.url)
    path = f"/api/v2/data_stream/{stream['id']}"
    assert sluice.call("PATCH", path, json={"status": {"id": 2}}).status_code == 202
    assert sluice.stream(stream["id"])["status"]["id"] == 2
    sluice.ingest("events", [event(i) for i in range(10)])
    assert sluice.call("POST", path + "/restart").status_code == 409
    assert receiver.deliveries == []
    assert sluice.call("PATCH", path, json={"status": {"id": 1}}).status_code == 202
    wait_until(lambda: receiver.record_ids() == list(range(10)))


def test_historic_data_comes_first_and_joins_without_gap(sluice, receivers):
    sluice.ingest("events", [event(i) for i in range(30)])
    with_history, without = receivers(), receivers()
    sluice.create_stream(with_history.url, stream_historic_data=True)
    sluice.create_stream(without.url)
    sluice.ingest("events", [event(i) for i in range(30, 40)])
    wait_until(lambda: with_history.record_ids() == list(range(40)))
    wait_until(lambda: without.record_ids() == list(range(30, 40)))


def test_a_deleted_stream_sends_no_more(sluice, receiver):
    stream = sluice.create_stream(receiver.url)
    path = f"/api/v2/data_stream/{stream['id']}"
    assert sluice.call("DELETE", path).status_code == 202
    assert sluice.call("GET", path).status_code == 404
    sluice.ingest("events", [event(1)])
    second = sluice.create_stream(receiver.url)
    assert second["id"] > stream["id"]
    sluice.ingest("events", [event(2)])
    wait_until(lambda: receiver.record_ids() == [2])


def test_a_clean_stop_and_start_repeats_nothing(sluice, receiver):
    sluice.create_stream(receiver.url)
    sluice.ingest("events", [event(i) for i in range(100)])
    wait_until(lambda: len(receiver.record_ids()) == 100)
    assert sluice.stop() == 0
    sluice.start()
    sluice.ingest("events", [event(100)])
    wait_until(lambda: 100 in receiver.record_ids())
    assert receiver.record_ids() == list(range(101))
    check_ledger(receiver.accepted())


def test_secrets_never_come_back(sluice, receiver):
    stream = sluice.create_stream(receiver.url, credentials={"headers": ["X-Key: s3cret-value"]})
    assert stream["destination"]["credentials"]["headers"] == ["X-Key:***"]
    sluice.ingest("events", [event(1)])
    wait_until(receiver.accepted)
    assert receiver.accepted()[0].headers["x-key"] == "s3cret-value"
    listed = sluice.call("GET", "/api/v2/data_stream").text
    assert "s3cret" not in listed + sluice.stderr()


def test_an_operator_restarts_every_stream_that_one_reason_stopped(sluice, receivers):
    answers = {"status": 410}
    target = receivers(answer=lambda delivery: answers["status"])
    streams = [sluice.create_stream(target.url, organisation=o)["id"] for o in (1, 2)]
    for organisation in (1, 2):
        sluice.ingest("events", [event(1, organisation)], organisation=organisation)
    wait_until(lambda: all(sluice.stream(s, o)["status"]["id"] == 3 for s, o in zip(streams, (1, 2))))
    answers["status"] = 200
    path = "/api/v2/data_stream/restart"
    assert sluice.call("POST", path, json={}).status_code == 403
    answer = sluice.call("POST", path, role="operator", json={"reason": "no such text"})
    assert answer.status_code == 202 and answer.json() == {"restarted": [], "failed": []}
    answer = sluice.call("POST", path, role="operator", json={"reason": "410"})
    assert answer.status_code == 202 and sorted(answer.json()["restarted"]) == sorted(streams)
    wait_until(lambda: len(target.accepted()) == 2)
