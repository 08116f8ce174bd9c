"""Refused records are parked, shown and given back; what blocks is skipped."""

import json

from support import event, wait_until

STREAM = "/api/v2/data_stream"


def refuse(*bad):
    """Answers 400 to every request that has one of these records."""
    def answer(delivery):
        records = json.loads(delivery.body)
        records = records if isinstance(records, list) else [records]
        return 400 if any(record["id"] in bad for record in records) else 200
    return answer


def letters(server, stream, query=""):
    answer = server.call("GET", f"{STREAM}/{stream['id']}/dead_letters{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_bad_records_alone_are_parked_and_the_rest_arrives_in_order(sluice, receivers):
    target = receivers(answer=refuse(3, 17))
    stream = sluice.create_stream(target.url)
    sluice.ingest("events", [event(i) for i in range(20)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["next_offset"] >= 20)
    taken = [json.loads(d.body) for d in target.accepted()]
    ids = [record["id"] for body in taken for record in (body if isinstance(body, list) else [body])]
    assert ids == [i for i in range(20) if i not in (3, 17)]

    shown = sluice.stream(stream["id"])
    assert shown["status"]["id"] == 1
    assert shown["progress"]["dead_letters"] == 2 and shown["progress"]["delivered"] == 18
    page = letters(sluice, stream, "?limit=1")
    assert page["items"][0]["record"] == event(3) and page["items"][0]["status"] == 400
    assert page["items"][0]["offset"] == 3 and page["items"][0]["kind"] == "event"
    assert letters(sluice, stream, "?after=" + page["next"])["items"][0]["record"] == event(17)

    sluice.kill()
    sluice.start()
    assert [item["id"] for item in letters(sluice, stream)["items"]] == [3, 17]
    answer = sluice.call("DELETE", f"{STREAM}/{stream['id']}/dead_letters")
    assert answer.status_code == 200 and answer.json() == {"deleted": 2}
    assert sluice.stream(stream["id"])["progress"]["dead_letters"] == 0


def test_five_refused_in_a_row_stop_the_stream_also_across_a_kill(sluice, receivers):
    target = receivers(answer=lambda delivery: 422)
    stream = sluice.create_stream(target.url, credentials={"size": 1})
    for i in range(3):
        sluice.ingest("events", [event(i)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["dead_letters"] == 3)
    sluice.kill()
    sluice.start()
    sluice.ingest("events", [event(i) for i in range(3, 9)])
    wait_until(lambda: sluice.stream(stream["id"])["status"]["id"] == 3)
    shown = sluice.stream(stream["id"])
    assert [item["id"] for item in letters(sluice, stream)["items"]] == list(range(5))
    assert "redrive" in shown["last_error"]


def test_skip_gets_past_a_record_that_blocks(sluice, receivers):
    target = receivers(answer=refuse(1))
    stream = sluice.create_stream(target.url, delivery={"on_rejected": "halt"})
    sluice.ingest("events", [event(i) for i in range(4)])
    wait_until(lambda: sluice.stream(stream["id"])["status"]["id"] == 3)
    blocked = sluice.stream(stream["id"])["progress"]["next_offset"]
    assert blocked == 1
    answer = sluice.call("POST", f"{STREAM}/{stream['id']}/skip", json={"to": blocked})
    assert answer.status_code == 202, answer.text
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["dead_letters"] == 1)
    assert letters(sluice, stream)["items"][0]["record"] == event(1)
    assert sluice.call("POST", f"{STREAM}/{stream['id']}/restart").status_code == 202
    wait_until(lambda: target.record_ids()[-1:] == [3])
    answer = sluice.call("POST", f"{STREAM}/{stream['id']}/skip", json={"to": 3})
    assert answer.status_code == 409


def test_a_batch_that_is_too_large_is_cut_down(sluice, receivers):
    target = receivers(answer=lambda d: 413 if len(json.loads(d.body)) > 100 else 200)
    stream = sluice.create_stream(target.url)
    sluice.ingest("events", [event(i) for i in range(1000)])
    wait_until(lambda: sluice.stream(stream["id"])["progress"]["next_offset"] == 1000)
    assert sluice.stream(stream["id"])["progress"]["dead_letters"] == 0
    assert target.record_ids() == list(range(1000))
    before = len(target.deliveries)
    sluice.ingest("events", [event(i) for i in range(1000, 1200)])
    wait_until(lambda: target.record_ids() == list(range(1200)))
    assert all(len(json.loads(d.body)) <= 100 for d in target.deliveries[before:])
