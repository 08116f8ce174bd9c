"""delivery.parallel: a few requests at a time, each device's records in order."""

import collections
import os
import random
import threading
import time

from support import event, wait_until

FAST_RETRY = {"retry": {"initial_ms": 10, "max_ms": 100, "jitter": 0.1}}


def device_event(number, device, **more):
    return event(number, endpoint={"id": device, "name": f"device {device}"}, **more)


def devices_of(delivery):
    return {record["endpoint"]["id"] for record in delivery.records}


class Concurrency:
    """Answers when `together` requests are there, or it is told to let all through."""

    def __init__(self, together):
        self.together = together
        self.lock = threading.Lock()
        self.open = threading.Event()
        self.now = self.most = 0
        self.devices = collections.Counter()
        self.clash = set()

    def __call__(self, delivery):
        [device] = devices_of(delivery)
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.devices[device] += 1
            if self.devices[device] > 1:
                self.clash.add(device)
            if self.now >= self.together:
                self.open.set()
        self.open.wait(20)
        with self.lock:
            self.now -= 1
            self.devices[device] -= 1
        return 200


def ids_by_device(deliveries):
    """First arrivals only."""
    found, seen = collections.defaultdict(list), set()
    for delivery in deliveries:
        for record in delivery.records:
            if record["id"] not in seen:
                found[record["endpoint"]["id"]].append(record["id"])
                seen.add(record["id"])
    return found


def drained(server, stream):
    return lambda: server.stream(stream)["progress"]["lag_records"] == 0


def test_devices_go_beside_each_other_each_in_order(start, receivers):
    server = start()
    together = Concurrency(8)
    receiver = receivers(answer=together)
    stream = server.create_stream(receiver.url, delivery=FAST_RETRY | {"parallel": 8},
                                  credentials={"size": 3})["id"]
    server.ingest("events", [device_event(i, i % 20) for i in range(500)])
    wait_until(drained(server, stream), what="the stream caught up")
    assert together.most == 8, "so many requests at a time, and no more"
    assert not together.clash, "at most one of a device"
    found = ids_by_device(receiver.deliveries)
    assert sum(len(ids) for ids in found.values()) == 500
    for device, ids in found.items():
        assert ids == sorted(ids), f"device {device}"
    assert all(len(d.records) <= 3 for d in receiver.deliveries)
    assert server.stream(stream)["progress"]["delivered"] == 500


def test_one_device_is_sent_one_request_at_a_time(start, receivers):
    server = start()
    together = Concurrency(1)
    receiver = receivers(answer=together)
    stream = server.create_stream(receiver.url, delivery=FAST_RETRY | {"parallel": 64},
                                  credentials={"size": 5})["id"]
    server.ingest("events", [device_event(i, 7) for i in range(200)])
    wait_until(drained(server, stream), what="the stream caught up")
    assert together.most == 1
    assert receiver.record_ids() == list(range(200))


def test_a_refused_record_is_parked_and_the_others_of_its_device_arrive(start, receivers):
    server = start()

    def picky(delivery):
        return 422 if any(record["id"] % 40 == 13 for record in delivery.records) else 200

    receiver = receivers(answer=picky)
    stream = server.create_stream(
        receiver.url, delivery=FAST_RETRY | {"parallel": 4, "rejected_in_a_row": 0},
        credentials={"size": 10})["id"]
    server.ingest("events", [device_event(i, i % 6) for i in range(200)])
    wait_until(drained(server, stream), what="the stream caught up")
    letters = server.call("GET", f"/api/v2/data_stream/{stream}/dead_letters").json()
    refused = [13, 53, 93, 133, 173]
    assert sorted(item["record"]["id"] for item in letters["items"]) == refused
    assert sorted(receiver.record_ids()) == [i for i in range(200) if i not in refused]
    for ids in ids_by_device(receiver.accepted()).values():
        assert ids == sorted(ids)


def test_kill_9_in_a_run_loses_nothing_and_keeps_each_devices_order(start, receivers):
    seed = int(os.environ.get("SLUICE_SEED", random.randrange(2**32)))
    print(f"seed {seed}: repeat with SLUICE_SEED={seed}")
    dice = random.Random(seed)
    server = start()

    def flaky(_delivery):
        chance = dice.random()
        return None if chance < 0.03 else 503 if chance < 0.06 else 200

    receiver = receivers(answer=flaky)
    stream = server.create_stream(receiver.url, delivery=FAST_RETRY | {"parallel": 16},
                                  credentials={"size": 4})["id"]
    number = 0
    for _ in range(8):
        for _ in range(3):
            count = dice.choice([1, 40, 700])
            ids = range(number, number + count)
            number += count
            answer = server.ingest("events", [device_event(i, dice.randrange(50)) for i in ids])
            assert answer.status_code == 200
        time.sleep(dice.uniform(0.02, 0.3))
        server.kill()
        server.start()
    wait_until(drained(server, stream), 120, "the stream caught up")
    found = ids_by_device(receiver.accepted())
    assert sorted(i for ids in found.values() for i in ids) == list(range(number))
    for device, ids in found.items():
        assert ids == sorted(ids), f"device {device}"
    bodies = {}
    for delivery in receiver.deliveries:
        assert bodies.setdefault(delivery.webhook_id, delivery.body) == delivery.body


def test_a_stop_in_a_run_repeats_nothing_that_arrived(start, receivers):
    server = start()
    receiver = receivers(answer=lambda delivery: 503 if devices_of(delivery) == {1} else 200)
    stream = server.create_stream(
        receiver.url, delivery={"parallel": 4, "retry": {"initial_ms": 3_600_000}},
        credentials={"size": 1})["id"]
    server.ingest("events", [device_event(i, i % 5) for i in range(50)])
    wait_until(lambda: len(receiver.record_ids()) == 40, what="all but one device")
    progress = server.stream(stream)["progress"]
    assert progress["next_offset"] == 0, "the cursor stays in front of the run"
    assert progress["delivered"] == 40
    assert server.stop() == 0
    receiver.answer = lambda delivery: 200
    server.start()
    wait_until(drained(server, stream), what="the stream caught up")
    ids = receiver.record_ids()
    assert len(ids) == 50 and sorted(ids) == list(range(50))
    assert server.stream(stream)["progress"]["delivered"] == 50


def test_parallel_is_changed_while_the_stream_runs(start, receivers):
    server = start()
    together = Concurrency(4)
    receiver = receivers(answer=together)
    stream = server.create_stream(receiver.url, delivery=FAST_RETRY, credentials={"size": 1})["id"]
    together.open.set()
    server.ingest("events", [device_event(i, i % 9) for i in range(100)])
    wait_until(drained(server, stream), what="the stream caught up")
    assert together.most == 1 and receiver.record_ids() == list(range(100))
    together.open.clear()
    path = f"/api/v2/data_stream/{stream}"
    assert server.call("PATCH", path, json={"delivery": {"parallel": 4}}).status_code in (200, 202)
    server.ingest("events", [device_event(i, i % 9) for i in range(100, 200)])
    wait_until(drained(server, stream), what="the stream caught up")
    assert together.most == 4
    answer = server.call("PATCH", path, json={"delivery": {"parallel": 1}})
    assert answer.status_code in (200, 202)
    before = len(receiver.record_ids())
    server.ingest("events", [device_event(i, i % 9) for i in range(200, 300)])
    wait_until(drained(server, stream), what="the stream caught up")
    assert receiver.record_ids()[before:] == list(range(200, 300))


def test_out_of_range_is_refused(start, receivers):
    server = start()
    for parallel in (0, 65, "2", 1.5):
        answer = server.call("POST", "/api/v2/data_stream", json={
            "name": "test", "data_stream_type": {"id": 2}, "delivery": {"parallel": parallel},
            "destination": {"connection_type": "RestAPI", "credentials": {"url": receivers().url}}})
        assert answer.status_code == 422, parallel
        assert "delivery.parallel" in answer.text
