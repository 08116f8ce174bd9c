"""Ingest beyond plain bodies: encodings."""

import ctypes
import ctypes.util
import gzip
import json
import zlib

import pytest

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
