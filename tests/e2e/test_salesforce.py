"""Salesforce against a stand-in that knows the platform event of the documented metadata file."""

import json
import pathlib

import pytest

from standins.base import Answer
from standins.salesforce import Salesforce, fault
from support import FAST_RETRY, event, usage, wait_until

DEFINITION = (pathlib.Path(__file__).parents[2]
              / "docs/destinations/SluiceRecord__e.object-meta.xml")


@pytest.fixture
def salesforce():
    made = Salesforce(DEFINITION)
    yield made
    made.close()


def create(sluice, salesforce, type_id=2, **changes):
    credentials = {"client_id": salesforce.CLIENT_ID, "client_secret": salesforce.CLIENT_SECRET,
                   "event_name": salesforce.EVENT, "login_url": salesforce.url} | changes
    return sluice.call("POST", "/api/v2/data_stream", json={
        "data_stream_type": {"id": type_id}, "delivery": FAST_RETRY,
        "destination": {"connection_type": "Salesforce", "credentials": credentials}})


def ids_of(salesforce):
    return [one["EventId__c"] for one in salesforce.events]


@pytest.mark.parametrize("flow", ["client_credentials", "refresh_token"])
def test_events_are_published_with_the_documented_fields(start, salesforce, flow):
    sluice = start()
    more = {"refresh_token": salesforce.REFRESH_TOKEN} if flow == "refresh_token" else {}
    stream = create(sluice, salesforce, **more).json()
    shown = stream["destination"]["credentials"]
    assert shown["client_secret"] == "***" and shown.get("refresh_token", "***") == "***"
    record = event(1, alert=True, description="d", endpoint={"id": 7, "name": "e"},
                   sim={"id": 1, "iccid": "8988"}, imsi={"id": 2, "imsi": "262"},
                   event_severity={"id": 1, "description": "Warn"},
                   event_source={"id": 0, "name": "Network"})
    sluice.ingest("events", [record] + [event(i) for i in range(2, 61)])
    wait_until(lambda: len(salesforce.events) == 60)
    assert ids_of(salesforce) == [str(i) for i in range(1, 61)]
    first = dict(salesforce.events[0])
    assert json.loads(first.pop("Payload__c")) == record
    assert first == {
        "EventId__c": "1", "Timestamp__c": "2026-11-21T08:38:02.000Z", "EventTypeId__c": 1,
        "EventType__c": "Update location", "Severity__c": "Warn", "Source__c": "Network",
        "Alert__c": True, "OrganisationId__c": "1", "Organisation__c": "Test",
        "EndpointId__c": "7", "Endpoint__c": "e", "ICCID__c": "8988", "IMSI__c": "262",
        "Description__c": "d"}
    assert all(flow in token for token in salesforce.tokens)
    attempts = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts").text
    assert "00D.token" not in attempts and salesforce.CLIENT_SECRET not in attempts


def test_usage_beside_events_and_fields_of_ones_own(start, salesforce):
    sluice = start()
    assert create(sluice, salesforce, type_id=3).status_code == 201
    sluice.ingest("usage", [usage(1, cost=0.0012345678, currency={"code": "EUR"})])
    wait_until(lambda: salesforce.events)
    sent = salesforce.events[0]
    assert sent["RecordId__c"] == "1" and sent["VolumeTotal__c"] == 0.022331
    assert sent["Cost__c"] == 0.0012345678 and sent["Currency__c"] == "EUR"
    salesforce.events.clear()
    own = create(sluice, salesforce, type_id=1, fields={"Payload__c": "text:volume.rx"})
    assert own.status_code == 201, own.text
    sluice.ingest("usage", [usage(2)])
    wait_until(lambda: {"Payload__c": "0.0138"} in salesforce.events)


@pytest.mark.parametrize("change, said", [
    ({"client_secret": "wrong"}, "invalid_client"),
    ({"refresh_token": "ended"}, "invalid_grant"),
    ({"event_name": "Other__e"}, "NOT_FOUND"),
    ({"fields": {"Missing__c": "id"}}, "lacks fields that may be set: Missing__c"),
    ({"event_name": "Other"}, "ends with __e"),
])
def test_the_check_refuses_what_cannot_work(start, salesforce, change, said):
    sluice = start()
    answer = create(sluice, salesforce, **change)
    assert answer.status_code == 422 and said in answer.text, answer.text
    assert sluice.call("GET", "/api/v2/data_stream").json() == [] and not salesforce.events


def test_a_token_that_ended_is_got_anew_once(start, salesforce):
    sluice = start()
    stream = create(sluice, salesforce).json()
    sluice.ingest("events", [event(1)])
    wait_until(lambda: ids_of(salesforce) == ["1"])
    salesforce.expire_tokens()
    before = len(salesforce.tokens)
    sluice.ingest("events", [event(2)])
    wait_until(lambda: ids_of(salesforce) == ["1", "2"])
    assert len(salesforce.tokens) == before + 1
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 2)
    assert sluice.stream(stream["id"])["last_error"] is None


def test_throttling_and_failures_of_some_events(start, salesforce):
    sluice = start()
    stream = create(sluice, salesforce).json()
    salesforce.troubles = [fault(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
                           Answer(503), None]
    salesforce.subrequest_troubles = {"3": (400, "LIMIT_EXCEEDED")}
    long_name = {"endpoint": {"id": 7, "name": "n" * 256}}
    sluice.ingest("events", [event(i, **(long_name if i == 5 else {})) for i in range(8)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["delivered"] == 7)
    letters = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/dead_letters").json()["items"]
    assert [letter["record"]["id"] for letter in letters] == [5]
    assert "STRING_TOO_LONG" in letters[0]["reason"]
    taken = ids_of(salesforce)
    assert set(taken) == {"0", "1", "2", "3", "4", "6", "7"} and taken[-2:] == ["6", "7"]


def test_settings_change_and_secrets_stay_where_they_may(start, salesforce):
    sluice = start()
    stream = create(sluice, salesforce).json()
    path = f"/api/v2/data_stream/{stream['id']}"
    change = {"destination": {"credentials": {"client_secret": "***",
                                              "fields": {"EventId__c": "text:id"}}}}
    answer = sluice.call("PATCH", path, json=change)
    assert answer.status_code == 202, answer.text
    sluice.ingest("events", [event(9)])
    wait_until(lambda: salesforce.events == [{"EventId__c": "9"}])
    moved = {"destination": {"credentials": {"login_url": "https://other.my.salesforce.com"}}}
    answer = sluice.call("PATCH", path, json=moved)
    assert answer.status_code == 422 and "client_secret" in answer.text
