"""Ingest at full load while every destination is down: memory keeps to its budget, and when they are
back everything is delivered, in order. An hour's records at 5,000 a second come in as fast as they
are taken (SLUICE_OUTAGE_BYTES), against retries that come hundreds of times as often as by default."""

import json
import os
import pathlib
import threading

from support import Receiver, event, has_sanitizer, wait_until

MIB = 1 << 20
BYTES = int(os.environ.get("SLUICE_OUTAGE_BYTES", 384 * MIB))
DEEP = BYTES > 1 << 30
BODY_RECORDS = 1500
ORGANISATIONS = range(1, 11)
SEGMENT_BYTES = (32 if DEEP else 4) * MIB
SETTINGS = f"""[limits]
bytes_in_flight_max = {32 * MIB}
body_bytes_in_memory_max = {32 * MIB}
attempts_queue_bytes_max = {4 * MIB}
[recordlog]
segment_bytes = {SEGMENT_BYTES}
"""
# As docs/operating/running.md says: the three settings, and 256 MiB.
BUDGET = (32 + 32 + 4 + 256) * MIB
RETRY = {"retry": {"initial_ms": 10, "max_ms": 1000}}


def resident_bytes(server, what):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(what)) << 10


class Feeder(threading.Thread):
    """One organisation's records, the same body again and again."""

    def __init__(self, server, organisations, bytes_wanted):
        super().__init__(daemon=True)
        self.server, self.bytes_wanted, self.stored = server, bytes_wanted, {}
        self.bodies = {o: "".join(json.dumps(event(i, o, description="x" * 600)) + "\n"
                                  for i in range(BODY_RECORDS)).encode() for o in organisations}
        for organisation in organisations:
            server.token("ingest", organisation)

    def run(self):
        while self.bytes_wanted > 0:
            for organisation, body in self.bodies.items():
                answer = self.server.ingest("events", body, organisation=organisation)
                assert answer.status_code in (200, 503), answer.text
                if answer.status_code == 200:
                    self.stored[organisation] = self.stored.get(organisation, 0) + BODY_RECORDS
                    self.bytes_wanted -= len(body)


def check_chain(deliveries, count):
    """Offsets 0 to count-1, each batch behind the one before."""
    at, previous = 0, None
    for delivery in deliveries:
        first, last = delivery.offsets
        named = delivery.headers.get("x-sluice-previous")
        if last < at:
            continue  # again, after a lost answer
        assert first == at and named == (None if previous is None else str(previous))
        at, previous = last + 1, last
    assert at == count


def test_an_outage_of_all_destinations_keeps_to_the_budget_of_memory(start, binary):
    server = start(settings=SETTINGS)
    taking = threading.Event()
    refusing = Receiver(answer=lambda _: 200 if taking.is_set() else 503, keep_bodies=False)
    hanging_up = Receiver(answer=lambda _: 200 if taking.is_set() else None, keep_bodies=False)
    gone = Receiver()  # nobody listens there
    streams = {}
    for organisation in ORGANISATIONS:
        for target in (refusing, hanging_up, gone):
            made = server.create_stream(target.url, organisation=organisation, delivery=RETRY)
            streams[made["id"]] = (organisation, target)
    gone.close()

    feeders = [Feeder(server, ORGANISATIONS[n::2], BYTES // 2) for n in range(2)]
    for feeder in feeders:
        feeder.start()
    for feeder in feeders:
        feeder.join()
    stored = feeders[0].stored | feeders[1].stored

    def tries():
        return len(refusing.deliveries) + len(hanging_up.deliveries)
    wait_until(lambda: tries() > 20 * len(ORGANISATIONS), what="enough attempts in vain")
    peak, in_vain = resident_bytes(server, "VmHWM"), tries()
    counts = not has_sanitizer(binary)  # whose own memory would count
    assert peak < BUDGET or not counts, f"{peak >> 20} MiB"
    segments = [path for path in pathlib.Path(server.data_dir, "log").rglob("*") if path.is_file()]
    assert len(segments) < 50 + 2 * BYTES // SEGMENT_BYTES, "few large files, whoever has yet to read them"
    descriptors = list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir())
    assert len(descriptors) < 100 + len(streams)
    assert not refusing.accepted() and not hanging_up.accepted()
    for stream, (organisation, _) in streams.items():
        shown = server.stream(stream, organisation)
        assert shown["status"]["id"] == 1 and shown["progress"]["delivered"] == 0

    taking.set()
    back = Receiver(port=gone.port, keep_bodies=False)

    def delivered():
        return all(server.stream(stream, organisation)["progress"]["lag_records"] == 0
                   for stream, (organisation, _) in streams.items())
    wait_until(delivered, timeout_s=120 + BYTES // (5 * MIB), what="all records delivered")
    print(f"{sum(stored.values())} records of {BYTES >> 20} MiB stored; {in_vain} attempts in vain; "
          f"at most {peak >> 20} MiB, with the deliveries {resident_bytes(server, 'VmHWM') >> 20}")
    assert resident_bytes(server, "VmHWM") < BUDGET or not counts
    for stream, (organisation, target) in streams.items():
        source = back if target is gone else target
        check_chain([d for d in source.accepted() if d.headers["x-sluice-stream"] == str(stream)],
                    stored[organisation])
    for target in (refusing, hanging_up, back):
        target.close()
