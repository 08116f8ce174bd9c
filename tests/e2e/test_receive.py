"""`sluice receive --secret`: the signatures of a stream, verified by the program's own receiver."""

import base64
import re
import signal
import subprocess

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support import event, wait_until

FAST_RETRY = {"retry": {"initial_ms": 50, "max_ms": 200, "jitter": 0}}


def key(prefix, raw):
    return prefix + base64.b64encode(raw).decode()


ONE, TWO = key("whsec_", b"1" * 32), key("whsec_", b"2" * 32)
PRIVATE = key("whsk_", b"s" * 32)
PUBLIC = key("whpk_", Ed25519PrivateKey.from_private_bytes(b"s" * 32).public_key().public_bytes_raw())


class Receive:
    """`sluice receive` as a process, whose output goes to files."""

    def __init__(self, binary, directory, name, *options):
        self.out, self.errors = directory / f"{name}.out", directory / f"{name}.err"
        with open(self.out, "wb") as out, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen([binary, "receive", "--listen", "127.0.0.1:0", *options],
                                            stdout=out, stderr=errors)
        said = wait_until(lambda: re.match(r"listening on (\S+)\n", self.out.read_text()))
        self.url = said[1] + "/in"

    def lines(self, of):
        return [line for line in self.out.read_text().splitlines() if of in line]

    def stop(self):
        """Returns the exit status and the line about what was wrong."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=30)
        return status, self.lines("inconsistent")[0]


@pytest.fixture
def receive(binary, tmp_path):
    running = []

    def make(*options):
        running.append(Receive(binary, tmp_path, f"receive-{len(running)}", *options))
        return running[-1]

    yield make
    for one in running:
        one.process.kill()
        one.process.wait()


def create(server, url, signing, **more):
    return server.create_stream(url, delivery=FAST_RETRY, destination={
        "connection_type": "RestAPI", "credentials": {"url": url}, "signing": signing}, **more)


@pytest.mark.parametrize("scheme, secret, known", [
    ("standard-webhooks", ONE, ONE),
    ("standard-webhooks", PRIVATE, PRIVATE),
    ("standard-webhooks", PRIVATE, PUBLIC),
    ("dt", "a secret of thirty-two characters", "a secret of thirty-two characters"),
    (["standard-webhooks", "dt", "dt-asymmetric"], ONE, ONE),
])
def test_the_right_secret_is_told_on_each_line(sluice, receive, scheme, secret, known):
    receiver = receive("--secret", known)
    stream = create(sluice, receiver.url, {"scheme": scheme, "secret": secret})
    sluice.ingest("events", [event(1), event(2)])
    wait_until(lambda: receiver.lines("signature valid"))
    test = sluice.call("POST", f"/api/v2/data_stream/{stream['id']}/test")
    assert test.status_code == 200, test.text
    status, summary = receiver.stop()
    assert status == 0 and receiver.errors.read_text() == ""
    assert receiver.lines("attempt 1 -> 200, first, signature valid")
    assert receiver.lines("without a stream's headers -> 200, signature valid")
    assert summary.endswith("; signatures: 2 valid, 0 missing, 0 wrong, 0 out of time")


def test_a_wrong_secret_is_answered_401_and_the_stream_reacts(sluice, receive):
    receiver = receive("--secret", TWO)
    stream = create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE})
    sluice.ingest("events", [event(1)])
    # Misconfigured eight times in a row.
    wait_until(lambda: sluice.stream(stream["id"])["status"]["id"] == 3)
    assert sluice.stream(stream["id"])["remote_status"] == 401
    status, summary = receiver.stop()
    assert status == 1
    refused = receiver.lines("-> 401, signature wrong: another secret, or the body was changed")
    assert len(refused) == 8 and refused[0].startswith(f"stream {stream['id']} offsets ")
    assert receiver.errors.read_text().splitlines() == refused
    assert summary.endswith("; signatures: 0 valid, 0 missing, 8 wrong, 0 out of time")
    assert receiver.lines("0 records in 0 deliveries of 0 streams")
    assert ONE not in receiver.out.read_text() and TWO not in receiver.out.read_text()


def test_a_missing_signature_is_answered_401(sluice, receive):
    receiver = receive("--secret", ONE, "--print-records")
    answer = requests.post(receiver.url, json=[event(1)], timeout=30)
    assert answer.status_code == 401
    create(sluice, receiver.url, {"scheme": "dt", "secret": ONE})
    sluice.ingest("events", [event(1)])
    wait_until(lambda: receiver.lines("stream "))
    assert receiver.lines("POST /in: ")[0].endswith(
        "-> 401, signature missing: no webhook-signature in the request")
    assert not receiver.lines("Update location")  # nor what it brought
    status, summary = receiver.stop()
    assert status == 1 and re.search(r"signatures: 0 valid, [2-8] missing, 0 wrong", summary)


def test_old_and_new_receivers_verify_while_the_secret_changes(sluice, receive):
    old, new = receive("--secret", ONE), receive("--secret", TWO)
    signing = {"scheme": "standard-webhooks", "secret": TWO, "previous_secret": ONE}
    stream = create(sluice, old.url, signing)
    create(sluice, new.url, signing)
    sluice.ingest("events", [event(1)])
    wait_until(lambda: old.lines("signature valid") and new.lines("signature valid"))
    ended = sluice.call("PATCH", f"/api/v2/data_stream/{stream['id']}", json={
        "destination": {"signing": {"previous_secret_until": "2026-01-01T00:00:00Z"}}})
    assert ended.status_code == 202, ended.text
    sluice.ingest("events", [event(2)])
    wait_until(lambda: old.lines("signature wrong") and len(new.lines("signature valid")) == 2)
    assert old.stop()[0] == 1
    assert new.stop()[0] == 0


def test_without_a_secret_nothing_is_said_of_signatures(sluice, receive):
    receiver = receive()
    create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE})
    sluice.ingest("events", [event(1)])
    wait_until(lambda: receiver.lines("-> 200, first"))
    status, summary = receiver.stop()
    assert status == 0
    assert summary == "0 gaps, 0 out of order, 0 changed bodies, 0 inconsistent"
    assert not receiver.lines("signature")


@pytest.mark.parametrize("secret, fault", [
    ("", "--secret is empty"),
    ("whsec_c2hvcnQ=", "--secret must stand for 24 to 64 bytes, not 5"),
    ("whsk_not base64", "--secret has no base64 behind its prefix"),
    ("whpk_c2hvcnQ=", "--secret must stand for a public ed25519 key: 32 bytes, not 5"),
])
def test_an_unusable_secret_is_wrong_use(binary, secret, fault):
    done = subprocess.run([binary, "receive", "--listen", "127.0.0.1:0", "--secret", secret],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert fault in done.stderr and "give it the stream's destination.signing.secret" in done.stderr
    assert len(done.stderr.splitlines()) == 1
