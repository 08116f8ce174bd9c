"""EventHubs against a stand-in for the service's REST endpoint, which verifies signatures."""

import json
import re

import pytest

from standins.base import Answer
from standins.event_hubs import EventHubs
from support import FAST_RETRY, event, wait_until
from tls import issue, pem, server_context


@pytest.fixture
def authority():
    return issue("authority")


@pytest.fixture
def hubs(authority, tmp_path):
    made = EventHubs(server_context(authority, tmp_path))
    yield made
    made.close()


def create(sluice, hubs, authority, **changes):
    body = {"data_stream_type": {"id": 2}, "delivery": FAST_RETRY,
            "destination": {"connection_type": "EventHubs", "ca": pem(authority[0]),
                            "credentials": {"connection_string": hubs.connection_string(**changes)}}}
    return sluice.call("POST", "/api/v2/data_stream", json=body)


def endpoint_event(record_id, endpoint):
    return event(record_id, endpoint={"id": endpoint, "name": f"e{endpoint}"})


def last_copies(hubs, key):
    """The ids under the key in the order in which their last copies came."""
    return list(dict.fromkeys(reversed(ids_of(hubs, key))))[::-1]


def ids_of(hubs, key=None):
    return [json.loads(body)["id"] for found, body in hubs.events if key in (None, found)]


def test_events_arrive_under_their_endpoints_key_in_its_order(start, hubs, authority):
    sluice = start()
    stream = create(sluice, hubs, authority).json()
    assert stream["destination"]["credentials"] == {"connection_string": "***"}
    assert stream["unproven"]
    sluice.ingest("events", [endpoint_event(i, 70 + i % 3) for i in range(900)] + [event(900)])
    wait_until(lambda: len(hubs.events) >= 901)
    for rest in range(3):
        assert ids_of(hubs, str(70 + rest)) == list(range(rest, 900, 3))
    assert ids_of(hubs, "1") == [900], "without endpoint and SIM the organisation's id"
    assert hubs.requests_taken < 100, "the events of one key go together"
    stream = sluice.stream(stream["id"])
    assert stream["remote_status"] == 201 and stream["last_error"] is None
    attempts = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts").text
    assert hubs.KEY not in attempts and "sig=" not in attempts


def test_many_endpoints_go_out_side_by_side(start, hubs, authority):
    sluice = start()
    stream = create(sluice, hubs, authority).json()
    sluice.ingest("events", [endpoint_event(i, i) for i in range(1000)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 1000)
    assert sorted(ids_of(hubs)) == list(range(1000))


@pytest.mark.parametrize("change, said", [
    ({"SharedAccessKey": "d3Jvbmc="}, "InvalidSignature"),
    ({"EntityPath": "other"}, "The messaging entity could not be found"),
])
def test_the_check_refuses_what_cannot_work_in_the_services_own_words(start, hubs, authority,
                                                                      change, said):
    sluice = start()
    answer = create(sluice, hubs, authority, **change)
    assert answer.status_code == 422 and said in answer.json()["message"], answer.text
    assert sluice.call("GET", "/api/v2/data_stream").json() == [] and not hubs.events


def test_a_foreign_certificate_is_not_trusted(start, hubs):
    answer = create(start(), hubs, issue("another"))
    assert answer.status_code == 422 and re.search("certificate", answer.text), answer.text


def test_a_namespaces_connection_string_is_not_enough(start, hubs, authority):
    answer = create(start(), hubs, authority, EntityPath="")
    assert answer.status_code == 422 and "EntityPath" in answer.text
    assert hubs.KEY not in answer.text


def test_throttled_requests_go_again_and_each_endpoints_last_copies_are_in_order(start, hubs,
                                                                                authority):
    sluice = start()
    stream = create(sluice, hubs, authority).json()
    hubs.troubles = [Answer(503, b"<Error><Code>503</Code><Detail>ServerBusy</Detail></Error>"),
                     Answer(500), None, Answer(429)]
    sluice.ingest("events", [endpoint_event(i, 70 + i % 3) for i in range(60)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 60)
    for rest in range(3):
        assert last_copies(hubs, str(70 + rest)) == list(range(rest, 60, 3))
