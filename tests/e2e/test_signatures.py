"""Signatures, verified by other people's libraries."""

import base64
import datetime
import hashlib
import json
import pathlib
import subprocess

import jwt
import pytest
import requests
import standardwebhooks
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support import event, wait_until

NODE = pathlib.Path(__file__).parent / "node"
FAST_RETRY = {"retry": {"initial_ms": 50, "max_ms": 200, "jitter": 0}}


def webhook_secret(byte):
    return "whsec_" + base64.b64encode(bytes([byte]) * 32).decode()


ONE, TWO = webhook_secret(1), webhook_secret(2)
ED25519 = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
ED25519_SECRET = "whsk_" + base64.b64encode(b"s" * 32).decode()


def create(server, url, signing, **more):
    return server.create_stream(
        url, destination={"connection_type": "RestAPI", "signing": signing,
                          "credentials": {"url": url} | more.pop("credentials", {})}, **more)


def patch(server, stream, signing, expected=202, **destination):
    answer = server.call("PATCH", f"/api/v2/data_stream/{stream['id']}",
                         json={"destination": {"signing": signing} | destination})
    assert answer.status_code == expected, answer.text
    return answer.json()


def deliver(server, receiver, record_id=1):
    """One more record; returns the request that brought it."""
    before = len(receiver.accepted())
    server.ingest("events", [event(record_id), event(record_id + 1)])
    wait_until(lambda: len(receiver.accepted()) > before)
    return receiver.accepted()[before]


def verifies(secret, delivery):
    try:
        standardwebhooks.Webhook(secret).verify(delivery.body, delivery.headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def verifies_in_node(secret, delivery):
    done = subprocess.run(
        ["node", NODE / "verify.js"], check=False, capture_output=True, timeout=60, text=True,
        input=json.dumps({"secret": secret, "headers": delivery.headers,
                          "body": delivery.body.decode()}))
    assert done.returncode == 0 or "WebhookVerificationError" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("size", [1, 3000])
def test_standard_webhooks_verify_with_pythons_library(sluice, receiver, size):
    create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE},
           credentials={"size": size})
    delivery = deliver(sluice, receiver)
    assert verifies(ONE, delivery)
    assert not verifies(TWO, delivery)
    delivery.body += b" "
    assert not verifies(ONE, delivery)


def test_standard_webhooks_verify_with_nodes_library(sluice, receiver):
    create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE})
    delivery = deliver(sluice, receiver)
    assert verifies_in_node(ONE, delivery)
    assert not verifies_in_node(TWO, delivery)


def test_standard_webhooks_v1a_verify_with_ed25519(sluice, receiver):
    create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ED25519_SECRET})
    delivery = deliver(sluice, receiver)
    version, signature = delivery.headers["webhook-signature"].split(",")
    assert version == "v1a"
    signed = f"{delivery.webhook_id}.{delivery.headers['webhook-timestamp']}.".encode()
    ED25519.public_key().verify(base64.b64decode(signature), signed + delivery.body)
    with pytest.raises(InvalidSignature):
        ED25519.public_key().verify(base64.b64decode(signature), signed + delivery.body + b" ")


def test_both_secrets_verify_while_the_previous_one_is_in_force(sluice, receiver):
    stream = create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE})
    assert verifies(ONE, deliver(sluice, receiver, 10))
    shown = patch(sluice, stream, {"secret": TWO, "previous_secret": ONE})["destination"]["signing"]
    until = datetime.datetime.fromisoformat(shown.pop("previous_secret_until"))
    left = until - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(hours=23) < left < datetime.timedelta(hours=25)
    assert shown == {"scheme": "standard-webhooks", "secret": "***", "previous_secret": "***"}
    both = deliver(sluice, receiver, 20)
    assert verifies(ONE, both) and verifies(TWO, both)
    patch(sluice, stream, {"previous_secret_until": "2026-01-01T00:00:00Z"})
    later = deliver(sluice, receiver, 30)
    assert verifies(TWO, later) and not verifies(ONE, later)


def test_a_retry_is_signed_anew_and_stays_the_same_batch(sluice, receiver):
    receiver.answer = lambda delivery: 503
    stream = create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE},
                    delivery=FAST_RETRY)
    sluice.ingest("events", [event(1)])
    wait_until(lambda: len(receiver.deliveries) > 1)
    patch(sluice, stream, {"secret": TWO})
    wait_until(lambda: verifies(TWO, receiver.deliveries[-1]))
    assert len({d.webhook_id for d in receiver.deliveries}) == 1
    assert len({d.body for d in receiver.deliveries}) == 1


def test_dt_verifies_with_pyjwt(sluice, receiver):
    create(sluice, receiver.url, {"scheme": "dt", "secret": "a secret of thirty-two characters"})
    delivery = deliver(sluice, receiver)
    token = delivery.headers["x-dt-signature"]
    claims = jwt.decode(token, "a secret of thirty-two characters", algorithms=["HS256"])
    assert claims["checksum"] == hashlib.sha1(delivery.body).hexdigest()
    assert claims["checksum_sha256"] == hashlib.sha256(delivery.body).hexdigest()
    assert claims["exp"] == claims["iat"] + 3600
    assert list(claims) == ["checksum", "checksum_sha256", "exp", "iat", "jti"]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, "another secret of thirty-two characters", algorithms=["HS256"])


def verify_asymmetric(server, delivery, organisation="1"):
    """As the vendor's receivers do: from the discovery document alone."""
    discovery = requests.get(
        server.url + "/data-connector/.well-known/openid-configuration", timeout=10).json()
    token = delivery.headers["dt-asymmetric-signature"]
    key = jwt.PyJWKClient(discovery["jwks_uri"]).get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, issuer=discovery["issuer"],
                        algorithms=discovery["id_token_signing_alg_values_supported"],
                        options={"require": ["exp", "iat", "iss", "sub"]})
    assert claims["sub"] == organisation
    assert claims["checksum_sha256"] == hashlib.sha256(delivery.body).hexdigest()
    return key.key_id


def test_dt_asymmetric_verifies_by_discovery_and_jwks(sluice, receiver):
    create(sluice, receiver.url, {"scheme": "dt-asymmetric"})
    delivery = deliver(sluice, receiver)
    key_id = verify_asymmetric(sluice, delivery)
    assert "x-dt-signature" not in delivery.headers
    header, claims, signature = delivery.headers["dt-asymmetric-signature"].split(".")
    other = ("B" if signature[0] == "A" else "A") + signature[1:]
    delivery.headers["dt-asymmetric-signature"] = ".".join([header, claims, other])
    with pytest.raises(jwt.InvalidSignatureError):
        verify_asymmetric(sluice, delivery)
    sluice.stop()
    sluice.start()  # with the same key
    assert verify_asymmetric(sluice, deliver(sluice, receiver, 10)) == key_id


def test_dt_asymmetric_names_the_public_url(start, receiver):
    server = start(settings='[server]\npublic_url = "https://sluice.example/base"\n')
    create(server, receiver.url, {"scheme": ["dt-asymmetric", "dt"], "secret": "s" * 32})
    delivery = deliver(server, receiver)
    claims = jwt.decode(delivery.headers["dt-asymmetric-signature"],
                        options={"verify_signature": False})
    assert claims["iss"] == "https://sluice.example/base/data-connector"
    assert "x-dt-signature" in delivery.headers


def test_signing_secrets_never_come_back(sluice, receiver):
    receiver.answer = lambda delivery: 400
    stream = create(sluice, receiver.url, {"scheme": ["standard-webhooks", "dt"], "secret": ONE})
    sluice.ingest("events", [event(1)])
    wait_until(lambda: receiver.deliveries)
    wait_until(lambda: sluice.stream(stream["id"])["remote_status"] == 400)
    assert ONE not in json.dumps(sluice.stream(stream["id"]))
    assert ONE not in sluice.stderr()
    shown = sluice.stream(stream["id"])["destination"]["signing"]
    assert shown == {"scheme": ["standard-webhooks", "dt"], "secret": "***"}


def test_a_change_of_the_host_wants_the_secret_anew(sluice, receiver, receivers):
    stream = create(sluice, receiver.url, {"scheme": "standard-webhooks", "secret": ONE})
    moved = {"credentials": {"url": receivers().url}}
    faults = patch(sluice, stream, {}, expected=422, **moved)
    assert [fault["message"].split(":")[0] for fault in faults] == ["destination.signing.secret"]
    patch(sluice, stream, {"secret": TWO}, **moved)


@pytest.mark.parametrize("signing, fault", [
    ({"scheme": "standard-webhooks"}, "destination.signing.secret: is required by the scheme"),
    ({"scheme": "standard-webhooks", "secret": "abc"}, "must be whsec_ and base64"),
    ({"scheme": "hmac"}, "destination.signing.scheme: must be"),
    ({"scheme": "dt", "secret": "a", "previous_secret_until": "2026-01-01T00:00:00Z"},
     "goes with a previous_secret"),
])
def test_unusable_signing_is_refused(sluice, receiver, signing, fault):
    body = {"data_stream_type": 2, "destination": {
        "connection_type": "RestAPI", "credentials": {"url": receiver.url}, "signing": signing}}
    answer = sluice.call("POST", "/api/v2/data_stream", json=body)
    assert answer.status_code == 422 and fault in answer.text
