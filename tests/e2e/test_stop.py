"""SIGTERM in full flow, and the patience of a stream that is not answered."""

import threading
import time

import pytest

from hostile import BlackHole, SlowReader
from support import check_ledger, event, wait_until
from test_crash import FAST_RETRY, Feeder

STOP_S = 3 * 10  # the specification's bound, three times


@pytest.fixture
def hostile():
    made = [BlackHole(), SlowReader()]
    yield made
    for one in made:
        one.close()


def test_a_stop_under_load_waits_for_no_destination_and_loses_nothing(start, receivers, hostile):
    server = start()
    target, gone = receivers(), receivers()
    for one in (*hostile, gone):
        server.create_stream(one.url, delivery={**FAST_RETRY, "timeout_ms": 120_000})
    stream = server.create_stream(target.url, delivery=FAST_RETRY)["id"]
    gone.close()
    feeders = [Feeder(server, (n + 1) * 10_000_000, n) for n in range(4)]
    for feeder in feeders:
        feeder.start()
    wait_until(lambda: len(target.deliveries) > 20 and all(one.connections for one in hostile),
               what="everything under way")
    assert server.stop(STOP_S) == 0
    for feeder in feeders:
        feeder.done.set()
    for feeder in feeders:
        feeder.join(60)
    server.start()
    acknowledged = {i for feeder in feeders for i in feeder.acknowledged}
    wait_until(lambda: server.stream(stream)["progress"]["lag_records"] == 0, 60)
    ids = [record["id"] for record in check_ledger(target.accepted())]
    assert acknowledged <= set(ids) and len(ids) == len(set(ids))


def test_a_slow_answer_is_waited_for_and_nothing_goes_twice(sluice, receivers):
    may_answer = threading.Event()
    target = receivers(answer=lambda delivery: 200 if may_answer.wait(60) else 500)
    stream = sluice.create_stream(target.url, delivery=FAST_RETRY)["id"]
    sluice.ingest("events", [event(1)])
    wait_until(lambda: target.sockets, what="the first request")
    sluice.ingest("events", [event(2)])
    wait_until(lambda: sluice.stream(stream)["progress"]["lag_records"] == 2)
    time.sleep(2)  # in which a retry would have come
    may_answer.set()
    wait_until(lambda: sluice.stream(stream)["progress"]["delivered"] == 2)
    assert target.record_ids() == [1, 2]
    assert [d.headers["x-sluice-attempt"] for d in target.deliveries] == ["1", "1"]
