"""A real Mosquitto on free ports of 127.0.0.1, and what a reader finds there."""

import pathlib
import queue
import socket
import subprocess

import paho.mqtt.client as mqtt

from certificates import Authority
from support import free_port, wait_until


class MosquittoBroker:
    """Takes MQTT with and without TLS, and keeps what a lasting subscriber has not read. The user
    "sluice" may write below open/."""

    user, password = "sluice", "s3cret-word"

    def __init__(self, directory, more=""):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.tls_url = f"mqtts://127.0.0.1:{self.tls_port}"
        self.authority = Authority()
        key, certificate = self.authority.issue("127.0.0.1")
        for name, text in [("key", key), ("certificate", certificate), ("ca", self.authority.pem)]:
            self._write(f"{name}.pem", text)
        self._write("passwords", f"{self.user}:{self.password}\nreader:reader\n")
        subprocess.run(["mosquitto_passwd", "-U", self.directory / "passwords"], check=True, timeout=30)
        self._write("rights", "user sluice\ntopic write open/#\nuser reader\ntopic read #\n")
        self._write("mosquitto.conf", f"""
listener {self.port} 127.0.0.1
listener {self.tls_port} 127.0.0.1
cafile {self.directory}/ca.pem
keyfile {self.directory}/key.pem
certfile {self.directory}/certificate.pem
password_file {self.directory}/passwords
acl_file {self.directory}/rights
allow_anonymous false
user root
max_queued_messages 0
persistence true
persistence_location {self.directory}/
autosave_on_changes true
autosave_interval 1
{more}
""")
        self.process = None

    def _write(self, name, text):
        (self.directory / name).write_text(text, "utf-8")

    def start(self):
        with open(self.directory / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/mosquitto", "-c", self.directory / "mosquitto.conf"], stdout=log,
                stderr=subprocess.STDOUT)
        wait_until(self._answers, what="Mosquitto")
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.directory / "broker.log").read_text("utf-8")[-2000:]
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
            return True
        except OSError:
            return False

    def stop(self):
        """In order: it writes down what it has acknowledged."""
        self.process.terminate()
        self.process.wait(30)

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Reader:
    """A subscriber that lasts: (topic, payload) of all that comes, in order."""

    def __init__(self, broker, topic="#"):
        self.found = []
        subscribed = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="reader",
                                  clean_session=False)
        self.client.username_pw_set("reader", "reader")
        self.client.on_message = lambda client, data, m: self.found.append((m.topic, m.payload))
        self.client.on_connect = lambda client, *rest: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *arguments: subscribed.put(True)
        self.client.reconnect_delay_set(1, 1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert subscribed.get(timeout=30)

    def close(self):
        self.client.loop_stop()
