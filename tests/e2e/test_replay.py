"""Sent again: parts of the log, and dead letters. And one stream in another's place."""

import json
import time

from support import event, wait_until
from test_dead_letters import letters, refuse

STREAM = "/api/v2/data_stream"


def ids_of(deliveries):
    return [record["id"] for delivery in deliveries for record in delivery.records]


def replays(target, replay_id):
    return [d for d in target.accepted() if d.headers.get("x-sluice-replay") == str(replay_id)]


def start(server, stream, **body):
    answer = server.call("POST", f"{STREAM}/{stream['id']}/replay", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


def replay(server, stream, replay_id):
    answer = server.call("GET", f"{STREAM}/{stream['id']}/replay/{replay_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(server, stream, replay_id, state="done"):
    return wait_until(lambda: (r := replay(server, stream, replay_id))["state"] == state and r)


def test_a_range_is_sent_again_under_ids_of_its_own(sluice, receivers):
    target = receivers()
    stream = sluice.create_stream(target.url, credentials={"size": 10})
    sluice.ingest("events", [event(i) for i in range(50)])
    wait_until(lambda: len(target.record_ids()) == 50)
    begun = start(sluice, stream, **{"from": 5, "to": 24})
    done = ended(sluice, stream, begun["id"])
    assert (done["sent"], done["total"], done["parked"]) == (20, 20, 0)
    again = replays(target, begun["id"])
    assert ids_of(again) == list(range(5, 25))
    assert all(d.webhook_id.startswith(f"{stream['id']}-r{begun['id']}-") for d in again)
    live = [d for d in target.accepted() if "x-sluice-replay" not in d.headers]
    assert ids_of(live) == list(range(50))
    assert sluice.stream(stream["id"])["progress"]["delivered"] == 50


def test_filters_of_its_own_a_dry_run_and_times(sluice, receivers):
    target = receivers()
    stream = sluice.create_stream(target.url)
    sluice.ingest("events", [event(i, event_type={"id": i % 3}) for i in range(30)])
    wait_until(lambda: len(target.record_ids()) == 30)
    wanted = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z",
              "filters": [{"field": "event_type_id", "value": 1}]}
    answer = sluice.call("POST", f"{STREAM}/{stream['id']}/replay", json=wanted | {"dry_run": True})
    assert answer.status_code == 200 and answer.json()["count"] == 10
    assert answer.json()["complete"] is True
    begun = start(sluice, stream, **wanted)
    ended(sluice, stream, begun["id"])
    assert ids_of(replays(target, begun["id"])) == [i for i in range(30) if i % 3 == 1]


def test_goes_on_after_a_kill_and_waits_for_its_stream(sluice, receivers):
    target = receivers()
    stream = sluice.create_stream(target.url, credentials={"size": 5})
    sluice.ingest("events", [event(i) for i in range(200)])
    wait_until(lambda: len(target.record_ids()) == 200)
    path = f"{STREAM}/{stream['id']}"
    assert sluice.call("PATCH", path, json={"status": {"id": 2}}).status_code == 202
    begun = start(sluice, stream, **{"from": 0, "to": 199})
    assert begun["state"] == "waiting"
    assert sluice.call("POST", path + "/replay", json={"from": 0, "to": 9}).status_code == 409
    sluice.kill()
    sluice.start()
    assert replay(sluice, stream, begun["id"])["state"] == "waiting"
    target.answer = lambda delivery: time.sleep(0.01) or 200
    assert sluice.call("PATCH", path, json={"status": {"id": 1}}).status_code == 202
    wait_until(lambda: len(replays(target, begun["id"])) >= 5)
    sluice.kill()
    sluice.start()
    ended(sluice, stream, begun["id"])
    bodies = {}
    for delivery in replays(target, begun["id"]):
        assert bodies.setdefault(delivery.webhook_id, delivery.body) == delivery.body
    assert sorted(set(ids_of(replays(target, begun["id"])))) == list(range(200))


def test_is_cancelled(sluice, receivers):
    target = receivers()
    stream = sluice.create_stream(target.url)
    sluice.ingest("events", [event(i) for i in range(10)])
    wait_until(lambda: len(target.record_ids()) == 10)
    target.answer = lambda delivery: 503
    begun = start(sluice, stream, **{"from": 0, "to": 9})
    wait_until(lambda: replay(sluice, stream, begun["id"])["error"])
    path = f"{STREAM}/{stream['id']}/replay/{begun['id']}"
    answer = sluice.call("DELETE", path)
    assert answer.status_code == 202 and answer.json()["state"] == "cancelled"
    assert sluice.call("DELETE", path).status_code == 409
    assert sluice.call("GET", f"{STREAM}/{stream['id']}/replay/99").status_code == 404
    # Its failures were none of the stream's.
    assert sluice.stream(stream["id"])["status"]["id"] == 1
    assert sluice.stream(stream["id"])["last_error"] is None


def test_redrive_gives_dead_letters_back(sluice, receivers):
    target = receivers(answer=refuse(3, 17))
    stream = sluice.create_stream(target.url)
    sluice.ingest("events", [event(i) for i in range(20)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["dead_letters"] == 2)
    redrive = f"{STREAM}/{stream['id']}/dead_letters/redrive"
    answer = sluice.call("POST", redrive)
    assert answer.status_code == 202 and answer.json()["dead_letters"] == 2
    assert ended(sluice, stream, answer.json()["id"])["parked"] == 2
    target.answer = lambda delivery: 200
    assert sluice.call("POST", redrive, json={"offsets": [4]}).status_code == 422
    answer = sluice.call("POST", redrive, json={"offsets": [17]})
    ended(sluice, stream, answer.json()["id"])
    again = replays(target, answer.json()["id"])
    assert [d.records for d in again] == [[event(17)]]
    assert [item["id"] for item in letters(sluice, stream)["items"]] == [3]
    answer = sluice.call("POST", redrive)
    assert ended(sluice, stream, answer.json()["id"])["source"] == "dead_letters"
    assert letters(sluice, stream)["items"] == []
    assert sluice.call("POST", redrive).json() == {"id": None, "dead_letters": 0}


def test_a_stream_takes_anothers_place_at_exactly_its_cursor(sluice, receivers):
    old, new = receivers(), receivers()
    former = sluice.create_stream(old.url)
    sluice.ingest("events", [event(i) for i in range(10)])
    wait_until(lambda: len(old.record_ids()) == 10)
    old.answer = lambda delivery: 503
    sluice.ingest("events", [event(i) for i in range(10, 20)])
    wait_until(lambda: sluice.stream(former["id"])["remote_status"] == 503)
    stream = sluice.create_stream(new.url, replaces=former["id"])
    assert stream["hand_over"] == {"from": former["id"], "cursor": 10, "in_doubt": None}
    sluice.ingest("events", [event(i) for i in range(20, 30)])
    wait_until(lambda: len(new.record_ids()) == 20)
    assert new.record_ids() == list(range(10, 30))
    assert old.record_ids() == list(range(10))
    closed = sluice.stream(former["id"])
    assert closed["status"]["id"] == 2 and closed["replaced_by"] == stream["id"]
    tested = sluice.call("POST", f"/api/v2/data_stream/{former['id']}/test")
    assert tested.status_code == 409, "it sends nothing any more"
    sluice.kill()
    sluice.start()
    assert sluice.stream(former["id"])["replaced_by"] == stream["id"]
    answer = sluice.call("PATCH", f"{STREAM}/{former['id']}", json={"status": {"id": 1}})
    assert answer.status_code == 409
    sluice.ingest("events", [event(30)])
    wait_until(lambda: new.record_ids()[-1:] == [30])
    assert old.record_ids() == list(range(10))
    assert sluice.call("DELETE", f"{STREAM}/{former['id']}").status_code == 202


def test_a_lost_answer_is_named_by_the_stream_that_goes_on(sluice, receivers):
    old, new = receivers(answer=lambda delivery: None), receivers()
    former = sluice.create_stream(old.url, delivery={"retry": {"initial_ms": 60000}})
    sluice.ingest("events", [event(i) for i in range(10)])
    wait_until(lambda: sluice.stream(former["id"])["remote_status"] == 502)
    stream = sluice.create_stream(new.url, replaces=former["id"])
    first = json.loads(old.deliveries[0].body)
    assert stream["hand_over"]["cursor"] == 0
    assert stream["hand_over"]["in_doubt"] == [0, len(first) - 1]
    wait_until(lambda: new.record_ids() == list(range(10)))
