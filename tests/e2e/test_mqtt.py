"""Mqtt against a real Mosquitto."""

import json

import pytest

from mosquitto_broker import MosquittoBroker, Reader
from support import FAST_RETRY, event, wait_until

VERSIONS = ["5", "3.1.1"]


@pytest.fixture
def broker(tmp_path):
    made = MosquittoBroker(tmp_path / "mosquitto").start()
    yield made
    made.close()


@pytest.fixture
def reader(broker):
    made = Reader(broker)
    yield made
    made.close()


def create(sluice, broker, validate=True, delivery=None, ca=None, **credentials):
    destination = {"connection_type": "Mqtt",
                   "credentials": {"url": broker.url, "topic": "open/{kind}/{endpoint}",
                                   "username": broker.user, "password": broker.password}
                   | credentials}
    if ca:
        destination["ca"] = ca
    body = {"data_stream_type": {"id": 2}, "delivery": FAST_RETRY | (delivery or {}),
            "destination": destination}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body)


def delivered(sluice, stream):
    return sluice.stream(stream)["progress"]["delivered"]


@pytest.mark.parametrize("version", VERSIONS)
def test_records_arrive_one_each_in_order_at_their_topics(sluice, broker, reader, version):
    answer = create(sluice, broker, version=version)
    assert answer.status_code == 201, answer.text
    assert answer.json()["destination"]["credentials"]["password"] == "***"
    raw = [b'{"id":%d,  "timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},'
           b'"endpoint":{"id":%d},"more":"%s"}' % (i, 70 + i % 3, b"x" * (300_000 if i == 9 else 10))
           for i in range(1000)]
    assert sluice.ingest("events", b"\n".join(raw)).status_code == 200
    wait_until(lambda: delivered(sluice, answer.json()["id"]) == 1000)
    wait_until(lambda: len(reader.found) == 1000)
    assert reader.found == [(f"open/event/{70 + i % 3}", raw[i]) for i in range(1000)]


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_lost_or_disordered_when_the_broker_restarts(sluice, broker, reader, version):
    stream = create(sluice, broker, version=version).json()["id"]
    sluice.ingest("events", [event(i) for i in range(100)])
    wait_until(lambda: delivered(sluice, stream) == 100)
    broker.stop()
    sluice.ingest("events", [event(i) for i in range(100, 300)])
    wait_until(lambda: sluice.stream(stream)["last_error"] is not None)
    broker.start()
    wait_until(lambda: delivered(sluice, stream) == 300, 60)
    wait_until(lambda: len({payload for _, payload in reader.found}) == 300, 60)
    ids = [json.loads(payload)["id"] for _, payload in reader.found]
    assert list(dict.fromkeys(ids)) == list(range(300))


def test_over_tls(sluice, broker, reader):
    answer = create(sluice, broker, url=broker.tls_url, ca=broker.authority.pem)
    assert answer.status_code == 201, answer.text
    sluice.ingest("events", [event(1), event(2)])
    wait_until(lambda: len(reader.found) == 2)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_check_says_what_cannot_work(sluice, broker, version):
    def said(wanted, **credentials):
        answer = create(sluice, broker, version=version, **credentials)
        assert answer.status_code == 422 and wanted in answer.text, answer.text
        assert "s3cret-word" not in answer.text

    said("not authorised", password="wrong")
    said("is not trusted", url=broker.tls_url)
    said("10.1.2.3 is a private address", url="mqtt://10.1.2.3")
    assert sluice.call("GET", "/api/v2/data_stream").json() == []


def test_a_topic_that_may_not_be_written_stops_the_stream(sluice, broker):
    stream = create(sluice, broker, topic="closed/{kind}",
                    delivery={"misconfigured_in_a_row": 2}).json()["id"]
    sluice.ingest("events", [event(1)])
    wait_until(lambda: sluice.stream(stream)["status"]["description"] == "Error")
    assert "not authorised" in sluice.stream(stream)["last_error"]
