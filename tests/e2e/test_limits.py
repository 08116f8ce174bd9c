"""Every limit of docs/operating/running.md, reached, and seen in its gauge."""

import concurrent.futures
import pathlib
import re
import socket
import threading

import pytest
import requests

from support import event, wait_until

RUNNING = pathlib.Path(__file__).resolve().parents[2] / "docs/operating/running.md"
STREAMS = "/api/v2/data_stream"
FAST = {"retry": {"initial_ms": 10, "max_ms": 50}}


def limits_table():
    """(settings with their defaults' texts, gauges) of each row."""
    text = RUNNING.read_text("utf-8").split("## Limits")[1]
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| ")][1:]
    return [(re.findall(r"`([a-z]+\.[a-z_]+)` \(([\d,]+)?", row[1]),
             re.findall(r"`(sluice_[a-z_]+)`", row[2])) for row in rows]


def metric(server, name):
    """The sum over all labels."""
    lines = requests.get(server.url + "/metrics", timeout=30).text.splitlines()
    found = [line for line in lines if re.match(name + r"(\{.*\})? ", line)]
    assert found, f"no {name} in /metrics"
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def limit(server, setting):
    return metric(server, re.escape(f'sluice_limit{{setting="{setting}"}}'))


def test_the_table_names_settings_and_gauges_that_there_are(sluice, binary):
    rows = limits_table()
    assert len(rows) == 20
    printed = sluice.run("serve", "--print-config").stdout
    shown = requests.get(sluice.url + "/metrics", timeout=30).text
    named = set()
    for settings, gauges in rows:
        assert settings and gauges
        for setting, default in settings:
            named.add(setting)
            section, name = setting.split(".")
            value = re.search(rf"(?ms)^\[{section}\].*?^{name} = (\d+)$", printed)
            assert value, f"{setting} is no setting"
            whole = default and int(default.replace(",", ""))
            if whole and "MiB" not in name and "bytes" not in name:
                assert int(value[1]) == whole, setting
            if name.endswith("_max"):
                assert limit(sluice, setting) == int(value[1])
        for gauge in gauges:
            assert re.search(rf"(?m)^{gauge}[{{ ]", shown), f"{gauge} is not in /metrics"
    # Those of a single request answer it at once; there is nothing to watch.
    single = {"body_bytes_max", "record_bytes_max", "header_bytes_max", "login_tries_max"}
    for setting in re.findall(r'sluice_limit\{setting="([a-z_.]+)"\}', shown):
        assert setting in named or setting.split(".")[1] in single, f"{setting} is in no row"


class BlackHole:
    """Answers nothing until it is told to; knows how many connections it has."""

    def __init__(self, receivers):
        self.open_for_business = threading.Event()
        self.target = receivers(answer=self.answer)

    def answer(self, _):
        self.open_for_business.wait()
        return 200

    def connections(self):
        return len(self.target.sockets)


@pytest.fixture
def black_hole(receivers):
    made = BlackHole(receivers)
    yield made
    made.open_for_business.set()


def test_streams_of_an_organisation(start, receiver):
    server = start(settings="[limits]\nstreams_max = 2\n")
    server.create_stream(receiver.url)
    server.create_stream(receiver.url)
    body = {"data_stream_type": 2, "destination": {
        "connection_type": "RestAPI", "credentials": {"url": receiver.url}}}
    answer = server.call("POST", STREAMS, json=body)
    assert answer.status_code == 422 and answer.json()["error_token"] == "StreamLimit"
    server.create_stream(receiver.url, organisation=2)
    assert metric(server, "sluice_streams") == 3


@pytest.mark.parametrize("setting", ["connections_per_host_max", "connections_max"])
def test_connections_beyond_the_limit_wait_for_one(start, black_hole, setting):
    server = start(settings=f"{setting} = 2\n[server]\nio_threads = 1\n")
    for _ in range(5):
        server.create_stream(black_hole.target.url, delivery={"timeout_ms": 60000})
    wait_until(lambda: black_hole.connections() == 5)  # of checks
    server.ingest("events", [event(1)])
    wait_until(lambda: metric(server, "sluice_egress_waiting_requests") == 3)
    assert metric(server, "sluice_egress_connections") == 2
    assert black_hole.connections() - 5 <= 2
    black_hole.open_for_business.set()
    wait_until(lambda: len(black_hole.target.accepted()) == 5)
    assert metric(server, "sluice_egress_waiting_requests") == 0


def test_records_on_their_way_wait_for_memory(start, black_hole):
    """Ten streams want 5 MB each, of 32 MiB in all."""
    mib = 1 << 20
    server = start(settings=f"[limits]\nbytes_in_flight_max = {32 * mib}\n"
                            f"stream_bytes_in_flight_max = {mib}\n")
    organisations = range(1, 6)
    for organisation in organisations:
        for _ in range(2):
            server.create_stream(black_hole.target.url, organisation=organisation,
                                 delivery={"timeout_ms": 60000})
    for organisation in organisations:
        records = [event(i, organisation, description="x" * 10_000) for i in range(500)]
        server.ingest("events", records, organisation=organisation)
    peak = 0

    def full():
        nonlocal peak
        peak = max(peak, metric(server, "sluice_delivery_in_flight_bytes"))
        return metric(server, "sluice_delivery_full_streams") >= 5 and peak > 25 * mib
    wait_until(full, what="memory running short")
    black_hole.open_for_business.set()

    def delivered():
        full()
        return len(black_hole.target.record_ids()) == 10 * 500
    wait_until(delivered, 60)
    assert peak <= 40 * mib  # what one stream reads in its turn comes on top
    wait_until(lambda: metric(server, "sluice_delivery_in_flight_bytes") == 0)
    assert metric(server, "sluice_delivery_full_streams") == 0


def test_bodies_wait_for_memory(start):
    """Of 8 MiB one organisation gets 2: bodies of 1.5 MiB that have begun go one after the other."""
    server = start(settings=f"[limits]\nbody_bytes_in_memory_max = {8 << 20}\n"
                            f"body_bytes_max = {2 << 20}\n")
    host, port = server.url.removeprefix("http://").split(":")
    body = b" " * (3 << 19)
    begun = 8 << 10
    head = (f"POST /api/v2/records/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
            f"{server.token('ingest')}\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    clients = [socket.create_connection((host, int(port))) for _ in range(3)]
    for client in clients:
        client.sendall(head + body[:begun])
    wait_until(lambda: metric(server, "sluice_http_bodies_waiting") == 2)
    assert metric(server, "sluice_http_body_bytes_in_memory") >= len(body)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda client: client.sendall(body[begun:]), clients))
    for client in clients:
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        client.close()
    wait_until(lambda: metric(server, "sluice_http_body_bytes_in_memory") == 0)
    assert metric(server, "sluice_http_bodies_waiting") == 0


def test_the_record_log_is_as_large_as_it_may_be(start, receivers):
    mib = 1 << 20
    taking = []
    target = receivers(answer=lambda _: 200 if taking else 503)
    server = start(settings=f"[limits]\ndata_bytes_max = {16 * mib}\n"
                            f"[recordlog]\nsegment_bytes = {mib}\n")
    stream = server.create_stream(target.url, delivery=FAST)["id"]
    accepted, answer = [], None
    for i in range(400):
        answer = server.ingest("events", [event(i, description="x" * 100_000)])
        if answer.status_code != 200:
            break
        accepted.append(i)
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert metric(server, "sluice_recordlog_full") == 1
    assert metric(server, "sluice_recordlog_bytes") <= 16 * mib
    assert metric(server, "sluice_recordlog_early_deleted_segments_total") == 0
    taking.append(True)
    wait_until(lambda: target.record_ids() == accepted, what="deliveries going on")
    wait_until(lambda: server.stream(stream)["progress"]["lag_records"] == 0)
    wait_until(lambda: server.ingest("events", [event(1000)]).status_code == 200,
               what="ingest going on by itself")
    assert metric(server, "sluice_recordlog_early_deleted_segments_total") > 0
    wait_until(lambda: target.record_ids() == accepted + [1000])


@pytest.mark.parametrize("settings, size", [
    ("dead_letters_max = 5", 10), ("dead_letter_bytes_max = 1048576", 200_000)])
def test_dead_letters_of_a_stream(start, receivers, settings, size):
    target = receivers(answer=lambda _: 400)
    server = start(settings=f"[limits]\n{settings}\n")
    stream = server.create_stream(target.url, credentials={"size": 1},
                                  delivery={"rejected_in_a_row": 0})["id"]
    for i in range(8):
        server.ingest("events", [event(i, description="x" * size)])
    wait_until(lambda: server.stream(stream)["status"]["id"] == 3)
    shown = server.stream(stream)
    assert shown["progress"]["dead_letters"] == 5 and "dead letters" in shown["last_error"]
    assert metric(server, "sluice_dead_letters") == 5
    assert 5 * size < metric(server, "sluice_dead_letters_bytes") < 5 * size + 5000
    if "letters_max" in settings:
        skip = server.call("POST", f"{STREAMS}/{stream}/skip", json={"to": 5})
        assert skip.status_code == 409 and "park false" in skip.json()["message"]
    # None is dropped: with room again the rest follows.
    server.call("DELETE", f"{STREAMS}/{stream}/dead_letters")
    assert metric(server, "sluice_dead_letters") == 0
    server.call("POST", f"{STREAMS}/{stream}/restart")
    wait_until(lambda: server.stream(stream)["progress"]["dead_letters"] == 3)


def test_attempts_kept_of_a_stream(start, receiver):
    server = start(settings="[limits]\nattempts_per_stream_max = 30\n")
    stream = server.create_stream(receiver.url, credentials={"size": 1})["id"]
    server.ingest("events", [event(i) for i in range(100)])
    wait_until(lambda: server.stream(stream)["progress"]["lag_records"] == 0)
    path = f"{STREAMS}/{stream}/attempts?limit=100"
    wait_until(lambda: server.call("GET", path).json()["items"][0]["first_offset"] == 99)
    rows = server.call("GET", path).json()["items"]
    assert [row["first_offset"] for row in rows] == list(range(99, 69, -1))
    assert metric(server, "sluice_attempts_bytes") > 0


def test_idempotency_keys(start):
    server = start(settings="[limits]\nidempotency_keys_max = 3\n")

    def send(key):
        return server.ingest("events", [event(1)], headers={"Idempotency-Key": key})
    assert [send(f"key {i}").status_code for i in range(3)] == [200] * 3
    assert metric(server, "sluice_recordlog_request_marks") == 3
    refused = send("key 3")
    assert refused.status_code == 503 and refused.headers["Retry-After"]
    assert "idempotency_keys_max" in refused.json()["message"]
    assert send("key 1").json() == {"accepted": 1, "replayed": True}
    assert server.ingest("events", [event(2)]).status_code == 200


def test_application_tokens_and_searches_are_settings(start):
    server = start(settings="[limits]\napplication_tokens_max = 1\nquarantine_bytes_max = 1048576\n")
    body = {"name": "one", "role": "viewer"}
    path = "/api/v1/application_token"
    assert server.call("POST", path, json=body).status_code == 201
    assert server.call("POST", path, json=body).json()["error_token"] == "TokenLimit"
    assert metric(server, "sluice_api_application_tokens") == 1
    server.ingest("events", b"bad\n", params={"on_invalid": "skip"})
    assert metric(server, "sluice_quarantine_bytes") > 0
