"""A real Kafka broker (KRaft, one node) on free ports of 127.0.0.1, and what a reader finds there."""

import os
import pathlib
import subprocess
import uuid

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType,
                                   AdminClient, NewTopic, ResourcePatternType, ResourceType)

from certificates import Authority
from support import free_port, wait_until

JARS = pathlib.Path(__file__).parent / "kafka" / "jars"
LOG4J = """log4j.rootLogger=WARN, err
log4j.appender.err=org.apache.log4j.ConsoleAppender
log4j.appender.err.layout=org.apache.log4j.PatternLayout
"""


class KafkaBroker:
    """Listeners: plain (everybody may do everything) and secure (TLS and SASL; the user "sluice" may
    do what allow() says). May be killed and started again."""

    users = {"sluice": "s3cret-word", "boss": "boss-word"}

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.port, self.secure_port, self.controller_port = free_port(), free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.secure_address = f"127.0.0.1:{self.secure_port}"
        self.authority = Authority()
        (self.directory / "broker.pem").write_text(self.authority.pair_for("127.0.0.1"), "utf-8")
        self.config = self.directory / "server.properties"
        self.config.write_text(self._settings(), "utf-8")
        self.process = None
        scram = [f"SCRAM-SHA-256=[name={name},password={word}]" for name, word in self.users.items()]
        self._java("kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", self.config,
                   *[part for one in scram for part in ("--add-scram", one)])

    def _settings(self):
        users = " ".join(f'user_{name}="{word}"' for name, word in self.users.items())
        return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.controller_port}
listeners=PLAIN://127.0.0.1:{self.port},SECURE://127.0.0.1:{self.secure_port},\
CONTROLLER://127.0.0.1:{self.controller_port}
advertised.listeners=PLAIN://127.0.0.1:{self.port},SECURE://127.0.0.1:{self.secure_port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.secure.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required {users};
listener.name.secure.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={self.directory}/broker.pem
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:boss
log.dirs={self.directory}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.enable=false
num.network.threads=1
num.io.threads=2
"""

    def _command(self, *arguments):
        log4j = self.directory / "log4j.properties"
        log4j.write_text(LOG4J, "utf-8")
        return ["java", "-Xmx256m", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
                f"-Dlog4j.configuration=file:{log4j}", "-cp", f"{JARS}/*", *map(str, arguments)]

    def _java(self, *arguments):
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, timeout=120,
                              check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        with open(self.directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen(self._command("kafka.Kafka", self.config), stdout=log,
                                            stderr=subprocess.STDOUT, env=dict(os.environ))
        wait_until(self._answers, timeout_s=120, what="the Kafka broker")
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.directory / "broker.log").read_text("utf-8")[-2000:]
        try:
            return self.admin().list_topics(timeout=2).brokers
        except KafkaException:
            return None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def admin(self):
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def create_topic(self, name, partitions=1, **config):
        config = {key.replace("_", "."): str(value) for key, value in config.items()}
        admin = self.admin()  # outlives what it has begun
        admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(60)
        # What the controller has decided the broker learns a moment later.
        wait_until(lambda: name in admin.list_topics(timeout=30).topics, what="the topic")
        return name

    def allow(self, user, topic, operation="WRITE"):
        rule = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, f"User:{user}", "*",
                AclOperation[operation], AclPermissionType.ALLOW)
        admin = self.admin()
        admin.create_acls([AclBinding(*rule)])[AclBinding(*rule)].result(60)
        wait_until(lambda: admin.describe_acls(AclBindingFilter(*rule)).result(30), what="the right")

    def messages(self, topic, partitions=1):
        """All that lies in the topic now, by partition and in order."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "reader", "log_level": 0,
                             "enable.auto.commit": False})
        try:
            found = []
            for partition in range(partitions):
                at = TopicPartition(topic, partition)
                _, end = consumer.get_watermark_offsets(at, timeout=30)
                consumer.assign([TopicPartition(topic, partition, 0)])
                while end and consumer.position([at])[0].offset < end:
                    message = consumer.poll(30)
                    assert message is not None and message.error() is None, message
                    found.append(message)
            return found
        finally:
            consumer.close()
