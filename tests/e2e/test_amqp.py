"""Amqp against a real RabbitMQ."""

import secrets

import pytest

from rabbit_broker import RabbitBroker
from support import FAST_RETRY, event, wait_until


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = RabbitBroker(tmp_path_factory.mktemp("rabbit") / "one")
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def queue(broker):
    name = "q-" + secrets.token_hex(4)
    broker.declare(name)
    return name


def create(sluice, broker, validate=True, delivery=None, ca=None, **credentials):
    destination = {"connection_type": "Amqp",
                   "credentials": {"url": broker.url, "username": broker.user,
                                   "password": broker.password} | credentials}
    if ca:
        destination["ca"] = ca
    body = {"data_stream_type": {"id": 2}, "delivery": FAST_RETRY | (delivery or {}),
            "destination": destination}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body)


def delivered(sluice, stream):
    return sluice.stream(stream)["progress"]["delivered"]


def test_records_arrive_one_each_in_order_persistent_and_described(sluice, broker):
    queue, exchange = "q-" + secrets.token_hex(4), "x-" + secrets.token_hex(4)
    broker.declare(queue, exchange=exchange, bind="records.event.*")
    answer = create(sluice, broker, exchange=exchange, routing_key="records.{kind}.{endpoint}")
    assert answer.status_code == 201, answer.text
    assert answer.json()["destination"]["credentials"]["password"] == "***"
    raw = [b'{"id":%d,  "timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},'
           b'"endpoint":{"id":%d},"more":"%s"}' % (i, 70 + i % 3, b"x" * (300_000 if i == 9 else 10))
           for i in range(2000)]
    assert sluice.ingest("events", b"\n".join(raw)).status_code == 200
    wait_until(lambda: delivered(sluice, answer.json()["id"]) == 2000)
    found = broker.messages(queue)
    assert [body for _, _, body in found] == raw
    assert [method.routing_key for method, _, _ in found] == \
        [f"records.event.{70 + i % 3}" for i in range(2000)]
    properties = found[5][1]
    assert (properties.delivery_mode, properties.content_type, properties.content_encoding,
            properties.type, properties.message_id) == \
        (2, "application/json", "utf-8", "event", "1-event-5")


def test_nothing_is_lost_or_disordered_when_the_broker_dies(start, tmp_path):
    broker = RabbitBroker(tmp_path / "broker")
    try:
        broker.start()
        broker.declare("q")
        sluice = start()
        stream = create(sluice, broker, routing_key="q").json()["id"]
        sluice.ingest("events", [event(i) for i in range(100)])
        wait_until(lambda: delivered(sluice, stream) == 100)
        broker.kill()
        sluice.ingest("events", [event(i) for i in range(100, 300)])
        wait_until(lambda: sluice.stream(stream)["last_error"] is not None)
        broker.start()
        wait_until(lambda: delivered(sluice, stream) == 300, 60)
        ids = [int(properties.message_id.split("-")[-1]) for _, properties, _ in broker.messages("q")]
        assert list(dict.fromkeys(ids)) == list(range(300))
    finally:
        broker.close()


def test_over_tls(sluice, broker, queue):
    answer = create(sluice, broker, url=broker.tls_url, routing_key=queue, ca=broker.authority.pem)
    assert answer.status_code == 201, answer.text
    sluice.ingest("events", [event(1), event(2)])
    wait_until(lambda: broker.count(queue) == 2)


def test_the_check_says_in_the_brokers_words_what_cannot_work(sluice, broker):
    def said(wanted, **credentials):
        answer = create(sluice, broker, **credentials)
        assert answer.status_code == 422 and wanted in answer.text, answer.text
        assert "s3cret-word" not in answer.text

    said("403 ACCESS_REFUSED", password="wrong")
    said("404 NOT_FOUND", exchange="no-such-exchange")
    said("530 NOT_ALLOWED", vhost="no-such-vhost")
    said("is not trusted", url=broker.tls_url)
    said("10.1.2.3 is a private address", url="amqp://10.1.2.3")
    assert sluice.call("GET", "/api/v2/data_stream").json() == []


def test_messages_that_no_queue_takes_stop_the_stream(sluice, broker):
    stream = create(sluice, broker, routing_key="nobody",
                    delivery={"misconfigured_in_a_row": 2}).json()["id"]
    sluice.ingest("events", [event(1)])
    wait_until(lambda: sluice.stream(stream)["status"]["description"] == "Error")
    assert "no queue takes messages with the routing key" in sluice.stream(stream)["last_error"]
    assert delivered(sluice, stream) == 0


def test_what_a_full_queue_did_not_take_goes_again_from_there(sluice, broker):
    queue = "q-" + secrets.token_hex(4)
    broker.declare(queue, arguments={"x-max-length": 5, "x-overflow": "reject-publish"})
    stream = create(sluice, broker, routing_key=queue).json()["id"]
    sluice.ingest("events", [event(i) for i in range(20)])
    wait_until(lambda: sluice.stream(stream)["last_error"] is not None)
    found = []
    while delivered(sluice, stream) < 20:
        found += broker.messages(queue)
    found += broker.messages(queue)
    offsets = [int(properties.message_id.split("-")[-1]) for _, properties, _ in found]
    assert list(dict.fromkeys(offsets)) == list(range(20))
