"""What every connection type promises, against its own service or stand-in. There is no list to keep:
the types are those that have a schema, and tests/e2e/destinations.py must know each."""

import json
import pathlib

import pytest

from destinations import ALL, is_event, record
from support import FAST_RETRY, wait_until

SCHEMAS = pathlib.Path(__file__).parents[2] / "src/connectors"
TYPES = sorted(json.loads(path.read_text("utf-8"))["type"] for path in SCHEMAS.glob("*/schema.json"))
OUTSIDE = [name for name in TYPES if name in ALL and ALL[name].outside]


@pytest.fixture
def destination(request, tmp_path):
    made = ALL[request.param](tmp_path)
    made.type = request.param
    yield made
    made.close()


def of_each(types):
    return pytest.mark.parametrize("destination", types, indirect=True)


def create(sluice, destination):
    answer = sluice.call("POST", "/api/v2/data_stream", json={
        "data_stream_type": {"id": 3}, "delivery": FAST_RETRY,
        "destination": {"connection_type": destination.type} | destination.settings()})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def ingest(sluice, ids, change=lambda made: made):
    """In turns of some events and some usage records."""
    for some in [ids[at:at + 20] for at in range(0, len(ids), 20)]:
        for kind, wanted in ("events", True), ("usage", False):
            records = [change(record(one)) for one in some if is_event(one) == wanted]
            if records:
                assert sluice.ingest(kind, records).status_code == 200


def in_turns(ids):
    """As ingest() sends them."""
    return [one for at in range(0, len(ids), 20)
            for wanted in (True, False) for one in ids[at:at + 20] if is_event(one) == wanted]


def wait_for_progress(sluice, stream, **wanted):
    def reached():
        progress = sluice.stream(stream)["progress"]
        return {name: progress[name] for name in wanted} == wanted

    wait_until(reached, 60, f"{wanted} of stream {stream}")


def check_order(destination, ids):
    """All came and nothing else, and in each lane in order, repeats left out."""
    wait_until(lambda: set(destination.arrived()) >= set(ids))
    came = list(dict.fromkeys(destination.arrived()))
    assert sorted(came) == sorted(ids)
    for lane in {destination.lane(one) for one in ids}:
        assert [one for one in came if destination.lane(one) == lane] == \
            [one for one in in_turns(ids) if destination.lane(one) == lane], lane


def test_each_type_has_a_destination_here(sluice):
    offered = sluice.call("GET", "/api/v2/data_stream/connection_type").json()
    assert sorted(one["description"] for one in offered) == TYPES == sorted(ALL)


@of_each(TYPES)
def test_it_gets_all_records_once_and_in_order(sluice, destination):
    stream = create(sluice, destination)
    ids = list(range(300))
    ingest(sluice, ids)
    wait_for_progress(sluice, stream, delivered=300, dead_letters=0, skipped=0, lag_records=0)
    assert sluice.stream(stream)["last_error"] is None
    if destination.outside:
        check_order(destination, ids)
        assert len(destination.arrived()) == 300


@of_each(OUTSIDE)
def test_what_it_refuses_is_parked_alone(sluice, destination):
    stream = create(sluice, destination)
    poisoned = [8, 9]  # an event, a usage record
    ingest(sluice, list(range(20)), lambda one: destination.poison(one) if one["id"] in poisoned
           else one)
    wait_for_progress(sluice, stream, delivered=18, dead_letters=2, lag_records=0)
    letters = sluice.call("GET", f"/api/v2/data_stream/{stream}/dead_letters").json()["items"]
    assert sorted(letter["record"]["id"] for letter in letters) == poisoned
    assert all(letter["reason"] for letter in letters)
    assert sluice.stream(stream)["status"]["id"] == 1
    check_order(destination, [one for one in range(20) if one not in poisoned])


@of_each(OUTSIDE)
@pytest.mark.parametrize("killed", [False, True], ids=["server goes on", "server is killed"])
def test_what_comes_while_it_is_away_waits(sluice, destination, killed):
    stream = create(sluice, destination)
    ids = list(range(90))
    ingest(sluice, ids[:20])
    wait_for_progress(sluice, stream, delivered=20)
    destination.go_away()
    ingest(sluice, ids[20:])
    wait_until(lambda: sluice.stream(stream)["last_error"] is not None)
    assert sluice.stream(stream)["progress"]["delivered"] == 20
    if killed:
        sluice.kill()
        sluice.start()
    destination.come_back()
    wait_for_progress(sluice, stream, delivered=90, dead_letters=0, lag_records=0)
    assert sluice.stream(stream)["last_error"] is None
    check_order(destination, ids)
