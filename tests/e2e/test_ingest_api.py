"""Ingest beyond plain bodies: encodings, quarantine, idempotency keys, rates."""

import ctypes
import ctypes.util
import gzip
import json
import os
import random
import secrets
import threading
import time
import zlib

import pytest
import requests

from support import event, usage, wait_until

ZSTD = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
ZSTD.ZSTD_compressBound.restype = ZSTD.ZSTD_compress.restype = ctypes.c_size_t


def zstd(data):
    room = ZSTD.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(room)
    size = ZSTD.ZSTD_compress(out, ctypes.c_size_t(room), data, ctypes.c_size_t(len(data)), 3)
    return out.raw[:size]


PACKERS = {"gzip": gzip.compress, "zstd": zstd}


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def post(server, body, encoding=None, kind="events", query="", **options):
    headers = options.pop("headers", {}) | ({"Content-Encoding": encoding} if encoding else {})
    return server.ingest(kind + query, body, headers=headers, **options)


def token_of(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["error_code"] // 10 == status and body["message"]
    return body["error_token"]


@pytest.mark.parametrize("encoding", PACKERS)
def test_packed_bodies_arrive_as_they_were(sluice, receiver, encoding):
    sluice.create_stream(receiver.url)
    pack = PACKERS[encoding]
    whole = pack(lines([event(1), event(2)])) + pack(lines([event(3)]))
    assert post(sluice, whole, encoding).json() == {"accepted": 3}
    assert post(sluice, b"", encoding).json() == {"accepted": 0}
    wait_until(lambda: receiver.record_ids() == [1, 2, 3])


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_large_packed_body_and_what_cannot_be_unpacked(start, encoding):
    server = start(settings="[limits]\nbody_bytes_max = 33554432\n")
    pack = PACKERS[encoding]
    many = lines(event(i) for i in range(200_000))
    assert 16 << 20 < len(many) < 32 << 20
    assert post(server, pack(many), encoding).json() == {"accepted": 200_000}
    good = pack(lines([event(1)]))
    assert token_of(post(server, good[:-1], encoding), 400) == "MalformedBody"
    assert token_of(post(server, good + b"x", encoding), 400) == "MalformedBody"
    assert token_of(post(server, lines([event(1)]), encoding), 400) == "MalformedBody"
    assert token_of(post(server, pack(b"{}\n"), encoding), 422) == "InvalidRecord"
    bomb = pack(b" " * (256 << 20))
    answer = post(server, bomb * 4, encoding)
    assert token_of(answer, 413) == "BodyTooLarge" and "33554432" in answer.json()["message"]
    assert post(server, good, encoding).json() == {"accepted": 1}


def test_bombs_do_not_grow_the_server(start):
    server = start(settings="[limits]\nbody_bytes_in_memory_max = 67108864\n")
    bomb = gzip.compress(b" " * (1 << 30), 1)
    for _ in range(5):
        assert token_of(post(server, bomb, "gzip"), 413) == "BodyTooLarge"
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as status:
        peak_kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak_kib < 400 << 10


def test_other_encodings_are_415_and_name_what_is_taken(sluice):
    for encoding in ("br", "deflate", "gzip, gzip", "compress"):
        answer = post(sluice, zlib.compress(lines([event(1)])), encoding)
        assert token_of(answer, 415) == "UnsupportedEncoding"
        assert answer.headers["Accept-Encoding"] == "gzip, zstd"
    assert post(sluice, lines([usage(1)]), "identity", kind="usage").json() == {"accepted": 1}


def quarantine(server, method="GET", query="", **options):
    return server.call(method, "/api/v2/quarantine" + query, role="operator", **options)


def test_skipped_records_are_answered_kept_and_shown(sluice, receiver):
    sluice.create_stream(receiver.url)
    body = lines([event(1)]) + b"{bad\n\n" + lines([event(2), event(3) | {"timestamp": 5}]) + b"\xff\n"
    answer = post(sluice, body, query="?on_invalid=skip")
    assert answer.status_code == 200, answer.text
    accepted = answer.json()
    assert (accepted["accepted"], accepted["rejected"]) == (2, 3)
    assert [(e["index"], e["line"]) for e in accepted["errors"]] == [(1, 2), (3, 5), (4, 6)]
    wait_until(lambda: receiver.record_ids() == [1, 2])

    sluice.kill()
    sluice.start()
    listed = quarantine(sluice, query="?limit=2").json()
    assert [item.get("record") for item in listed["items"]] == \
        [None, json.dumps(event(3) | {"timestamp": 5})]
    assert listed["items"][0]["record_base64"] == "/w=="
    item = listed["items"][1]
    assert (item["kind"], item["organisation_id"]) == ("events", 1)
    assert "timestamp" in item["reason"] and item["time"].endswith("Z") and item["subject"]
    rest = quarantine(sluice, query="?after=" + listed["next"]).json()
    assert [i["record"] for i in rest["items"]] == ["{bad"] and rest["next"] is None

    assert quarantine(sluice, "DELETE", f"?up_to={item['id']}").json() == {"deleted": 2}
    assert len(quarantine(sluice).json()["items"]) == 1
    assert quarantine(sluice, "DELETE").json() == {"deleted": 1}
    for role in ("admin", "developer", "viewer", "ingest"):
        assert sluice.call("GET", "/api/v2/quarantine", role=role).status_code == 403


def test_skipping_forgives_records_alone(sluice):
    skip = "?on_invalid=skip"
    assert post(sluice, lines([event(1)]), query=skip).json() == \
        {"accepted": 1, "rejected": 0, "errors": []}
    assert token_of(post(sluice, lines([event(1), event(2, organisation=2)]), query=skip), 403)
    as_json = {"headers": {"Content-Type": "application/json"}}
    assert token_of(post(sluice, b"[{}", query=skip, **as_json), 400) == "MalformedBody"
    assert token_of(post(sluice, b"x", query="?on_invalid=maybe"), 400) == "BadQuery"
    many = post(sluice, b"x\n" * 250, query=skip).json()
    assert (many["accepted"], many["rejected"], len(many["errors"])) == (0, 250, 100)
    assert token_of(post(sluice, b"x\n"), 422) == "InvalidRecord"
    assert len(quarantine(sluice, query="?limit=1000").json()["items"]) == 250


def test_a_full_quarantine_refuses_and_stores_nothing(start, receiver):
    server = start(settings="[limits]\nquarantine_bytes_max = 1048576\n")
    server.create_stream(receiver.url)
    bad = b"{" + b"x" * 300_000 + b"\n"
    for _ in range(3):
        assert post(server, bad, query="?on_invalid=skip").json()["rejected"] == 1
    answer = post(server, lines([event(1)]) + bad, query="?on_invalid=skip")
    assert token_of(answer, 422) == "QuarantineFull"
    quarantine(server, "DELETE")
    answer = post(server, lines([event(2)]) + bad, query="?on_invalid=skip")
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    wait_until(lambda: receiver.record_ids() == [2])


def keyed(server, key, body, encoding=None, **options):
    return post(server, body, encoding, headers={"Idempotency-Key": key}, **options)


def test_a_request_sent_again_is_stored_once(sluice, receiver):
    sluice.create_stream(receiver.url)
    body = lines([event(1), event(2)])
    assert keyed(sluice, "k1", body).json() == {"accepted": 2}
    replayed = {"accepted": 2, "replayed": True}
    assert keyed(sluice, "k1", body).json() == replayed
    assert keyed(sluice, "k1", gzip.compress(body), "gzip").json() == replayed
    sluice.kill()
    sluice.start()
    assert keyed(sluice, "k1", body).json() == replayed
    assert token_of(keyed(sluice, "k1", lines([event(3)])), 409) == "IdempotencyKeyReused"
    assert keyed(sluice, "k2", lines([event(3)])).json() == {"accepted": 1}
    wait_until(lambda: set(receiver.record_ids()) == {1, 2, 3})  # twice where kill -9 took the answer
    kept = sluice.call("GET", "/api/v2/records").json()["items"]
    assert [item["record"]["id"] for item in kept] == [1, 2, 3]


def test_keys_hold_within_organisation_path_and_query(sluice):
    body = lines([usage(1) | {"timestamp": usage(1)["end_timestamp"], "event_type": {"id": 1}}])
    first = lambda answer: answer.json() == {"accepted": 1}
    mine = json.loads(body)
    del mine["organisation"]
    mine = lines([mine])
    assert first(keyed(sluice, "k", mine))
    assert first(keyed(sluice, "k", mine, organisation=2))
    assert first(keyed(sluice, "k", mine, kind="usage"))
    assert first(keyed(sluice, "k", mine, query="?organisation_id=1"))
    assert keyed(sluice, "k", mine).json()["replayed"] is True


def test_unusable_keys_and_refused_requests(sluice):
    body = lines([event(1)])
    for key in ("", "x" * 256, "a\tb", "caf\xe9"):
        answer = keyed(sluice, key.encode("latin-1"), body)
        assert token_of(answer, 400) == "BadHeader" and "Idempotency-Key" in answer.json()["message"]
    assert keyed(sluice, "k", b"{}\n").status_code == 422
    assert keyed(sluice, "k", b"").json() == {"accepted": 0}
    assert keyed(sluice, "k", body).json() == {"accepted": 1}, "only what was stored is remembered"


def test_a_replay_of_a_skipping_request_has_the_counts_alone(sluice):
    body = lines([event(1)]) + b"bad\n"
    assert len(keyed(sluice, "k", body, query="?on_invalid=skip").json()["errors"]) == 1
    assert keyed(sluice, "k", body, query="?on_invalid=skip").json() == \
        {"accepted": 1, "rejected": 1, "replayed": True}
    nothing_valid = b"worse\n"
    for _ in range(2):
        answer = keyed(sluice, "n", nothing_valid, query="?on_invalid=skip").json()
        assert answer["accepted"] == 0 and "replayed" not in answer
    assert len(quarantine(sluice).json()["items"]) == 2


def test_many_with_one_key_at_once_store_one(sluice, receiver):
    sluice.create_stream(receiver.url)
    body = lines(event(i) for i in range(2000))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(keyed(sluice, "k", body).json()))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(a.get("replayed", False) for a in answers) == [False] + [True] * 7
    assert all(a["accepted"] == 2000 for a in answers)
    wait_until(lambda: len(receiver.record_ids()) >= 2000)
    assert keyed(sluice, "end", lines([event(5000)])).json() == {"accepted": 1}
    wait_until(lambda: receiver.record_ids()[-1] == 5000)
    assert receiver.record_ids() == [*range(2000), 5000]


def test_requests_repeated_through_kill_9_are_stored_once(start, receivers):
    """Each body goes out until it is answered, through kills; every record arrives exactly once."""
    seed = int(os.environ.get("SLUICE_SEED", random.randrange(2**32)))
    print(f"seed {seed}: repeat with SLUICE_SEED={seed}")
    dice = random.Random(seed)
    server = start()
    organisations = (1, 2, 3)
    received = {o: receivers() for o in organisations}
    for organisation, one in received.items():
        server.create_stream(one.url, organisation=organisation, credentials={"size": 1000})
    token = server.token("operator", 1)
    done, next_id = threading.Event(), [0]
    sent = {o: set() for o in organisations}

    def feed():
        session = requests.Session()
        while not done.is_set():
            records = [event(next_id[0] + i, organisation=dice.choice(organisations), pad="x" * 300)
                       for i in range(dice.choice((1, 10, 3000)))]
            next_id[0] += len(records)
            for record in records:
                sent[record["organisation"]["id"]].add(record["id"])
            body, key = lines(records), secrets.token_hex(8)
            while True:
                try:
                    answer = session.post(
                        server.url + "/api/v2/records/events", data=body, timeout=30,
                        headers={"Authorization": "Bearer " + token, "Idempotency-Key": key,
                                 "Content-Type": "application/x-ndjson"})
                    if answer.status_code == 200:
                        assert answer.json()["accepted"] == len(records)
                        break
                    assert answer.status_code == 503, answer.text
                except requests.RequestException:
                    session = requests.Session()
                    time.sleep(0.01)

    feeder = threading.Thread(target=feed)
    feeder.start()
    for _ in range(8):
        time.sleep(dice.uniform(0.05, 0.4))
        server.kill()
        server.start()
    done.set()
    feeder.join()
    for organisation, one in received.items():
        wait_until(lambda o=organisation, r=one: set(r.record_ids()) >= sent[o], timeout_s=120)
        kept = server.call("GET", "/metrics").status_code
        assert kept == 200
        # A delivery may repeat; an offset may not hold the same record twice.
        by_offset = {}
        for delivery in one.accepted():
            first, _ = delivery.offsets
            for place, record in enumerate(delivery.records):
                assert by_offset.setdefault(first + place, record["id"]) == record["id"]
        ids = list(by_offset.values())
        assert len(ids) == len(set(ids)) == len(sent[organisation])


def test_bound_tokens_are_held_to_their_rate(start):
    server = start(settings="[limits]\ningest_records_per_s = 10\n")
    body = lines(event(i) for i in range(100))
    assert post(server, body).json() == {"accepted": 100}
    answer = post(server, body)
    assert token_of(answer, 429) == "RateLimited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 10
    other = lines([event(1, organisation=2)])
    assert post(server, other, organisation=2).json() == {"accepted": 1}, "to each its own"
    for _ in range(3):
        assert post(server, body, role="operator").json() == {"accepted": 100}


def test_the_command_says_what_became_of_the_records(sluice, tmp_path):
    file = tmp_path / "events.ndjson"
    file.write_bytes(lines([event(1)]) + b"bad\n" + lines([event(2)]))
    server = ["--url", sluice.url, "--token", sluice.token("ingest")]
    refused = sluice.run("ingest", "events", str(file), *server)
    assert refused.returncode == 1 and refused.stdout == "accepted 0 records\n"
    skipped = sluice.run("ingest", "--skip-invalid", "events", str(file), *server)
    assert skipped.returncode == 0, skipped.stderr
    assert skipped.stdout == "accepted 2 records, 1 invalid ones are in quarantine\n"
    assert "events.ndjson:2: " in skipped.stderr
    assert len(quarantine(sluice).json()["items"]) == 1
