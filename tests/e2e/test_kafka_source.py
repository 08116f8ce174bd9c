"""[source.kafka] against a real broker."""

import json
import random
import secrets
import time

import pytest
from confluent_kafka import Producer

from kafka_broker import KafkaBroker
from support import event, usage, wait_until


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    made = KafkaBroker(tmp_path_factory.mktemp("kafka") / "one").start()
    yield made
    made.close()


def settings(broker, topics, limits="", **more):
    """Limits first, as the section [egress] is open where this is put."""
    table = {"brokers": broker.address, "group": "feed"} | more
    lines = [limits, "[source.kafka]"] + [f'{name} = "{value}"' for name, value in table.items()]
    lines += ["[source.kafka.topics]"] + [f'"{topic}" = "{kind}"' for topic, kind in topics.items()]
    return "\n".join(lines) + "\n"


def produce(broker, topic, values, partitions=1):
    """A record a message, in turn over the partitions."""
    producer = Producer({"bootstrap.servers": broker.address, "acks": "all", "log_level": 0})
    for index, value in enumerate(values):
        text = value if isinstance(value, (bytes, type(None))) else json.dumps(value).encode()
        producer.produce(topic, text, partition=index % partitions)
        producer.poll(0)
    assert producer.flush(60) == 0


def ids(server, kind="event", organisation=1):
    """Of all that is stored, as often as it is."""
    found, query = [], {"kind": kind, "limit": 1000}
    while True:
        page = server.call("GET", "/api/v2/records", organisation=organisation, params=query).json()
        found += [one["record"]["id"] for one in page["items"]]
        if page["next"] is None:
            return found
        query["after"] = page["next"]


def gauge(server, name):
    shown = server.call("GET", "/metrics").text
    return float(next(line for line in shown.splitlines() if line.startswith(name + " ")).split()[1])


def test_messages_become_records_of_their_organisations(start, broker, receivers):
    topic = {kind: broker.create_topic(kind + secrets.token_hex(4), partitions=3)
             for kind in ("usage", "events")}
    produce(broker, topic["events"], [event(i, organisation=1 + i % 2) for i in range(600)], 3)
    server = start(settings=settings(broker, {topic["usage"]: "usage", topic["events"]: "events"}))
    target = receivers()
    wait_until(lambda: len(ids(server)) == 300 and len(ids(server, organisation=2)) == 300)
    server.create_stream(target.url, type_id=1)
    produce(broker, topic["usage"], [usage(i) for i in range(90)], 3)
    wait_until(lambda: len(target.record_ids()) == 90)
    # In the order of each partition.
    for partition in range(3):
        assert [i for i in target.record_ids() if i % 3 == partition] == list(range(partition, 90, 3))
    assert sorted(ids(server) + ids(server, organisation=2)) == list(range(600))
    assert server.stop() == 0


def test_kill_9_at_any_time_stores_each_message_once(start, broker):
    seed = secrets.randbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    topic = broker.create_topic("crash-" + secrets.token_hex(4), partitions=2)
    server = start(settings=settings(broker, {topic: "events"}))
    server.token("admin", 1)
    sent, rounds = 0, 8
    for _ in range(rounds):
        produce(broker, topic, [event(i, organisation=i % 5) for i in range(sent, sent + 5000)], 2)
        sent += 5000
        time.sleep(chance.uniform(0, 0.4))  # anywhere while it works on them
        server.kill()
        server.start()
    all_of_them = [(organisation, i) for organisation in range(5)
                   for i in range(organisation, sent, 5)]

    def stored():
        return [(organisation, i) for organisation in range(5)
                for i in ids(server, organisation=organisation)]
    wait_until(lambda: len(stored()) >= sent, 60)
    assert sorted(stored()) == sorted(all_of_them)
    assert server.stop() == 0


def test_what_is_no_record_goes_to_quarantine_and_a_full_one_stops_the_source(start, broker):
    topic = broker.create_topic("bad-" + secrets.token_hex(4))
    # Room for a few of the large ones.
    server = start(settings=settings(broker, {topic: "events"},
                                     limits="[limits]\nquarantine_bytes_max = 1048576\n"
                                            "record_bytes_max = 200000\n"))
    bad = [b"rubbish", b"", None, b'{"id":1}\n{"id":2}', json.dumps(event(7) | {"organisation": 1}).encode(),
           json.dumps(event(8, description="x" * 200_001)).encode()]
    pretty = json.dumps(event(2), indent=1).encode()
    produce(broker, topic, [event(1), *bad, pretty])
    wait_until(lambda: sorted(ids(server)) == [1, 2])
    kept = server.call("GET", "/api/v2/quarantine", role="operator").json()["items"]
    assert len(kept) == len(bad)
    assert {one["subject"] for one in kept} == {f"kafka:{topic}/0"}
    assert gauge(server, "sluice_kafka_source_stopped") == 0

    produce(broker, topic, [b"x" * 190_000] * 5 + [event(3)])
    wait_until(lambda: gauge(server, "sluice_kafka_source_stopped") == 1)
    assert "the Kafka source has stopped" in server.stderr()
    wait_until(lambda: server.call("DELETE", f"/api/v2/quarantine?up_to={kept[0]['id']}",
                                   role="operator").json()["deleted"] == len(bad))
    wait_until(lambda: sorted(ids(server)) == [1, 2, 3])
    assert gauge(server, "sluice_kafka_source_stopped") == 0
    assert server.stop() == 0


def test_over_tls_with_a_password_from_the_newest_on(start, broker, tmp_path):
    topic = broker.create_topic("secure-" + secrets.token_hex(4))
    authority = tmp_path / "authority.pem"
    authority.write_text(broker.authority.pem, "utf-8")
    produce(broker, topic, [event(1)])
    wanted = {"group": "secure-" + secrets.token_hex(4), "start": "newest",
              "brokers": broker.secure_address, "security": "SASL_SSL",
              "sasl_mechanism": "SCRAM-SHA-256", "username": "boss"}
    server = start(settings=settings(broker, {topic: "events"}, limits=f'ca_file = "{authority}"',
                                     **wanted, password=broker.users["boss"]))
    # Where the newest is, is known once the first comes after it.
    sent = iter(range(2, 1000))

    def arrives():
        produce(broker, topic, [event(next(sent))])
        return ids(server)
    wait_until(arrives)
    assert 1 not in ids(server)
    assert server.stop() == 0

    refused = start(settings=settings(broker, {topic: "events"}, limits=f'ca_file = "{authority}"',
                                      **wanted, password="wrong"))
    wait_until(lambda: "Authentication failed" in refused.stderr())
    assert "Kafka refuses the source" in refused.stderr() and ids(refused) == []
    assert refused.stop() == 0


def test_the_broker_is_killed_and_comes_back(start, broker):
    topic = broker.create_topic("outage-" + secrets.token_hex(4))
    server = start(settings=settings(broker, {topic: "events"}))
    produce(broker, topic, [event(i) for i in range(100)])
    wait_until(lambda: len(ids(server)) == 100)
    broker.kill()
    wait_until(lambda: "Kafka" in server.stderr())
    broker.start()
    produce(broker, topic, [event(i) for i in range(100, 200)])
    wait_until(lambda: len(ids(server)) == 200, 60)
    assert sorted(ids(server)) == list(range(200))
    assert server.stop() == 0


@pytest.mark.parametrize("lines, said", [
    ('brokers = "b:9092"', "source.kafka.topics"),
    ('topics = { "t" = "usage" }', "source.kafka.brokers"),
    ('brokers = "b"\ntopics = { "t" = "sms" }', "source.kafka.topics"),
    ('brokers = "b"\ntopics = { "a b" = "usage" }', "source.kafka.topic"),
    ('brokers = "b"\ntopics = { "t" = "usage" }\nsecurity = "SASL_SSL"', "source.kafka.username"),
    ('brokers = "b"\ntopics = { "t" = "usage" }\nsecurity = "TLS"', "source.kafka.security"),
    ('brokers = "b"\ntopics = { "t" = "usage" }\nstart = "now"', "source.kafka.start"),
    ('brokers = "b"\ntopics = { "t" = "usage" }\nspeed = "9"', "source.kafka.speed"),
])
def test_wrong_settings_are_named(start, tmp_path, lines, said):
    server = start()
    config = tmp_path / "wrong.toml"
    config.write_text("[source.kafka]\n" + lines + "\n", "utf-8")
    done = server.run("serve", "--check-config", "--config", config)
    assert done.returncode != 0 and said in done.stderr
