"""A real RabbitMQ on free ports of 127.0.0.1, and what a reader finds there."""

import os
import pathlib
import subprocess

import pika

from certificates import Authority
from support import free_port, wait_until

PROGRAMS = pathlib.Path("/usr/lib/rabbitmq/bin")


class RabbitBroker:
    """Takes AMQP with and without TLS. May be killed and started again."""

    user, password = "sluice", "s3cret-word"

    def __init__(self, directory, more=""):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.port, self.tls_port, self.node_port, self.epmd_port = (free_port() for _ in range(4))
        self.url = f"amqp://127.0.0.1:{self.port}"
        self.tls_url = f"amqps://127.0.0.1:{self.tls_port}"
        self.authority = Authority()
        key, certificate = self.authority.issue("127.0.0.1")
        for name, text in [("ca", self.authority.pem), ("key", key), ("certificate", certificate)]:
            (self.directory / f"{name}.pem").write_text(text, "utf-8")
        (self.directory / "rabbitmq.conf").write_text(f"""
listeners.tcp.1 = 127.0.0.1:{self.port}
listeners.ssl.1 = 127.0.0.1:{self.tls_port}
ssl_options.cacertfile = {self.directory}/ca.pem
ssl_options.certfile = {self.directory}/certificate.pem
ssl_options.keyfile = {self.directory}/key.pem
ssl_options.verify = verify_none
default_user = {self.user}
default_pass = {self.password}
log.console = true
log.console.level = warning
{more}
""", "utf-8")
        (self.directory / "enabled_plugins").write_text("[].", "utf-8")
        self.environment = dict(
            os.environ, HOME=str(self.directory), RABBITMQ_NODENAME=f"sluice{self.port}@localhost",
            RABBITMQ_MNESIA_BASE=str(self.directory / "data"), RABBITMQ_LOGS="-",
            RABBITMQ_LOG_BASE=str(self.directory), RABBITMQ_DIST_PORT=str(self.node_port),
            RABBITMQ_CONFIG_FILE=str(self.directory / "rabbitmq"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(self.directory / "enabled_plugins"),
            RABBITMQ_PID_FILE=str(self.directory / "pid"), ERL_EPMD_PORT=str(self.epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1", RABBITMQ_CONF_ENV_FILE=str(self.directory / "none"),
            ERL_FLAGS="+S 1:1", RUNNING_UNDER_SYSTEMD="1")  # else a shell stands before it
        self.process = None

    def start(self):
        with open(self.directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen([PROGRAMS / "rabbitmq-server"], stdout=log,
                                            stderr=subprocess.STDOUT, env=self.environment)
        wait_until(self._answers, timeout_s=120, what="RabbitMQ")
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.directory / "broker.log").read_text("utf-8")[-2000:]
        try:
            self.connect().close()
            return True
        except (pika.exceptions.AMQPError, OSError):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        subprocess.run(["epmd", "-port", str(self.epmd_port), "-kill"], capture_output=True,
                       check=False, timeout=30, env=self.environment)

    def connect(self):
        login = pika.PlainCredentials(self.user, self.password)
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port,
                                                                 credentials=login))

    def declare(self, *queues, exchange=None, bind=None, **options):
        """Durable queues, bound to a new topic exchange by the pattern `bind`."""
        connection = self.connect()
        channel = connection.channel()
        if exchange:
            channel.exchange_declare(exchange, "topic", durable=True)
        for queue in queues:
            channel.queue_declare(queue, durable=True, **options)
            if exchange:
                channel.queue_bind(queue, exchange, bind)
        connection.close()

    def count(self, queue):
        connection = self.connect()
        found = connection.channel().queue_declare(queue, passive=True).method.message_count
        connection.close()
        return found

    def messages(self, queue):
        """Takes all out: (method, properties, body)."""
        connection = self.connect()
        channel = connection.channel()
        found = []
        while (one := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(one)
        connection.close()
        return found
