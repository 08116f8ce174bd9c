"""What bad neighbours cost the other streams: the cell `isolation` of bench/run. The same load in
alternating runs, with and without: a destination that never answers, one that reads a byte a second,
one that answers 1 GB, one whose name resolves for 30 s, and an organisation with 100 times the
traffic of each other one."""

import contextlib
import os
import pathlib
import statistics
import sys
import time

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))
import hostile

ORGANISATIONS = 100  # of one stream each
HOSTILE = 200_001    # and the three after it
HEAVY = 300_001
SIDES = ["alone", "neighbours"]
FIGURES = [  # name, unit, whether more is worse
    ("throughput", "records/s", False), ("delay p50", "ms", True), ("delay p99", "ms", True),
    ("ack p99", "ms", True)]
POINTS = 5  # per cent that the difference may be above the spread


class Neighbours:
    """They are all at their worst when the constructor returns."""

    def __init__(self, bench, server, sink_url, dns, directory, rate, stack):
        black_hole, slow, flood = (stack.enter_context(contextlib.closing(kind()))
                                   for kind in (hostile.BlackHole, hostile.SlowReader, hostile.Flood))
        urls = [black_hole.url, slow.url, flood.url, f"http://slow.test:{black_hole.port}/in"]
        with harness.HttpClient(server.process.url, server.token) as client:
            for number, url in enumerate(urls):
                create_stream(client, HOSTILE + number, url, new=True)
            create_stream(client, HEAVY, sink_url + "/heavy", new=True)
        share = rate / ORGANISATIONS
        self.feeds = [
            bench.start_load(server, directory, first_organisation=HOSTILE, organisations=len(urls),
                             body=len(urls), connections=2, rate=share * len(urls)),
            bench.start_load(server, directory, first_organisation=HEAVY, organisations=1, body=100,
                             connections=4, rate=share * 100)]
        stack.callback(self.end)
        end = time.monotonic() + 60
        while not (black_hole.begun and slow.begun and flood.answers and dns.waiting):
            if time.monotonic() > end:
                raise harness.BenchError("the neighbours have not got their requests within 60 s")
            time.sleep(0.05)

    def end(self):
        for feed in self.feeds:
            feed.kill()
            feed.wait()


def create_stream(client, organisation, url, new=False):
    if new:
        client.call("POST", "/api/v2/organisation", {"id": organisation})
    client.call("POST", f"/api/v2/data_stream?organisation_id={organisation}&validate=false", {
        "name": "bench", "data_stream_type": {"id": 1},
        "destination": {"connection_type": "RestAPI", "credentials": {"url": url}}})


def run(bench, side, directory, records, rate, seconds):
    """One run: as fast as it goes for the throughput, then at a rate for the delays."""
    directory = pathlib.Path(directory)
    log = directory / "deliveries"
    with contextlib.ExitStack() as stack:
        dns = stack.enter_context(contextlib.closing(hostile.TarpitDns()))
        sink = bench.start_sink(directory, log=log)
        stack.callback(stop_if_running, sink)
        heavy_sink = bench.start_sink(directory)
        stack.callback(heavy_sink.stop)
        cell = harness.Cell(streams=0, organisations=ORGANISATIONS)
        server = harness.Sluice(bench.programs, directory, cell, "", bench.server_cores, bench.load,
                                settings=f'dns_servers = "{dns.address}"\n')
        stack.callback(server.process.stop)
        port = sink.url.rpartition(":")[2]
        with harness.HttpClient(server.process.url, server.token) as client:
            for number in range(ORGANISATIONS):
                create_stream(client, harness.FIRST_ORGANISATION + number,
                              f"http://quick.test:{port}/in/{number}")
        if side == "neighbours":
            Neighbours(bench, server, heavy_sink.url, dns, directory, rate, stack)
        records -= records % 1000
        fast = bench.load(server.process.url, server.token, records, 1000, ORGANISATIONS)
        done = harness.wait_until_delivered(sink, records)
        began, busy = time.monotonic(), harness.busy_cpu_s()
        # A body is one record of each organisation.
        even = bench.load(server.process.url, server.token, int(rate * seconds), ORGANISATIONS,
                          ORGANISATIONS, rate=rate)
        harness.wait_until_delivered(sink, records + even["records"])
        busy = (harness.busy_cpu_s() - busy) / (time.monotonic() - began) / os.cpu_count()
        sink.stop()
        delays = delays_ms(log, 1 + records // ORGANISATIONS, even["start_s"], rate)
        if len(delays) != even["records"]:
            raise harness.BenchError(f"{len(delays)} delays of {even['records']} records")
        return {"throughput": records / (done["last_s"] - fast["start_s"]),
                "delay p50": quantile(delays, 0.5), "delay p99": quantile(delays, 0.99),
                "ack p99": even["ack_ms"]["p99"], "busy": busy}


def stop_if_running(process):
    if process.popen.poll() is None:
        process.stop()


def delays_ms(log, first_offset, start_s, rate):
    """Of each record from when it was due to be sent until its delivery had been read whole."""
    arrived = {}
    for line in log.read_text().splitlines():
        path, offsets, at = line.split()
        first, last = map(int, offsets.split("-"))
        for offset in range(max(first, first_offset), last + 1):
            due = start_s + (offset - first_offset) * ORGANISATIONS / rate
            arrived.setdefault((path, offset), 1000 * (float(at) - due))
    return sorted(arrived.values())


def quantile(ordered, q):
    return ordered[int(q * (len(ordered) - 1))]


def judge(runs):
    """`runs`: of each side, in SIDES' order. For each figure its medians, the spread of the runs
    alone, and how much worse it is with neighbours, both in per cent."""
    verdicts = {}
    for name, _, more_is_worse in FIGURES:
        alone, beside = ([run[name] for run in of_side] for of_side in runs)
        median, other = statistics.median(alone), statistics.median(beside)
        spread = 100 * (max(alone) - min(alone)) / median
        worse = 100 * (other - median) / median * (1 if more_is_worse else -1)
        verdicts[name] = {"alone": median, "neighbours": other, "spread": spread, "worse": worse,
                          "within": worse <= spread + POINTS}
    return verdicts


def print_verdicts(verdicts, runs):
    print(f"{'isolation':<12} {'alone':>11} {'neighbours':>11} {'worse by':>9} {'spread':>8}")
    for name, unit, _ in FIGURES:
        v = verdicts[name]
        print(f"{name:<12} {v['alone']:>11,.1f} {v['neighbours']:>11,.1f} {v['worse']:>8.1f}% "
              f"{v['spread']:>7.1f}%  {unit}, {'within' if v['within'] else 'NOT within'} "
              f"spread + {POINTS} points", flush=True)
    busy = [f"{statistics.median(run['busy'] for run in of_side):.0%}" for of_side in runs]
    print(f"{'cores busy':<12} {busy[0]:>11} {busy[1]:>11}  while delays were taken; near 100 % they "
          "say nothing", flush=True)
