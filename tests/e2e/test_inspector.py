"""The connection type Inspector: what would have been sent, kept to be looked at."""

import pytest

from support import event, usage, wait_until


def inspected_stream(server, organisation=1, type_id=2):
    answer = server.call("POST", "/api/v2/data_stream", organisation=organisation, json={
        "data_stream_type": type_id,
        "destination": {"connection_type": "Inspector", "credentials": {}}})
    assert answer.status_code == 201, answer.text
    return answer.json()


def inspector(server, stream, query="", **options):
    return server.call("GET", f"/api/v2/data_stream/{stream['id']}/inspector{query}",
                       role=options.pop("role", "viewer"), **options)


def delivered(server, stream):
    return server.stream(stream["id"])["progress"]["delivered"]


def test_deliveries_are_kept_as_a_webhook_would_have_got_them(sluice):
    stream = inspected_stream(sluice, type_id=3)
    assert inspector(sluice, stream).json() == {"items": [], "next": None}
    sluice.ingest("usage", [usage(1), usage(2)])
    wait_until(lambda: delivered(sluice, stream) == 2)
    first = sluice.stream(stream["id"])["progress"]["next_offset"] - 2
    [item] = inspector(sluice, stream).json()["items"]
    assert item["webhook_id"] == f"{stream['id']}-1-{first}-{first + 1}"
    assert (item["first_offset"], item["last_offset"], item["records"]) == (first, first + 1, 2)
    assert item["body"].startswith('[{"id":1,') and item["bytes"] == len(item["body"])
    assert item["headers"]["Content-Type"] == "application/json"
    assert item["headers"]["webhook-id"] == item["webhook_id"]
    assert item["headers"]["X-Sluice-Offsets"] == f"{first}-{first + 1}"
    assert "X-Sluice-Previous" not in item["headers"]

    sluice.ingest("events", [event(3, filler="x" * 10_000)])
    wait_until(lambda: delivered(sluice, stream) == 3)
    newest, before = inspector(sluice, stream).json()["items"]
    assert before == item
    assert newest["time"] >= before["time"] and newest["bytes"] > 10_000
    assert len(newest["body"]) == 4096 and newest["body"].startswith('[{"id":3,')
    assert newest["headers"]["X-Sluice-Previous"] == str(first + 1)


def test_the_list_comes_in_pages(sluice):
    stream = inspected_stream(sluice)
    for i in range(5):
        sluice.ingest("events", [event(i)])
        wait_until(lambda: delivered(sluice, stream) == i + 1)
    page = inspector(sluice, stream, "?limit=2").json()
    seen = page["items"]
    while page["next"] is not None:
        page = inspector(sluice, stream, f"?limit=2&after={page['next']}").json()
        assert 1 <= len(page["items"]) <= 2
        seen += page["items"]
    assert [item["body"][:8] for item in seen] == [f'[{{"id":{i}' for i in (4, 3, 2, 1, 0)]
    assert seen == inspector(sluice, stream).json()["items"]


@pytest.mark.parametrize("query", ["?limit=0", "?limit=1001", "?limit=many", "?after=x", "?x=1"])
def test_a_query_that_makes_no_sense_is_refused(sluice, query):
    assert inspector(sluice, inspected_stream(sluice), query).status_code == 400


def test_a_stream_belongs_to_its_organisation_and_to_its_kind(sluice, receiver):
    stream = inspected_stream(sluice)
    assert inspector(sluice, stream, organisation=2).status_code == 404
    assert inspector(sluice, stream, role="ingest").status_code == 403
    webhook = sluice.create_stream(receiver.url)
    answer = inspector(sluice, webhook)
    assert answer.status_code == 404 and "has no inspector" in answer.json()["message"]


def test_pausing_deleting_and_restarting(sluice):
    stream = inspected_stream(sluice)
    path = f"/api/v2/data_stream/{stream['id']}"
    assert sluice.call("PATCH", path, json={"status": {"id": 2}}).status_code == 202
    sluice.ingest("events", [event(1)])
    assert inspector(sluice, stream).json()["items"] == []
    assert sluice.call("PATCH", path, json={"status": {"id": 1}}).status_code == 202
    wait_until(lambda: len(inspector(sluice, stream).json()["items"]) == 1)

    sluice.stop()
    sluice.start()  # forgets what was kept
    sluice.ingest("events", [event(2)])

    def newest():
        items = inspector(sluice, stream).json()["items"]
        return items and items[0]

    wait_until(lambda: newest() and newest()["body"].startswith('[{"id":2,'))

    assert sluice.call("DELETE", path).status_code == 202
    assert inspector(sluice, stream).status_code == 404


def test_unknown_settings_are_refused(sluice):
    answer = sluice.call("POST", "/api/v2/data_stream", json={
        "data_stream_type": 2,
        "destination": {"connection_type": "Inspector", "credentials": {"url": "http://x"}}})
    assert answer.status_code == 422 and "url" in answer.text


def test_it_is_among_the_connection_types(sluice):
    types = sluice.call("GET", "/api/v2/data_stream/connection_type").json()
    assert {"id": 14, "description": "Inspector"} in types
