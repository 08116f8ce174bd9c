"""Destinations that hang, dawdle, flood or cannot be found, and an organisation with a hundred times
the traffic: the others get everything meanwhile."""

import re
import threading

import pytest

from hostile import BlackHole, Flood, SlowReader, TarpitDns
from support import check_ledger, event, wait_until

OTHERS = range(1, 21)  # organisations, of one stream each
BLACK_HOLE, SLOW, FLOOD, TARPIT, HEAVY = range(101, 106)
EACH = 10  # streams of a neighbour, as many as an organisation may have
ROUNDS = 20
# Longer than the test, so that their requests are open all the while.
PATIENT = {"timeout_ms": 120_000}


@pytest.fixture
def closing():
    made = []

    def keep(one):
        made.append(one)
        return one
    yield keep
    for one in made:
        one.close()


class Heavy(threading.Thread):
    """One organisation's records without end, in large bodies."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.done, self.sent = server, threading.Event(), 0
        self.server.token("ingest", HEAVY)

    def run(self):
        while not self.done.is_set():
            body = [event(self.sent + i, organisation=HEAVY) for i in range(100)]
            if self.server.ingest("events", body, organisation=HEAVY).status_code == 200:
                self.sent += len(body)


def held_back(server):
    shown = server.call("GET", "/metrics").text
    return float(re.search(r"(?m)^sluice_delivery_held_back_streams (\S+)$", shown)[1])


def test_neighbours_that_hang_dawdle_flood_or_cannot_be_found(start, receivers, closing):
    black_hole, slow, flood = (closing(kind()) for kind in (BlackHole, SlowReader, Flood))
    dns = closing(TarpitDns(600))
    target, heavy_target, late = receivers(), receivers(), receivers()
    # So little memory that the neighbours' requests could take all of it.
    server = start(settings=f'dns_servers = "{dns.address}"\n[limits]\n'
                            f"bytes_in_flight_max = {48 << 20}\n")

    def create(url, organisation, **more):
        return server.create_stream(url, organisation=organisation, **more)["id"]

    def create_unchecked(url, organisation):
        body = {"name": "test", "data_stream_type": 2, "delivery": PATIENT,
                "destination": {"connection_type": "RestAPI", "credentials": {"url": url}}}
        answer = server.call("POST", "/api/v2/data_stream?validate=false", json=body,
                             organisation=organisation)
        assert answer.status_code == 201, answer.text
    for number in range(EACH):
        create(black_hole.url, BLACK_HOLE, delivery=PATIENT)
        create(slow.url, SLOW, delivery=PATIENT)
        create(flood.url, FLOOD, credentials={"size": 1})
        create_unchecked(f"http://slow{number}.test:{late.port}/in", TARPIT)
        create(heavy_target.url, HEAVY)
    streams = {organisation: create(f"http://quick.test:{target.port}/in", organisation)
               for organisation in OTHERS}
    for organisation in (BLACK_HOLE, SLOW, FLOOD, TARPIT):
        # 10 MB: far more than what the sockets on the way hold.
        big = [event(i, organisation, description="x" * 100_000) for i in range(100)]
        assert server.ingest("events", big, organisation=organisation).status_code == 200
    heavy = Heavy(server)
    heavy.start()
    wait_until(lambda: black_hole.begun > 0 and slow.begun > 0 and dns.waiting and
               flood.answers > 0 and heavy.sent > 0, 120, "the neighbours at work")
    wait_until(lambda: held_back(server) > EACH, what="the neighbours holding each other up")

    for number in range(ROUNDS):
        for organisation in OTHERS:
            answer = server.ingest("events", [event(number, organisation)],
                                   organisation=organisation)
            assert answer.status_code == 200
    wait_until(lambda: len(target.record_ids()) == ROUNDS * len(OTHERS), 60)
    # And the neighbours are as they were.
    assert black_hole.ended == slow.ended == 0 and not late.deliveries
    assert held_back(server) > EACH
    wait_until(lambda: flood.answers > EACH, what="the flooding one getting its records too")
    assert flood.longest < 50_000_000  # what it had to say was not taken
    heavy.done.set()
    heavy.join(60)

    for organisation, stream in streams.items():
        mine = [d for d in target.accepted() if d.headers["x-sluice-stream"] == str(stream)]
        assert [record["id"] for record in check_ledger(mine)] == list(range(ROUNDS)), organisation
        # No neighbour was mistaken for a fault of theirs.
        assert {d.headers["x-sluice-attempt"] for d in mine} == {"1"}
    wait_until(lambda: len(heavy_target.record_ids()) == EACH * heavy.sent, 60)
    dns.let_go.set()
    wait_until(lambda: len({d.headers["x-sluice-stream"] for d in late.accepted()}) == EACH,
               60, "the names resolved at last, before the black hole's requests end")
    assert server.stop() == 0
