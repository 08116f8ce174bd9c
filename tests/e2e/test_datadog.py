"""Datadog against a stand-in for its metrics and logs intakes."""

import datetime
import json
import random

import pytest

from standins.base import Answer
from standins.datadog import Datadog
from support import FAST_RETRY, event, usage, wait_until


@pytest.fixture
def datadog():
    made = Datadog()
    yield made
    made.close()


def create(sluice, datadog, type_id=1, historic=False, parallel=1, **changes):
    credentials = {"api_key": datadog.API_KEY, "endpoint_url": datadog.url} | changes
    return sluice.call("POST", "/api/v2/data_stream", json={
        "data_stream_type": {"id": type_id}, "stream_historic_data": historic,
        "delivery": FAST_RETRY | {"parallel": parallel},
        "destination": {"connection_type": "Datadog", "credentials": credentials}})


def ago(seconds):
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def used(record_id, seconds_ago=60, end=None, device=7, name="e"):
    return usage(record_id, end_timestamp=end or ago(seconds_ago), cost=0.25,
                 endpoint={"id": device, "name": name})


def total(datadog, metric):
    return sum(value for (name, _), points in datadog.points.items() if name == metric
               for value in points.values())


def test_usage_becomes_points_and_those_of_one_second_are_summed(start, datadog):
    sluice = start()
    stream = create(sluice, datadog, tags="env:prod").json()
    assert stream["destination"]["credentials"]["api_key"] == "***"
    same = ago(60)
    sluice.ingest("usage", [used(i, end=same) for i in range(100)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 100)
    assert total(datadog, "endpoint.cost") == pytest.approx(25)
    assert total(datadog, "endpoint.volume") == pytest.approx(2.2331)
    tags = next(tags for name, tags in datadog.points if name == "endpoint.volume_tx")
    assert {"endpoint_id:7", "endpoint_name:e", "organisation:Test", "env:prod"} <= set(tags)
    attempts = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts")
    assert datadog.API_KEY not in attempts.text
    assert attempts.json()["items"][0]["request_body"].startswith('{"series":[')


def test_events_are_skipped_and_counted_or_logs(start, datadog):
    sluice = start()
    stream = create(sluice, datadog, type_id=3).json()
    sluice.ingest("events", [event(i) for i in range(5)])
    sluice.ingest("usage", [used(1)])
    progress = wait_until(lambda: (found := sluice.stream(stream["id"])["progress"])
                          and found["skipped"] == 5 and found["delivered"] == 1 and found)
    assert progress["dead_letters"] == 0 and not datadog.logs
    logs = create(sluice, datadog, type_id=2, events_as_logs=True)
    assert logs.status_code == 201, logs.text
    sluice.ingest("events", [event(8, timestamp=ago(19 * 3600)), event(9, timestamp=ago(60))])
    wait_until(lambda: datadog.logs)
    assert json.loads(datadog.logs[0]["message"])["id"] == 9
    wait_until(lambda: sluice.stream(logs.json()["id"])["progress"]["dead_letters"] == 1)
    assert len(datadog.logs) == 1 and datadog.lost == 0


def test_what_cannot_go_there_is_refused_at_creation(start, datadog):
    sluice = start()
    refused = create(sluice, datadog, type_id=2)
    assert refused.status_code == 422 and "events_as_logs" in refused.text
    refused = create(sluice, datadog, historic=True)
    assert refused.status_code == 422 and "stream_historic_data" in refused.text
    assert create(sluice, datadog, historic=True, historical=True).status_code == 201
    refused = create(sluice, datadog, api_key="wrong")
    assert refused.status_code == 422 and "Forbidden" in refused.text


def test_usage_that_is_too_old_becomes_dead_letters_and_the_stream_goes_on(start, datadog):
    sluice = start()
    stream = create(sluice, datadog).json()
    sluice.ingest("usage", [used(0)] + [used(i, 3700) for i in range(1, 21)] + [used(21, 30)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 2)
    shown = sluice.stream(stream["id"])
    assert shown["status"]["id"] == 1 and shown["progress"]["dead_letters"] == 20
    letters = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/dead_letters").json()["items"]
    assert all(letter["reason"].startswith("TooOld") for letter in letters)
    assert datadog.lost == 0 and total(datadog, "endpoint.cost") == pytest.approx(0.5)


def test_throttled_requests_go_again_and_count_once(start, datadog):
    sluice = start()
    stream = create(sluice, datadog, type_id=3, events_as_logs=True).json()
    datadog.troubles = [Answer(429, {"errors": ["Too many requests"]}), Answer(503), None]
    sluice.ingest("usage", [used(i, 60 + i) for i in range(10)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 10)
    assert total(datadog, "endpoint.cost") == pytest.approx(2.5)


def test_devices_beside_each_other_skip_and_set_aside_alike_and_a_restart_knows(start, datadog):
    sluice = start()
    stream = create(sluice, datadog, type_id=3, parallel=4).json()
    sluice.ingest("usage", [used(i, 3700 if i % 2 else 30 + i, device=i % 5) for i in range(40)])
    sluice.ingest("events", [event(100 + i) for i in range(5)])
    wanted = {"delivered": 20, "skipped": 5, "dead_letters": 20, "lag_records": 0}

    def progress():
        found = sluice.stream(stream["id"])["progress"]
        return {name: found[name] for name in wanted}

    wait_until(lambda: progress() == wanted)
    assert datadog.lost == 0 and total(datadog, "endpoint.cost") == pytest.approx(5)
    assert sluice.stream(stream["id"])["status"]["id"] == 1
    sluice.stop()
    sluice.start()
    wait_until(lambda: progress() == wanted)


def test_a_replay_counts_what_is_to_be_sent(start, datadog):
    sluice = start()
    stream = create(sluice, datadog, type_id=3).json()
    sluice.ingest("usage", [used(i, 60 + i) for i in range(3)])
    sluice.ingest("events", [event(i) for i in range(4)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["skipped"] == 4)
    path = f"/api/v2/data_stream/{stream['id']}/replay"
    made = sluice.call("POST", path, json={"from": 0, "to": 7})
    assert made.status_code == 202, made.text
    done = wait_until(lambda: (found := sluice.call("GET", f"{path}/{made.json()['id']}").json())
                      and found["state"] == "done" and found)
    assert (done["total"], done["sent"], done["parked"]) == (3, 3, 0)
    assert total(datadog, "endpoint.cost") == pytest.approx(0.75)


def test_no_request_is_larger_than_datadog_takes(start, datadog):
    sluice = start()
    stream = create(sluice, datadog).json()
    names = random.Random(1)
    sluice.ingest("usage", [used(i, device=i, name=names.randbytes(500).hex())
                            for i in range(1500)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 1500)
    assert datadog.too_large == 0 and datadog.packed_most > 100_000
    assert sluice.stream(stream["id"])["progress"]["dead_letters"] == 0
    assert total(datadog, "endpoint.cost") == pytest.approx(375)


def test_a_key_that_is_revoked_stops_the_stream(start, datadog):
    sluice = start()
    stream = create(sluice, datadog).json()
    datadog.API_KEY = "another"
    sluice.ingest("usage", [used(1)])
    shown = wait_until(lambda: (found := sluice.stream(stream["id"]))["status"]["id"] == 3 and found)
    assert shown["remote_status"] == 403 and "Forbidden" in shown["last_error"]
