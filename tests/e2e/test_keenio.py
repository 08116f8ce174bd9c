"""KeenIO against a stand-in for keen.io's API."""

import pytest

from standins.base import Answer
from standins.keen import Keen
from support import FAST_RETRY, event, usage, wait_until


@pytest.fixture
def keen():
    made = Keen()
    yield made
    made.close()


def create(sluice, keen, type_id=2, validate=True, **credentials):
    credentials = {"project_id": keen.PROJECT, "write_key": keen.WRITE_KEY,
                   "endpoint_url": keen.url} | credentials
    body = {"data_stream_type": {"id": type_id}, "delivery": FAST_RETRY,
            "destination": {"connection_type": "KeenIO", "credentials": credentials}}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body)


def ids_in(keen, collection):
    return [one["id"] for one in keen.collections.get(collection, [])]


def test_both_kinds_go_to_their_collections_at_their_own_time(start, keen):
    sluice = start()
    stream = create(sluice, keen, type_id=3).json()
    assert stream["destination"]["credentials"]["write_key"] == "***"
    assert stream["unproven"]
    sluice.ingest("events", [event(i) for i in range(50)])
    sluice.ingest("usage", [usage(i) for i in range(100, 150)])
    wait_until(lambda: len(ids_in(keen, "EMnifyUsageData")) == 50)
    wait_until(lambda: len(ids_in(keen, "EMnifyEventData")) == 50)
    assert ids_in(keen, "EMnifyEventData") == list(range(50))
    assert ids_in(keen, "EMnifyUsageData") == list(range(100, 150))
    kept = keen.collections
    assert kept["EMnifyEventData"][0]["keen"] == {"timestamp": "2026-11-21T08:38:02.000Z"}
    assert kept["EMnifyUsageData"][0]["keen"] == {"timestamp": "2026-11-21T08:38:02.000Z"}
    assert kept["EMnifyUsageData"][0]["volume"]["total"] == 0.022331
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 100)
    attempts = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts")
    assert attempts.json()["items"] and keen.WRITE_KEY not in attempts.text


def test_one_collection_for_all(start, keen):
    sluice = start()
    assert create(sluice, keen, type_id=3, collection_name="all", size=7).status_code == 201
    sluice.ingest("usage", [usage(i) for i in range(20)])
    sluice.ingest("events", [event(i) for i in range(20, 30)])
    wait_until(lambda: len(ids_in(keen, "all")) == 30)
    assert sorted(ids_in(keen, "all")) == list(range(30)) and list(keen.collections) == ["all"]


@pytest.mark.parametrize("change, said", [
    ({"write_key": "wrong"}, "InvalidApiKeyError: Please pass in a valid API key."),
    ({"project_id": "other"}, "ResourceNotFoundError"),
])
def test_the_check_refuses_what_cannot_work_in_the_services_own_words(start, keen, change, said):
    sluice = start()
    answer = create(sluice, keen, **change)
    assert answer.status_code == 422 and said in answer.json()["message"], answer.text
    assert sluice.call("GET", "/api/v2/data_stream").json() == []
    assert not any(keen.collections.values()), "the check recorded something"


def test_throttled_requests_go_again_in_order(start, keen):
    sluice = start()
    stream = create(sluice, keen).json()
    keen.troubles = [Answer(429, {"message": "slow", "error_code": "TooManyRequestsError"}),
                     Answer(503, b"<html>", {"Retry-After": "0"}), None]
    sluice.ingest("events", [event(i) for i in range(10)])
    wait_until(lambda: ids_in(keen, "EMnifyEventData") == list(range(10)))
    wait_until(lambda: sluice.stream(stream["id"])["last_error"] is None)


def test_an_event_that_is_refused_becomes_a_dead_letter_alone(start, keen):
    sluice = start()
    stream = create(sluice, keen, type_id=3).json()
    sluice.ingest("usage", [usage(0), usage(1)])
    sluice.ingest("events", [event(2), event(3, **{"no.dots": 1}), event(4)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 4)
    letters = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/dead_letters").json()["items"]
    assert [letter["record"]["id"] for letter in letters] == [3]
    assert "InvalidPropertyNameError" in letters[0]["reason"]
    taken = ids_in(keen, "EMnifyEventData")
    assert sorted(set(taken)) == [2, 4] and taken[-1] == 4
    assert set(ids_in(keen, "EMnifyUsageData")) == {0, 1}


def test_settings_change_and_the_key_stays_where_it_may(start, keen):
    sluice = start()
    stream = create(sluice, keen).json()
    path = f"/api/v2/data_stream/{stream['id']}"
    change = {"destination": {"credentials": {"write_key": "***", "collection_name": "mine"}}}
    assert sluice.call("PATCH", path, json=change).status_code == 202
    sluice.ingest("events", [event(1)])
    wait_until(lambda: ids_in(keen, "mine") == [1])
    moved = {"destination": {"credentials": {"endpoint_url": "http://127.0.0.1:1"}}}
    answer = sluice.call("PATCH", path, json=moved)
    assert answer.status_code == 422 and "write_key" in answer.text, answer.text
