"""Rubbish in: the specification's error, nothing stored, the server unharmed, neighbours served."""

import json
import socket

import pytest

from support import event, usage, wait_until

PATH = "/api/v2/records/events"


def stored(sluice, receiver, marker):
    """Everything delivered so far once a good record with id `marker` has come through."""
    assert sluice.ingest("events", [event(marker)]).status_code == 200
    wait_until(lambda: marker in receiver.record_ids())
    return receiver.record_ids()


@pytest.fixture
def server(start, receiver):
    one = start(settings='[limits]\nbody_bytes_max = 4194304\nheader_bytes_max = 16384\n')
    one.create_stream(receiver.url, type_id=3)
    return one


def triple(answer, status, token):
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert body["error_token"] == token and body["error_code"] // 10 == status, body
    assert body["message"]
    return body


@pytest.mark.parametrize("body, status, token", [
    (b"rubbish", 400, "MalformedBody"),
    (b"\x00\x01\x02", 400, "MalformedBody"),
    (b"[1,2", 400, "MalformedBody"),
    (b'[{"id":1', 400, "MalformedBody"),
    (b"[1]", 422, "InvalidRecord"),
    (b'"text"', 400, "MalformedBody"),
    (b"{}", 422, "InvalidRecord"),
    (json.dumps([event(1), event("2")]).encode(), 422, "InvalidRecord"),
    (json.dumps(event(2**64)).encode(), 422, "InvalidRecord"),
    (json.dumps(event(1.5)).encode(), 422, "InvalidRecord"),
    (json.dumps(event(1) | {"timestamp": "yesterday"}).encode(), 422, "InvalidRecord"),
    (json.dumps(event(1) | {"event_type": {}}).encode(), 422, "InvalidRecord"),
    (b'{"id":1,"timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},"x":"\xff"}', 422,
     "InvalidRecord"),
    (b'{"id":1,"timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},"x":"a\x00b"}', 422,
     "InvalidRecord"),
    (b'{"id":1,"timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},"x":"\\ud800"}', 422,
     "InvalidRecord"),
    (b'{"id":1,"timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},"x":'
     + b"[" * 64 + b"]" * 64 + b"}", 422, "InvalidRecord"),
    (b"[" * 100_000, 400, "MalformedBody"),
])
def test_a_bad_json_body_is_refused_whole(server, receiver, body, status, token):
    answer = server.call("POST", PATH, role="ingest", data=body,
                         headers={"Content-Type": "application/json"})
    triple(answer, status, token)
    assert stored(server, receiver, 77) == [77]


def test_every_bad_line_is_named_and_nothing_is_stored(server, receiver):
    lines = [json.dumps(event(i)) for i in range(6)]
    lines[1] = "{bad"
    lines[3] = ""
    lines[4] = json.dumps(event(4) | {"timestamp": None})
    answer = server.ingest("events", "\n".join(lines).encode())
    body = triple(answer, 422, "InvalidRecord")
    assert [(e["index"], e["line"]) for e in body["errors"]] == [(1, 2), (3, 5)]
    assert all(e["message"] for e in body["errors"])
    assert stored(server, receiver, 77) == [77]


def test_only_the_first_hundred_faults_are_listed(server):
    answer = server.ingest("events", b"{}\n" * 250)
    assert len(triple(answer, 422, "InvalidRecord")["errors"]) == 100


@pytest.mark.parametrize("record_id", [-2**63, -1, 0, 2**63 - 1])
def test_ids_of_64_bits_pass_unchanged(server, receiver, record_id):
    assert server.ingest("events", [event(record_id)]).status_code == 200
    wait_until(lambda: receiver.record_ids() == [record_id])


def test_numbers_of_any_size_pass_where_nothing_reads_them(server, receiver):
    raw = (b'{"id":1,"end_timestamp":"2026-11-21 08:00:00","cost":0.0012345678,'
           b'"a":123456789012345678901234567890,"b":1e400,"c":-0.0,"d":1E-400}')
    assert server.ingest("usage", raw).status_code == 200
    wait_until(receiver.accepted)
    assert receiver.accepted()[0].body == b"[" + raw + b"]"


def test_depth_64_is_the_last_that_passes(server):
    def nested(depth):  # the record itself is 1
        inner = "[" * (depth - 1) + "]" * (depth - 1)
        return json.dumps(event(1))[:-1].encode() + b',"x":' + inner.encode() + b"}"
    assert server.ingest("events", nested(64)).status_code == 200
    assert server.ingest("events", nested(65)).status_code == 422


def test_a_large_body_and_a_large_record_are_413(server, receiver):
    big = event(1) | {"x": "a" * (1 << 20)}
    triple(server.ingest("events", [big]), 413, "RecordTooLarge")
    triple(server.ingest("events", b" " * 5_000_000), 413, "BodyTooLarge")
    assert stored(server, receiver, 77) == [77]


def test_a_70_mb_body_is_413_by_default(sluice):
    answer = sluice.ingest("events", b" " * 70_000_000)
    assert triple(answer, 413, "BodyTooLarge")
    assert sluice.ingest("events", [event(1)]).status_code == 200


def test_empty_bodies_are_fine(server):
    for body in (b"", b"\n\r\n", b"[]", b"\xef\xbb\xbf"):
        answer = server.call("POST", PATH, role="ingest", data=body,
                             headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()) == (200, {"accepted": 0}), body


def test_crlf_bom_and_concatenated_objects_are_tolerated(server, receiver):
    lines = b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(event(i)).encode() for i in range(3)) + b"\r\n"
    assert server.ingest("events", lines).json() == {"accepted": 3}
    glued = b"".join(json.dumps(event(i)).encode() for i in range(3, 6))
    answer = server.call("POST", PATH, role="ingest", data=glued,
                         headers={"Content-Type": "application/json"})
    assert answer.json() == {"accepted": 3}
    pretty = json.dumps([event(i) for i in range(6, 9)], indent=2).encode()
    answer = server.call("POST", PATH, role="ingest", data=pretty,
                         headers={"Content-Type": "application/json"})
    assert answer.json() == {"accepted": 3}
    wait_until(lambda: receiver.record_ids() == list(range(9)))


def test_types_encodings_roles_and_tokens(server):
    good = json.dumps(event(1)).encode()
    answer = server.call("POST", PATH, role="ingest", data=good, headers={"Content-Type": "text/xml"})
    triple(answer, 415, "UnsupportedMediaType")
    answer = server.ingest("events", good, headers={"Content-Encoding": "br"})
    triple(answer, 415, "UnsupportedEncoding")
    for role in ("admin", "developer", "viewer"):
        answer = server.call("POST", PATH, role=role, data=good,
                             headers={"Content-Type": "application/json"})
        triple(answer, 403, "Forbidden")
    for bad in ("", "Bearer", "Bearer x.y.z", "Basic abc", "Bearer " + "a" * 9000,
                "Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoib3BlcmF0b3IiLCJleHAiOjQwMDAwMDAwMDB9."):
        answer = server.call("POST", PATH, data=good, headers={"Authorization": bad})
        triple(answer, 401, "Unauthorized")
    triple(server.call("POST", "/api/v2/records/events?organisation_id=2", role="ingest", data=good,
                       headers={"Content-Type": "application/json"}), 403, "Forbidden")
    triple(server.ingest("events", [event(1, organisation=2)]), 403, "Forbidden")
    triple(server.call("POST", "/api/v2/records/nonsense", role="ingest", data=good), 404, "NotFound")
    triple(server.call("GET", PATH, role="ingest"), 405, "MethodNotAllowed")


def test_its_own_deliveries_are_refused(server, receiver):
    server.ingest("events", [event(1)])
    wait_until(receiver.accepted)
    hops = receiver.accepted()[0].headers["x-sluice-hops"]
    triple(server.ingest("events", [event(2)], headers={"X-Sluice-Hops": hops}), 409, "Loop")
    other = "0" * 32 + ":1"
    assert server.ingest("events", [event(3)], headers={"X-Sluice-Hops": other}).status_code == 200


def test_tokens_in_activation_events_are_redacted(server, receiver):
    jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    raw = json.dumps(event(1, type_id=36, detail={"activation_token": "abc", "a": 0.10},
                           description=f"invited with {jwt} today")).encode()
    assert server.ingest("events", raw).status_code == 200
    wait_until(receiver.accepted)
    body = receiver.accepted()[0].body.decode()
    assert "abc" not in body and jwt not in body and "redacted" in body and '"a": 0.1' in body


def connect(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def answer_of(connection):
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        if b"\r\n\r\n" in data:
            break
    return int(data.split(b" ", 2)[1]) if data else None


def test_rubbish_on_the_wire_gets_400(server):
    for rubbish in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELLO\r\n\r\n",
                    b"GET / HTTP/9.9\r\n\r\n", b"POST " + PATH.encode() + b" HTTP/1.1\r\n"
                    b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"):
        with connect(server) as connection:
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            assert answer_of(connection) == 400, rubbish
    assert server.call("GET", "/healthz").status_code == 200


def test_a_header_flood_is_431(server):
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        try:
            for i in range(10_000):
                connection.sendall(b"X-%d: %s\r\n" % (i, b"a" * 100))
        except OSError:
            pass
        try:
            assert answer_of(connection) in (431, None)
        except ConnectionResetError:
            pass
    assert server.call("GET", "/healthz").status_code == 200


def test_slow_and_half_closed_clients_do_not_hold_up_others(server, receiver):
    token = server.token("ingest")
    body = json.dumps(event(5)).encode()
    head = (f"POST {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    slow = [connect(server) for _ in range(50)]
    for connection in slow:
        connection.sendall(head + body[:10])
    assert server.ingest("events", [event(6)]).status_code == 200
    for connection in slow[:10]:  # a client that sends its all and closes its side gets its answer
        for byte in body[10:]:
            connection.sendall(bytes([byte]))
        connection.shutdown(socket.SHUT_WR)
        assert answer_of(connection) == 200
    for connection in slow:
        connection.close()
    wait_until(lambda: sorted(receiver.record_ids()) == [5] * 10 + [6])
    assert server.call("GET", "/healthz").status_code == 200


def test_a_client_that_leaves_before_the_answer_does_no_harm(server):
    token = server.token("ingest")
    body = b"".join(json.dumps(usage(i)).encode() + b"\n" for i in range(1000))
    for _ in range(50):
        with connect(server) as connection:
            connection.sendall(
                (f"POST /api/v2/records/usage HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
                 f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n").encode()
                + body)
    assert server.ingest("events", [event(1)]).status_code == 200
