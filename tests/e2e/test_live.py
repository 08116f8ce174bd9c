"""Records as they are stored, as Server-Sent Events."""

import itertools
import json
import pathlib
import re
import time

import jwt
import pytest

from support import event, usage, wait_until

LIVE = "/api/v2/records/live"


def store(sluice, kind, records, organisation=1):
    answer = sluice.ingest(kind, records, organisation=organisation)
    assert answer.status_code == 200, answer.text


class Live:
    """A connection that is taken up when it is there. `last_id` as a browser would keep it."""

    def __init__(self, sluice, headers=None, role="viewer", organisation=1, **parameters):
        if "filters" in parameters:
            parameters["filters"] = json.dumps(parameters["filters"])
        self.answer = sluice.call("GET", LIVE, role=role, organisation=organisation,
                                  params=parameters, stream=True, headers=headers or {})
        self.status = self.answer.status_code
        self.lines = self.answer.iter_lines(chunk_size=None)
        self.last_id = None

    def __enter__(self):
        assert self.status == 200, self.answer.text
        return self

    def __exit__(self, *_):
        self.answer.close()

    def events(self):
        """Signs of life come through here too: the bound ends a hung test."""
        fields, end = {}, time.monotonic() + 60
        for line in self.lines:
            assert time.monotonic() < end, "no event came"
            name, _, value = line.decode().partition(": ")
            if line and name:
                fields[name] = value
            elif not line:
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    yield fields["event"], json.loads(fields["data"])
                fields = {}

    def take(self, count):
        return list(itertools.islice(self.events(), count))


def test_sends_records_as_they_are_stored(sluice):
    store(sluice, "events", [event(1)])
    with Live(sluice) as live:
        assert live.answer.headers["Content-Type"] == "text/event-stream"
        assert live.answer.headers["Cache-Control"] == "no-store"
        store(sluice, "events", [event(2)])
        store(sluice, "usage", [usage(3)])
        store(sluice, "usage", [usage(4, organisation=2)], organisation=2)
        store(sluice, "events", [event(5)])
        found = live.take(3)
    assert [name for name, _ in found] == ["record"] * 3
    assert [(item["offset"], item["kind"]) for _, item in found] == [
        (1, "event"), (2, "usage"), (3, "event")]
    assert found[1][1]["record"] == usage(3)
    browsed = sluice.call("GET", "/api/v2/records?from=1&limit=1").json()["items"]
    assert set(found[0][1]) == set(browsed[0])


def test_takes_kind_and_filters(sluice):
    with Live(sluice, kind="event", filters=[{"field": "event_type_id", "value": 2}]) as live:
        store(sluice, "usage", [usage(1)])
        store(sluice, "events", [event(2), event(3, type_id=2), event(4), event(5, type_id=2)])
        assert [item["record"]["id"] for _, item in live.take(2)] == [3, 5]


@pytest.mark.parametrize("parameters, status, named", [
    ({"kind": "all"}, 400, "kind"),
    ({"limit": 1}, 400, "limit"),
    ({"filters": [{"field": "x", "value": 1}]}, 422, "filters[0].field"),
    ({"headers": {"Last-Event-ID": "x"}}, 400, "Last-Event-ID"),
    ({"headers": {"Last-Event-ID": "2026-11-21T20:00:00Z"}}, 400, "Last-Event-ID"),
    ({"role": "ingest"}, 403, "ingest"),
    ({"organisation_id": 2}, 404, "organisation 2"),
])
def test_names_what_is_wrong(sluice, parameters, status, named):
    live = Live(sluice, **parameters)
    assert live.status == status and named in live.answer.json()["message"]


def test_resumes_behind_the_last_event(sluice):
    with Live(sluice, kind="event") as live:
        store(sluice, "events", [event(0), event(1)])
        live.take(1)
    store(sluice, "usage", [usage(2)])
    store(sluice, "events", [event(3)])
    with Live(sluice, headers={"Last-Event-ID": live.last_id}) as live:
        assert [item["offset"] for _, item in live.take(3)] == [1, 2, 3]


def test_begins_with_its_place(sluice):
    """A client that is cut off before the first record loses none."""
    store(sluice, "events", [event(0), event(1)])
    with Live(sluice) as live:
        next(line for line in live.lines if line.startswith(b"id: "))
    store(sluice, "events", [event(2)])
    with Live(sluice, headers={"Last-Event-ID": "2"}) as live:
        assert live.take(1)[0][1]["offset"] == 2


def test_connections_are_limited_per_organisation(sluice):
    open_ones = [Live(sluice) for _ in range(5)]
    assert [one.status for one in open_ones] == [200] * 5
    refused = Live(sluice)
    assert refused.status == 429 and refused.answer.headers["Retry-After"]
    with Live(sluice, organisation=2):
        assert "sluice_api_live_connections 6" in sluice.call("GET", "/metrics").text
    open_ones.pop().answer.close()

    def another():
        open_ones.append(Live(sluice))
        return open_ones[-1].status == 200
    wait_until(another, what="a free place after one client has gone")
    for one in open_ones:
        one.answer.close()


def test_ends_with_its_token(sluice):
    key = pathlib.Path(sluice.data_dir, "token.key").read_bytes()
    claims = {"sub": "short", "org": 1, "role": "viewer", "exp": int(time.time()) + 3}
    token = jwt.encode(claims, key, algorithm="HS256")
    with Live(sluice, headers={"Authorization": "Bearer " + token}) as live:
        assert [name for name, _ in live.events()] == ["end"]  # and the connection with it


def test_ends_when_its_application_token_is_revoked(sluice):
    made = sluice.call("POST", "/api/v1/application_token",
                       json={"name": "watcher", "role": "viewer"}).json()
    pair = sluice.call("POST", "/api/v1/authenticate",
                       json={"application_token": made["application_token"]}).json()
    with Live(sluice, headers={"Authorization": "Bearer " + pair["auth_token"]}) as live:
        gone = sluice.call("DELETE", f"/api/v1/application_token/{made['id']}")
        assert gone.status_code < 300
        assert [name for name, _ in live.events()] == ["end"]


def resident_bytes(sluice):
    status = pathlib.Path(f"/proc/{sluice.process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def test_a_client_far_behind_gets_a_gap_and_costs_no_memory(sluice, binary):
    big = [event(i, description="x" * 100_000) for i in range(20)]
    for _ in range(40):  # caches are warm now
        store(sluice, "events", big)
    before = resident_bytes(sluice)
    with Live(sluice) as live:
        for _ in range(40):  # 80 MB, more than the sockets' buffers hold
            store(sluice, "events", big)
        wait_until(lambda: "sluice_api_live_behind_total 1" in sluice.call("GET", "/metrics").text,
                   what="the client's being behind")
        assert "\nsluice_api_live_connections_behind 1\n" in sluice.call("GET", "/metrics").text
        if "tsan" not in binary:  # the thread sanitizer's shadow is several times the memory touched
            assert resident_bytes(sluice) < before + (30 << 20)
        expected, gaps = 800, 0
        while expected < 1600:
            (name, data), = live.take(1)
            if name == "gap":
                assert data["from"] == expected and data["to"] > expected
                expected, gaps = data["to"], gaps + 1
            else:
                assert data["offset"] == expected
                expected += 1
        assert gaps >= 1
        store(sluice, "events", [event(1)])
        assert live.take(1)[0][1]["offset"] == 1600


def test_does_not_hold_up_a_stop(sluice):
    with Live(sluice) as live:
        assert sluice.stop(timeout_s=10) == 0
        assert list(live.events()) == []
