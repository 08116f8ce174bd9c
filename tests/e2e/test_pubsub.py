"""PubSub against a stand-in for Google's token endpoint and Pub/Sub's REST API, which verifies the
assertions."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from standins.base import Answer
from standins.google import Google, error
from support import FAST_RETRY, event, wait_until


@pytest.fixture
def google():
    made = Google()
    yield made
    made.close()


def create(sluice, google, validate=True, **changes):
    credentials = {"cps_project": google.PROJECT, "cps_topic": google.TOPIC,
                   "service_account": google.service_account(),
                   "endpoint_url": google.url} | changes
    credentials = {name: value for name, value in credentials.items() if value is not None}
    body = {"data_stream_type": {"id": 2}, "delivery": FAST_RETRY,
            "destination": {"connection_type": "PubSub", "credentials": credentials}}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body)


def endpoint_event(record_id, endpoint):
    return event(record_id, endpoint={"id": endpoint, "name": f"e{endpoint}"})


def ids_of(google, key=None):
    return [json.loads(data)["id"] for found, data in google.messages if key in (None, found)]


def test_messages_arrive_under_their_endpoints_key_in_its_order(start, google):
    sluice = start()
    stream = create(sluice, google).json()
    assert stream["destination"]["credentials"]["service_account"] == "***"
    sluice.ingest("events", [endpoint_event(i, 70 + i % 3) for i in range(900)])
    wait_until(lambda: len(google.messages) >= 900)
    for rest in range(3):
        assert ids_of(google, str(70 + rest)) == list(range(rest, 900, 3))
    assert len(google.tokens) == 2, "one for the check and one for the stream"
    attempts = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts").text
    assert "ya29" not in attempts and "PRIVATE" not in attempts


def test_a_token_that_ended_is_got_anew_once_and_nothing_is_published_twice(start, google):
    sluice = start()
    stream = create(sluice, google).json()
    sluice.ingest("events", [endpoint_event(i, i) for i in range(5)])
    wait_until(lambda: len(google.messages) == 5)
    google.expire_tokens()
    before = len(google.tokens)
    sluice.ingest("events", [endpoint_event(i, i % 4) for i in range(5, 25)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 25)
    assert sorted(ids_of(google)) == list(range(25))
    assert len(google.tokens) == before + 1
    assert sluice.stream(stream["id"])["last_error"] is None


def test_the_check_says_what_is_wrong_and_publishes_nothing(start, google):
    sluice = start()
    foreign = google.service_account(key=rsa.generate_private_key(65537, 2048))
    refused = create(sluice, google, service_account=foreign)
    assert refused.status_code == 422 and "invalid_grant" in refused.text, refused.text
    refused = create(sluice, google, cps_topic="other")
    assert refused.status_code == 422 and "there is no such topic" in refused.text
    google.permissions = []
    refused = create(sluice, google)
    assert refused.status_code == 422 and "pubsub.topics.publish" in refused.text
    refused = create(sluice, google, service_account=None, endpoint_url=None)
    assert refused.status_code == 422 and "service_account" in refused.text
    refused = create(sluice, google, service_account="{}")
    assert refused.status_code == 422 and "must be the JSON key file" in refused.text
    assert sluice.call("GET", "/api/v2/data_stream").json() == [] and not google.messages


def test_throttled_and_refused_requests_follow_the_table(start, google):
    sluice = start()
    stream = create(sluice, google).json()
    google.troubles = [error(429, "RESOURCE_EXHAUSTED", "Quota exceeded."), Answer(503), None,
                       error(409, "ABORTED", "Try again.")]
    sluice.ingest("events", [endpoint_event(i, 7) for i in range(10)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 10)
    assert ids_of(google) == list(range(10))
    google.permissions = []
    sluice.ingest("events", [endpoint_event(10, 7)])
    told = wait_until(lambda: sluice.stream(stream["id"])["last_error"])
    assert "PERMISSION_DENIED" in told and "not authorized" in told, told
    google.permissions = ["pubsub.topics.publish"]
    wait_until(lambda: ids_of(google) == list(range(11)))
