"""The stream API against the specification: errors that name the property, roles, tenants."""

import re

import jwt
import pytest
import requests

from support import event, free_port, wait_until

LIST = "/api/v2/data_stream"


def create(sluice, body, **options):
    return sluice.call("POST", LIST, json=body, **options)


def good(receiver, **more):
    return {"data_stream_type": {"id": 2},
            "destination": {"connection_type": "RestAPI",
                            "credentials": {"url": receiver.url}}} | more


def test_a_created_stream_has_the_shape_of_the_specification(sluice, receiver):
    answer = create(sluice, good(receiver, name="events to me"))
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["Location"] == f"{LIST}/{body['id']}"
    assert body["name"] == "events to me"
    assert body["organisation"]["id"] == 1
    assert body["data_stream_type"] == {"id": 2, "description": "Events"}
    assert body["destination"]["connection_type"] == "RestAPI"
    assert body["destination"]["format"] == "Json"
    assert body["destination"]["credentials"] == {
        "url": receiver.url, "method": "POST", "size": 3000}
    assert body["filters"] == [] and body["stream_historic_data"] is False
    assert body["status"] == {"id": 1, "description": "Running"}
    assert body["remote_status"] is None and body["last_error"] is None
    assert body["delivery"]["preset"] == "emnify"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created"])
    assert set(body["progress"]) >= {"delivered", "lag_records", "lag_s", "next_offset",
                                     "next_attempt", "dead_letters"}
    listed = sluice.call("GET", LIST).json()
    assert [s["id"] for s in listed] == [body["id"]]


@pytest.mark.parametrize("change, named", [
    ({"data_stream_type": {"id": 9}}, "data_stream_type"),
    ({"data_stream_type": None}, "data_stream_type"),
    ({"colour": "red"}, "colour"),
    ({"destination": {"connection_type": "Pigeon", "credentials": {}}}, "connection_type"),
    ({"destination": {"connection_type": "RestAPI", "credentials": {}}}, "url"),
    ({"destination": {"connection_type": "RestAPI", "credentials": {"url": 7}}}, "url"),
    ({"destination": {"connection_type": "RestAPI", "credentials": {"url": "ftp://a/"}}}, "url"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://u:p@127.0.0.1/"}}}, "url"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://2130706433/"}}}, "url"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://127.0.0.1/", "size": 0}}}, "size"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://127.0.0.1/", "size": 10001}}}, "size"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://127.0.0.1/", "method": "GET"}}}, "method"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://127.0.0.1/", "headers": ["Host: a"]}}}, "headers"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://127.0.0.1/",
                                      "headers": ["webhook-id: a"]}}}, "headers"),
    ({"destination": {"connection_type": "RestAPI",
                      "credentials": {"url": "http://127.0.0.1/", "headers": ["none"]}}}, "headers"),
    ({"destination": {"connection_type": "RestAPI", "credentials": {"url": "http://127.0.0.1/"},
                      "format": "Xml"}}, "format"),
    ({"delivery": {"timeout_ms": 1}}, "delivery.timeout_ms"),
    ({"delivery": {"retry": {"initial_ms": 1}}}, "delivery.retry.initial_ms"),
    ({"delivery": {"whatever": 1}}, "delivery.whatever"),
])
def test_a_fault_names_its_property_and_creates_nothing(sluice, receiver, change, named):
    answer = create(sluice, good(receiver) | change)
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert named in body["message"] and body["error_code"] // 10 == 422
    assert body["errors"]
    assert sluice.call("GET", LIST).json() == []


def test_a_destination_that_does_not_answer_is_refused(sluice):
    body = {"data_stream_type": 2, "destination": {
        "connection_type": "RestAPI", "credentials": {"url": f"http://127.0.0.1:{free_port()}/"}}}
    answer = create(sluice, body)
    assert answer.status_code == 422 and sluice.call("GET", LIST).json() == []
    answer = sluice.call("POST", LIST + "?validate=false", json=body)
    assert answer.status_code == 201


def test_forbidden_addresses_are_refused(start):
    server = start()
    for url in ("http://10.0.0.1/", "http://169.254.169.254/latest", "http://100.64.0.1/",
                "http://[::ffff:10.0.0.1]/", "http://[64:ff9b::a00:1]/", "http://0.0.0.0/"):
        answer = create(server, {"data_stream_type": 1, "destination": {
            "connection_type": "RestAPI", "credentials": {"url": url}}})
        assert answer.status_code == 422, url


def test_ten_streams_are_the_limit(sluice, receiver):
    for _ in range(10):
        assert create(sluice, good(receiver)).status_code == 201
    answer = create(sluice, good(receiver))
    assert answer.status_code == 422 and answer.json()["error_token"] == "StreamLimit"
    assert len(sluice.call("GET", LIST).json()) == 10
    assert create(sluice, good(receiver), organisation=2).status_code == 201


def test_lists_are_newest_first(sluice, receiver):
    ids = [create(sluice, good(receiver)).json()["id"] for _ in range(3)]
    assert [s["id"] for s in sluice.call("GET", LIST).json()] == ids[::-1]


def test_another_organisations_stream_does_not_exist(sluice, receiver):
    stream = create(sluice, good(receiver)).json()["id"]
    for method, path in [("GET", f"{LIST}/{stream}"), ("PATCH", f"{LIST}/{stream}"),
                         ("DELETE", f"{LIST}/{stream}"), ("POST", f"{LIST}/{stream}/restart")]:
        for role in ("operator", "admin", "developer", "viewer", "ingest"):
            answer = sluice.call(method, path, role=role, organisation=2,
                                 json={"status": {"id": 2}})
            assert answer.status_code == 404, (method, path, role)
    assert sluice.stream(stream)["status"]["id"] == 1


def test_roles(sluice, receiver):
    stream = create(sluice, good(receiver)).json()["id"]
    path = f"{LIST}/{stream}"
    assert create(sluice, good(receiver), role="developer").status_code == 403
    assert create(sluice, good(receiver), role="viewer").status_code == 403
    assert sluice.call("GET", path, role="viewer").status_code == 200
    assert sluice.call("GET", path, role="ingest").status_code == 403
    assert sluice.call("PATCH", path, role="viewer", json={"name": "x"}).status_code == 403
    assert sluice.call("PATCH", path, role="developer", json={"name": "x"}).status_code == 202
    assert sluice.call("DELETE", path, role="developer").status_code == 403
    assert sluice.call("GET", path, role="operator").status_code == 200


def test_a_whole_stream_can_be_sent_back(sluice, receiver):
    secret = "s3cret-value"
    stream = create(sluice, good(receiver, name="mine", destination={
        "connection_type": "RestAPI",
        "credentials": {"url": receiver.url, "headers": [f"X-Key: {secret}"]}})).json()
    path = f"{LIST}/{stream['id']}"
    sluice.ingest("events", [event(i) for i in range(9)])
    wait_until(lambda: len(receiver.record_ids()) == 9)
    answer = sluice.call("PATCH", path, json=stream | {"name": "yours"})  # as it was then
    assert answer.status_code == 202, answer.text
    assert answer.json()["name"] == "yours" and secret not in answer.text
    assert sluice.stream(stream["id"])["destination"] == stream["destination"]
    sluice.ingest("events", [event(9)])
    wait_until(lambda: len(receiver.record_ids()) == 10)
    assert all(d.headers["x-key"] == secret for d in receiver.deliveries)


def test_secrets_come_anew_when_their_target_changes(sluice, receiver, receivers):
    other = receivers()
    stream = create(sluice, good(receiver, destination={
        "connection_type": "RestAPI",
        "credentials": {"url": receiver.url, "headers": ["X-Key: one", "X-Other: two"]}})).json()
    path = f"{LIST}/{stream['id']}"

    def change(**credentials):
        return sluice.call("PATCH", path, json={"destination": {"credentials": credentials}})

    answer = change(url=other.url)
    assert answer.status_code == 422, answer.text
    assert [fault["message"].partition(":")[0] for fault in answer.json()] == [
        "destination.credentials.headers"]
    assert change(url=other.url, headers=["X-Key: ***", "X-Other: 2"]).status_code == 422
    assert change(headers=["X-New: ***"]).status_code == 422
    assert sluice.stream(stream["id"])["destination"] == stream["destination"]
    assert change(headers=["X-Other: ***"]).status_code == 202
    answer = change(url=other.url, headers=["X-Key: new"])
    assert answer.status_code == 202, answer.text
    assert answer.json()["destination"]["credentials"]["headers"] == ["X-Key:***"]


def test_a_changed_destination_is_checked(sluice, receiver):
    stream = create(sluice, good(receiver)).json()
    path = f"{LIST}/{stream['id']}"
    body = {"name": "x", "destination": {"credentials": {"url": f"http://127.0.0.1:{free_port()}/"}}}
    answer = sluice.call("PATCH", path, json=body)
    assert answer.status_code == 422
    assert [fault["error_token"] for fault in answer.json()] == ["DestinationCheckFailed"]
    assert sluice.stream(stream["id"])["name"] == ""
    assert sluice.call("PATCH", path + "?validate=false", json=body).status_code == 202


def test_a_change_that_cannot_be_names_each_fault(sluice, receiver):
    path = f"{LIST}/{create(sluice, good(receiver)).json()['id']}"
    answer = sluice.call("PATCH", path, json={"id": 7, "colour": 1, "delivery": {"parallel": 65},
                                              "status": {"id": 2}})
    assert answer.status_code == 422
    faults = answer.json()
    assert [fault["message"].partition(":")[0] for fault in faults] == [
        "colour", "delivery.parallel", "id"]
    assert all(set(fault) == {"error_code", "error_token", "message"} for fault in faults)
    assert sluice.call("GET", path).json()["status"]["id"] == 1


def test_bodies_of_other_types_are_refused(sluice, receiver):
    answer = sluice.call("POST", LIST, data={"name": "a form"})
    assert answer.status_code == 415 and answer.json()["error_token"] == "UnsupportedMediaType"
    path = f"{LIST}/{create(sluice, good(receiver)).json()['id']}/restart"
    assert sluice.call("POST", path, json={"status": 1}).status_code == 422
    assert sluice.call("POST", path, json={}).status_code == 202
    assert sluice.call("POST", path).status_code == 202


def test_look_ups(sluice):
    statuses = sluice.call("GET", LIST + "/status").json()
    assert [row["description"] for row in sorted(statuses, key=lambda row: row["id"])] == [
        "Running", "Paused", "Error", "Pending", "Disabled"]
    fields = sluice.call("GET", LIST + "/filter_field_type").json()
    assert len({row["id"] for row in fields}) == len(fields)
    assert {"event_type_id", "alert"} <= {row["description"] for row in fields}
    types = sluice.call("GET", LIST + "/type").json()
    assert {"id": 3, "description": "Usage Data & Events"} in types
    connections = sluice.call("GET", LIST + "/connection_type").json()
    assert {"id": 1, "description": "RestAPI"} in connections


def test_tokens_are_ordinary_jwts(sluice):
    token = sluice.token("viewer", 5)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["org"] == 5 and claims["role"] == "viewer" and claims["exp"]
    with open(sluice.data_dir + "/token.key", "rb") as file:
        key = file.read()
    for forged in (jwt.encode(claims, "g" * 32, "HS256"), jwt.encode(claims, None, "none"),
                   jwt.encode(claims | {"exp": 1}, key, "HS256")):
        answer = requests.get(sluice.url + LIST, headers={"Authorization": "Bearer " + forged},
                              timeout=10)
        assert answer.status_code == 401
        assert answer.json()["error_token"] == "Unauthorized"


def test_health_and_metrics(sluice, receiver):
    assert requests.get(sluice.url + "/healthz", timeout=10).status_code == 200
    assert requests.get(sluice.url + "/readyz", timeout=10).status_code == 200
    create(sluice, good(receiver))
    sluice.ingest("events", [event(i) for i in range(9)])
    wait_until(lambda: len(receiver.record_ids()) == 9)

    def counted():
        text = requests.get(sluice.url + "/metrics", timeout=10).text
        return re.search(r'^sluice_ingest_records_total\{kind="events"\} 9$', text, re.M) and \
            re.search(r"^sluice_delivery_records_total\S* 9$", text, re.M)
    wait_until(counted)


def test_unknown_paths_and_methods(sluice):
    assert sluice.call("GET", "/api/v2/nothing").status_code == 404
    answer = sluice.call("PUT", LIST)
    assert answer.status_code == 405 and "GET" in answer.headers["Allow"]
    answer = sluice.call("POST", LIST, data=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
