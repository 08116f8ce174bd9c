"""Kafka against a real broker."""

import concurrent.futures
import secrets
import socket
import time
import types

import pytest

from kafka_broker import KafkaBroker
from support import FAST_RETRY, event, wait_until


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = KafkaBroker(tmp_path_factory.mktemp("kafka") / "one").start()
    yield made
    made.close()


@pytest.fixture
def topic(broker):
    return broker.create_topic("t-" + secrets.token_hex(4))


def create(sluice, broker, topic, validate=True, delivery=None, ca=None, **credentials):
    destination = {"connection_type": "Kafka",
                   "credentials": {"brokers": broker.address, "topic": topic} | credentials}
    if ca:
        destination["ca"] = ca
    body = {"data_stream_type": {"id": 2}, "delivery": FAST_RETRY | (delivery or {}),
            "destination": destination}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body)


def secure(broker, **more):
    return {"brokers": broker.secure_address, "security": "SASL_SSL", "username": "sluice",
            "password": broker.users["sluice"]} | more


def test_records_arrive_one_each_in_order_under_their_endpoints_key(sluice, broker):
    topic = broker.create_topic("keys-" + secrets.token_hex(4), partitions=3)
    answer = create(sluice, broker, topic)
    assert answer.status_code == 201, answer.text
    raw = [b'{"id":%d,  "timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},'
           b'"endpoint":{"id":%d},"cost":0.0012345678}' % (i, 70 + i % 7) for i in range(3000)]
    assert sluice.ingest("events", b"\n".join(raw)).status_code == 200
    wait_until(lambda: sluice.stream(answer.json()["id"])["progress"]["delivered"] == 3000)
    found = broker.messages(topic, partitions=3)
    by_key = {}
    for message in found:
        by_key.setdefault(message.key().decode(), []).append(message)
    assert {key: [m.value() for m in messages] for key, messages in by_key.items()} == \
        {str(70 + k): raw[k::7] for k in range(7)}
    for key, messages in by_key.items():
        assert len({m.partition() for m in messages}) == 1, key
    assert dict(found[0].headers())["kind"] == b"event"
    assert sorted(int(dict(m.headers())["offset"]) for m in found) == list(range(3000))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
def test_logs_in_over_tls(sluice, broker, topic, mechanism):
    broker.allow("sluice", topic)
    answer = create(sluice, broker, topic, ca=broker.authority.pem,
                    **secure(broker, sasl_mechanism=mechanism))
    assert answer.status_code == 201, answer.text
    assert answer.json()["destination"]["credentials"]["password"] == "***"
    sluice.ingest("events", [event(1), event(2)])
    wait_until(lambda: len(broker.messages(topic)) == 2)


def test_the_check_says_in_the_brokers_words_what_cannot_work(sluice, broker, topic):
    def said(wanted, ca=broker.authority.pem, topic=topic, **credentials):
        answer = create(sluice, broker, topic, ca=ca, **credentials)
        assert answer.status_code == 422 and wanted in answer.text, answer.text
        assert "s3cret-word" not in answer.text

    said("Authentication failed", **secure(broker, password="wrong"))
    said("Authentication failed", **secure(broker, sasl_mechanism="SCRAM-SHA-256", username="who"))
    said("Topic authorization failed", **secure(broker))
    said("Unknown topic", topic="no-such-topic", ca=None)
    said("is not trusted", ca=None, **secure(broker))
    assert sluice.call("GET", "/api/v2/data_stream").json() == []


def test_the_server_stops_soon_although_a_check_waits_for_a_broker(start):
    sluice = start()
    sluice.token("admin", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, \
            concurrent.futures.ThreadPoolExecutor(1) as other:
        silent.settimeout(10)
        broker = types.SimpleNamespace(address=f"127.0.0.1:{silent.getsockname()[1]}")
        answer = other.submit(create, sluice, broker, "t")
        connection, _ = silent.accept()
        begun = time.monotonic()
        assert sluice.stop() == 0
        assert time.monotonic() - begun < 6  # requests have 3 s
        assert answer.exception() is not None
        connection.close()


@pytest.mark.parametrize("change, said", [
    ({"password": "wrong"}, "Authentication failed"),
    ({"topic": "no-such-topic"}, "authorization failed"),
    ({}, "topic t-"),
])
def test_wrong_settings_stop_the_stream(sluice, broker, topic, change, said):
    stream = create(sluice, broker, validate=False, ca=broker.authority.pem,
                    delivery={"misconfigured_in_a_row": 2},
                    **({"topic": topic} | secure(broker) | change)).json()["id"]
    sluice.ingest("events", [event(1)])
    wait_until(lambda: sluice.stream(stream)["status"]["description"] == "Error")
    assert said in sluice.stream(stream)["last_error"], sluice.stream(stream)


def test_a_broker_at_a_forbidden_address_is_refused(start, broker, topic):
    sluice = start()
    answer = create(sluice, broker, topic, brokers="10.1.2.3:9092")
    assert answer.status_code == 422 and "10.1.2.3 is a private address" in answer.text


def test_a_broker_that_names_a_forbidden_address_is_not_followed(start, tmp_path):
    broker = KafkaBroker(tmp_path / "broker")
    settings = broker.config.read_text("utf-8")
    # To its own kind it tells where it is, to strangers an inner address.
    broker.config.write_text(settings.replace(
        f"advertised.listeners=PLAIN://127.0.0.1:{broker.port},SECURE://127.0.0.1:",
        f"advertised.listeners=PLAIN://127.0.0.1:{broker.port},SECURE://10.1.2.3:")
        .replace("SECURE:SASL_SSL", "SECURE:PLAINTEXT"), "utf-8")
    try:
        broker.start()
        topic = broker.create_topic("t")
        sluice = start()
        stream = create(sluice, broker, topic, validate=False, brokers=broker.secure_address,
                        delivery={"misconfigured_in_a_row": 2}).json()["id"]
        sluice.ingest("events", [event(1)])
        wait_until(lambda: sluice.stream(stream)["status"]["description"] == "Error")
        assert "10.1.2.3 is a private address" in sluice.stream(stream)["last_error"]
        assert broker.messages(topic) == []
    finally:
        broker.close()
