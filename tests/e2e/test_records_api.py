"""Looking at what is stored: browse and the preview of a filter."""

import concurrent.futures
import json

import pytest

from support import event, usage

RECORDS = "/api/v2/records"
PREVIEW = "/api/v2/data_stream/filters/preview"


def store(sluice, kind, records, organisation=1):
    answer = sluice.ingest(kind, records, organisation=organisation)
    assert answer.status_code == 200, answer.text


def browse(sluice, status=200, role="viewer", organisation=1, **parameters):
    if "filters" in parameters:
        parameters["filters"] = json.dumps(parameters["filters"])
    parameters = {name.rstrip("_"): value for name, value in parameters.items()}
    answer = sluice.call("GET", RECORDS, role=role, organisation=organisation, params=parameters)
    assert answer.status_code == status, answer.text
    return answer.json()


def preview(sluice, body, status=200, **options):
    options.setdefault("role", "viewer")
    answer = sluice.call("POST", PREVIEW, json=body, **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def offsets(page):
    return [item["offset"] for item in page["items"]]


@pytest.fixture
def mixed(sluice):
    """Offsets 0 to 9 events of type 1 and 2 in turn, 10 to 14 usage."""
    store(sluice, "events", [event(i, type_id=1 + i % 2) for i in range(10)])
    store(sluice, "usage", [usage(i, cost=i / 10) for i in range(5)])
    return sluice


def test_browse_shows_records_as_they_are_oldest_first(sluice):
    raw = b'{"id":9007199254740993, "end_timestamp":"2026-11-21 08:38:02","cost":0.0055827500}'
    store(sluice, "events", [event(1)])
    store(sluice, "usage", raw + b"\n")
    answer = sluice.call("GET", RECORDS, role="viewer")
    assert answer.headers["Content-Type"] == "application/json"
    assert b'"record":' + raw + b"}" in answer.content
    page = answer.json()
    assert [(i["offset"], i["kind"]) for i in page["items"]] == [(0, "event"), (1, "usage")]
    assert page["items"][0]["record"] == event(1)
    assert page["items"][0]["stored"].endswith("Z")
    assert page["next"] is None and page["complete"] is True
    assert page["reached"]["offset"] == 2
    assert browse(sluice, organisation=2)["items"] == []


def test_browse_goes_page_by_page(mixed):
    seen, after = [], {}
    for _ in range(4):
        page = browse(mixed, limit=4, **after)
        seen.append(offsets(page))
        after = {"after": page["next"]}
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14]]
    assert after == {"after": None}


def test_browse_takes_kind_filters_and_a_range(mixed):
    assert offsets(browse(mixed, kind="usage")) == [10, 11, 12, 13, 14]
    assert offsets(browse(mixed, kind="event", from_=8)) == [8, 9]
    assert offsets(browse(mixed, from_=9, to=11)) == [9, 10]
    assert offsets(browse(mixed, kind="event",
                          filters=[{"field": "event_type_id", "value": 2}])) == [1, 3, 5, 7, 9]
    either = [{"or": [{"field": "event_type_id", "value": 2},
                      {"field": "cost", "op": "ge", "value": 0.3}]}]
    assert offsets(browse(mixed, filters=either, from_=7)) == [7, 9, 13, 14]
    page = browse(mixed, filters=either, limit=2, after=6)
    assert offsets(page) == [7, 9] and page["next"] == "10"


def test_browse_takes_times_of_storing(mixed):
    first = browse(mixed, limit=1)["items"][0]["stored"]
    assert offsets(browse(mixed, from_=first, limit=1)) == [0]
    assert browse(mixed, from_="2100-01-01T00:00:00Z")["items"] == []
    assert browse(mixed, to=first)["items"] == []
    assert len(browse(mixed, to="2100-01-01T00:00:00Z")["items"]) == 15


@pytest.mark.parametrize("parameters, status, named", [
    ({"kind": "events"}, 400, "kind"),
    ({"from_": "yesterday"}, 400, "from"),
    ({"to": "-1"}, 400, "to"),
    ({"limit": 0}, 400, "limit"),
    ({"limit": 1001}, 400, "limit"),
    ({"after": "x"}, 400, "after"),
    ({"colour": "red"}, 400, "colour"),
    ({"filters": [{"field": "colour", "value": 1}]}, 422, "filters[0].field"),
    ({"filters": [{"field": "event_type_id", "value": 1}]}, 422, "filters[0].field"),
    ({"filters": [{"field": "cost", "value": 1}], "kind": "event"}, 422, "filters[0].field"),
])
def test_browse_names_what_is_wrong(sluice, parameters, status, named):
    assert named in browse(sluice, status=status, **parameters)["message"]


def test_browse_says_where_filters_are_no_json(sluice):
    answer = sluice.call("GET", RECORDS + "?filters=[{", role="viewer")
    assert answer.status_code == 400 and "filters" in answer.json()["message"]


def test_a_page_is_bounded_in_bytes(sluice):
    store(sluice, "events", [event(i, description="x" * 900_000) for i in range(6)])
    page = browse(sluice)
    assert offsets(page) == [0, 1, 2, 3, 4] and page["next"] == "5"
    assert offsets(browse(sluice, after=page["next"])) == [5]


def test_a_search_that_runs_out_of_time_says_how_far_it_came(start):
    sluice = start(settings="[limits]\nscan_ms_max = 0\n")
    long = {"description": "x" * 20_000}
    for i in range(3):  # a chunk each, too large to be read with another
        store(sluice, "events", [event(2 * i) | long, event(2 * i + 1) | long])
    none = [{"field": "event_type_id", "value": 77}]
    page = browse(sluice, kind="event", filters=none)
    assert page["items"] == [] and page["complete"] is False
    assert page["next"] == "2" and page["reached"]["offset"] == 2 and page["reached"]["stored"]
    steps = 1
    while page["next"]:
        page = browse(sluice, kind="event", filters=none, after=page["next"])
        steps += 1
    assert steps == 3 and page["complete"] is True and page["reached"]["offset"] == 6
    counted = preview(sluice, {"data_stream_type": 2, "filters": []})
    assert counted["complete"] is False and counted["count"] == 2


def test_preview_counts_and_shows_the_newest(mixed):
    found = preview(mixed, {"data_stream_type": {"id": 2}, "filters": [
        {"field": "event_type_id", "value": ["2", 5]}]})
    assert found["count"] == 5 and offsets(found) == [1, 3, 5, 7, 9]
    assert found["complete"] is True
    assert found["items"][0]["record"] == event(1, type_id=2)
    everything = preview(mixed, {"data_stream_type": 3, "filters": []})
    assert everything["count"] == 15 and offsets(everything) == list(range(5, 15))
    assert preview(mixed, {"data_stream_type": 1, "filters": []})["count"] == 5
    assert preview(mixed, {"data_stream_type": 1, "filters": []}, organisation=2)["count"] == 0


@pytest.mark.parametrize("body, named", [
    ({"filters": []}, "data_stream_type"),
    ({"data_stream_type": {"id": 9}, "filters": []}, "data_stream_type"),
    ({"data_stream_type": 1}, "filters"),
    ({"data_stream_type": 1, "filters": {}}, "filters"),
    ({"data_stream_type": 1, "filters": [], "limit": 3}, "limit"),
    ({"data_stream_type": 1, "filters": [{"field": "alert", "value": True}]}, "filters[0].field"),
    ({"data_stream_type": 2, "filters": [{"or": [{"field": "imsi", "value": []}]}]},
     "filters[0].or[0].value"),
    ({"data_stream_type": 3, "filters": [{"field": "alert", "value": True}]}, "filters[0].field"),
    ([], "body"),
])
def test_preview_names_what_is_wrong(sluice, body, named):
    answer = preview(sluice, body, status=422)
    assert named in answer["message"]
    assert named in [fault["property"] for fault in answer["errors"]]


def test_preview_wants_json(sluice):
    answer = sluice.call("POST", PREVIEW, data="{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_who_may_look(mixed):
    for role in ("viewer", "developer", "admin"):
        assert len(browse(mixed, role=role)["items"]) == 15
    browse(mixed, status=403, role="ingest")
    assert mixed.call("POST", PREVIEW, role="ingest", json={}).status_code == 403
    # Another organisation does not exist; an operator names whose records it means.
    assert mixed.call("GET", RECORDS + "?organisation_id=2", role="admin").status_code == 404
    operator = dict(role="operator", organisation=7)
    assert len(browse(mixed, organisation_id=1, **operator)["items"]) == 15
    assert mixed.call("GET", RECORDS + "?organisation_id=9999", **operator).status_code == 404
    assert preview(mixed, {"data_stream_type": 3, "filters": []}, params={"organisation_id": 1},
                   **operator)["count"] == 15


def test_one_search_an_organisation_at_a_time(sluice):
    for _ in range(4):
        store(sluice, "events", [event(i, description="x" * 100) for i in range(20_000)])
    slow = {"data_stream_type": 2, "filters": [
        {"field": "description", "op": "contains", "value": "y"}]}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(
            lambda _: sluice.call("POST", PREVIEW, role="viewer", json=slow), range(16)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] and refused.json()["error_token"] == "RateLimited"
    assert preview(sluice, slow)["count"] == 0  # the place is free again
