"""kill -9 under load: nothing acknowledged is lost, order holds, a retried batch is the same."""

import json
import os
import random
import threading
import time

import requests

from support import check_ledger, event, wait_until

ROUNDS = int(os.environ.get("SLUICE_CRASH_ROUNDS", "20"))
FAST_RETRY = {"retry": {"initial_ms": 10, "max_ms": 100, "jitter": 0.1}}


class Feeder(threading.Thread):
    """Sends bodies of growing ids without end; remembers which were acknowledged."""

    def __init__(self, server, first_id, seed):
        super().__init__(daemon=True)
        self.server, self.random = server, random.Random(seed)
        self.next_id, self.acknowledged, self.sent = first_id, [], set()
        self.done = threading.Event()
        self.token = server.token("ingest")

    def run(self):
        session = requests.Session()
        while not self.done.is_set():
            count = self.random.choice([1, 1, 7, 100, 700])
            ids = range(self.next_id, self.next_id + count)
            self.next_id += count
            body = "".join(json.dumps(event(i, pad="x" * (i % 300))) + "\n" for i in ids)
            self.sent.update(ids)
            try:
                answer = session.post(
                    self.server.url + "/api/v2/records/events", data=body, timeout=30,
                    headers={"Authorization": "Bearer " + self.token,
                             "Content-Type": "application/x-ndjson"})
                if answer.status_code == 200:
                    assert answer.json() == {"accepted": count}
                    self.acknowledged += ids
            except requests.RequestException:
                session = requests.Session()
                time.sleep(0.01)


def test_kill_9_under_load_loses_nothing(start, receivers):
    seed = int(os.environ.get("SLUICE_SEED", random.randrange(2**32)))
    print(f"seed {seed}: repeat with SLUICE_SEED={seed}")
    dice = random.Random(seed)
    server = start()

    def flaky(delivery):
        if dice.random() < 0.05:
            return None if dice.random() < 0.5 else 503
        return 200

    steady, shaky = receivers(), receivers(answer=flaky)
    streams = [server.create_stream(steady.url, delivery=FAST_RETRY)["id"],
               server.create_stream(shaky.url, delivery=FAST_RETRY, credentials={"size": 50})["id"]]
    feeders = [Feeder(server, (n + 1) * 10_000_000, seed + n) for n in range(4)]
    for feeder in feeders:
        feeder.start()
    for _ in range(ROUNDS):
        time.sleep(dice.uniform(0.02, 0.4))
        server.kill()
        server.start()
    time.sleep(0.2)
    for feeder in feeders:
        feeder.done.set()
    for feeder in feeders:
        feeder.join(60)

    def drained():
        return all(server.stream(s)["progress"]["lag_records"] == 0 for s in streams)

    wait_until(drained, 120, "both streams caught up")
    acknowledged = [i for feeder in feeders for i in feeder.acknowledged]
    sent = set().union(*(feeder.sent for feeder in feeders))
    assert len(acknowledged) > ROUNDS
    for target in (steady, shaky):
        wait_until(lambda target=target: set(acknowledged) <= set(target.record_ids()), 60)
        ids = [record["id"] for record in check_ledger(target.accepted())]
        assert not set(acknowledged) - set(ids), "acknowledged but not delivered"
        assert not set(ids) - sent, "delivered but never sent"
        assert len(ids) == len(set(ids)), "stored twice under two offsets"
        for feeder in feeders:  # one client's records keep their order
            mine = [i for i in ids if i in feeder.sent]
            assert mine == sorted(mine)
    verified = server.run("log", "verify", server.data_dir)
    assert verified.returncode == 0, verified.stdout + verified.stderr
