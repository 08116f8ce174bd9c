"""Tokens against the specification: other issuers' keys and every attack on them, application
tokens, their end, the limit of tries, organisations. Tokens are made with PyJWT."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import signal
import subprocess
import time

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from support import event, wait_until

STREAMS = "/api/v2/data_stream"
TOKENS = "/api/v1/application_token"
ORGANISATIONS = "/api/v2/organisation"

KEYS = {"RS256": rsa.generate_private_key(65537, 2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate()}


def pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM,
                                         serialization.PublicFormat.SubjectPublicKeyInfo)


def jwks(keys):
    """keys: {kid: (algorithm, private key)}"""
    made = []
    for kid, (algorithm, key) in keys.items():
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        made.append(jwk | {"kid": kid})
    return json.dumps({"keys": made}).encode()


def claims(**changes):
    now = int(time.time())
    all_claims = {"iss": "idp", "sub": "alice", "org": 1, "role": "admin", "exp": now + 600}
    all_claims |= changes
    return {name: value for name, value in all_claims.items() if value is not ...}


def encoded(part):
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def get(server, token, path=STREAMS):
    return requests.get(server.url + path, headers={"Authorization": "Bearer " + token}, timeout=30)


def refused(server, token):
    """401 with challenge and triple; answers the reason."""
    answer = get(server, token)
    assert answer.status_code == 401, (answer.status_code, answer.text)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["error_token"] == "Unauthorized"
    return answer.json()["message"]


def issuer(iss, **settings):
    lines = ["[[issuers]]", f"iss = {json.dumps(iss)}"]
    return "\n".join(lines + [f"{k} = {json.dumps(v)}" for k, v in settings.items()]) + "\n"


@pytest.fixture
def key_file(tmp_path):
    def write(text):
        path = tmp_path / f"key-{hashlib.sha256(text).hexdigest()[:8]}"
        path.write_bytes(text)
        return str(path)
    return write


@pytest.fixture
def idp(start, key_file):
    """A server that knows one issuer a key, and one with a JWK Set of all three."""
    settings = "".join(issuer(f"idp-{alg}", key_file=key_file(pem(key)))
                       for alg, key in KEYS.items())
    every = {f"k-{alg}": (alg, key) for alg, key in KEYS.items()}
    return start(settings=settings + issuer("idp", jwks_file=key_file(jwks(every))))


@pytest.mark.parametrize("alg", KEYS)
def test_other_issuers_tokens_count(idp, alg):
    token = jwt.encode(claims(iss=f"idp-{alg}"), KEYS[alg], alg)
    assert get(idp, token).status_code == 200
    token = jwt.encode(claims(), KEYS[alg], alg, headers={"kid": f"k-{alg}"})
    assert get(idp, token).status_code == 200
    viewer = jwt.encode(claims(role="viewer"), KEYS[alg], alg, headers={"kid": f"k-{alg}"})
    answer = requests.post(idp.url + STREAMS, json={}, timeout=30,
                           headers={"Authorization": "Bearer " + viewer})
    assert answer.status_code == 403


def test_attacks_on_the_signature(idp):
    good = jwt.encode(claims(iss="idp-RS256"), KEYS["RS256"], "RS256")
    header, payload, signature = good.split(".")
    refused(idp, jwt.encode(claims(iss="idp-RS256"), None, "none"))
    for alg in ("none", "None", "NONE", "nOnE", ""):
        refused(idp, f"{encoded({'alg': alg})}.{payload}.")
        refused(idp, f"{encoded({'alg': alg})}.{payload}.{signature}")
    refused(idp, f"{header}.{payload}.")
    refused(idp, f"{header}.{payload}")
    refused(idp, f"{header}.{payload}.{signature}.{signature}")
    refused(idp, f"{header}.{encoded(claims(iss='idp-RS256', role='operator'))}.{signature}")
    stranger = rsa.generate_private_key(65537, 2048)
    refused(idp, jwt.encode(claims(iss="idp-RS256"), stranger, "RS256"))
    for alg in ("RS384", "RS512", "PS256"):
        refused(idp, jwt.encode(claims(iss="idp-RS256"), KEYS["RS256"], alg))
    # An ES256 signature in DER instead of the two numbers.
    text = f"{encoded({'alg': 'ES256'})}.{encoded(claims(iss='idp-ES256'))}"
    from cryptography.hazmat.primitives import hashes  # pylint: disable=import-outside-toplevel
    der = KEYS["ES256"].sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    refused(idp, f"{text}.{encoded(der)}")
    refused(idp, f"{text}.{encoded(bytes(64))}")  # r = s = 0
    assert get(idp, good).status_code == 200


def test_a_public_key_is_no_secret(idp):
    for secret in (pem(KEYS["RS256"]), pem(KEYS["RS256"]).strip()):
        for changes in ({"iss": "idp-RS256"}, {"iss": ...}):
            text = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded(claims(**changes))}"
            mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
            refused(idp, f"{text}.{encoded(mac)}")


def test_kid_cannot_be_confused(idp):
    for alg, key in KEYS.items():
        for kid in ("k-none", "", "../../etc/passwd", "k-RS256' OR '1", *(f"k-{a}" for a in KEYS)):
            if kid != f"k-{alg}":
                refused(idp, jwt.encode(claims(), key, alg, headers={"kid": kid}))
    text = f"{encoded({'alg': 'RS256', 'kid': ['k-RS256']})}.{encoded(claims())}"
    refused(idp, f"{text}.{encoded(b'x' * 256)}")


def test_keys_that_come_with_the_token_are_refused(idp):
    mine = rsa.generate_private_key(65537, 2048)
    jwk = jwt.get_algorithm_by_name("RS256").to_jwk(mine.public_key(), as_dict=True)
    for extra in ({"jwk": jwk}, {"jku": "https://example.com/keys"}, {"x5c": ["AAAA"]},
                  {"x5u": "https://example.com/cert"}, {"crit": ["exp"], "exp": 1},
                  {"crit": ["b64"], "b64": False}):
        for key in (mine, KEYS["RS256"]):
            refused(idp, jwt.encode(claims(iss="idp-RS256"), key, "RS256", headers=extra))


def test_claims_that_do_not_hold(idp):
    now = int(time.time())
    for changes in ({"exp": ...}, {"exp": now - 1}, {"exp": None}, {"exp": str(now + 60)},
                    {"exp": 10 ** 30}, {"exp": -1}, {"nbf": now + 3600}, {"nbf": "x"},
                    {"iss": "nobody"}, {"iss": ""}, {"iss": 7}, {"iss": None}, {"role": "root"},
                    {"role": ...}, {"role": None}, {"org": "1"}, {"org": -1}, {"org": 2 ** 63},
                    {"org": ...}, {"role": "operator"}):
        # Signed by hand: PyJWT would refuse to make some of these.
        text = f"{encoded({'alg': 'EdDSA'})}.{encoded(claims(**{'iss': 'idp-EdDSA'} | changes))}"
        refused(idp, f"{text}.{encoded(KEYS['EdDSA'].sign(text.encode()))}")
    twice = b'{"iss":"idp-EdDSA","iss":"idp","org":1,"role":"admin","exp":%d}' % (now + 60)
    text = f"{encoded({'alg': 'EdDSA'})}.{encoded(twice)}"
    refused(idp, f"{text}.{encoded(KEYS['EdDSA'].sign(text.encode()))}")


def test_garbage_is_refused_on_every_kind_of_call(idp):
    for token in ("x", "a.b.c", "." * 5000, "Bearer x", "eyJhbGciOiJub25lIn0.e30."):
        refused(idp, token)
    for method, path in (("GET", TOKENS), ("POST", TOKENS), ("DELETE", TOKENS + "/1"),
                         ("GET", ORGANISATIONS), ("POST", "/api/v2/records/usage"),
                         ("DELETE", STREAMS + "/1")):
        for headers in ({}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer x.y.z"}):
            answer = requests.request(method, idp.url + path, headers=headers, timeout=30)
            assert answer.status_code == 401 and answer.headers["WWW-Authenticate"]


def test_bounds_of_an_issuer(start, key_file):
    path = key_file(pem(KEYS["EdDSA"]))
    server = start(settings=issuer("idp", key_file=path, max_role="developer", organisations=[1, 2],
                                   audience="https://sluice.example"))

    def made(**changes):
        return jwt.encode(claims(**{"role": "developer", "aud": "https://sluice.example"} | changes),
                          KEYS["EdDSA"], "EdDSA")
    assert get(server, made()).status_code == 200
    assert get(server, made(role="viewer", org=2)).status_code == 200
    assert get(server, made(aud=["x", "https://sluice.example"])).status_code == 200
    for role in ("admin", "operator", "ingest"):
        assert "max_role" in refused(server, made(role=role))
    assert "organisation" in refused(server, made(org=3))
    for aud in ("https://sluice.example/", ["x"], [], ...):
        assert "aud" in refused(server, made(aud=aud))
    refused(server, made(role="ingest", org=...))


def test_settings_name_what_is_wrong(binary, tmp_path, key_file):
    good = key_file(pem(KEYS["RS256"]))
    small = key_file(pem(rsa.generate_private_key(65537, 1024)))
    private = key_file(KEYS["RS256"].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    for text, named in ((issuer("idp"), "key_file"), (issuer("idp", key_file="/nowhere"), "/nowhere"),
                        (issuer("idp", key_file=small), "2048"),
                        (issuer("idp", key_file=private), "BEGIN PUBLIC KEY"),
                        (issuer("idp", jwks_file=good), good),
                        (issuer("", key_file=good), "issuers.iss"),
                        (issuer("idp", key_file=good, colour=1), "issuers.colour"),
                        (issuer("idp", key_file=good, max_role="root"), "issuers.max_role"),
                        (issuer("idp", key_file=good, organisations=["1"]), "issuers.organisations"),
                        (issuer("idp", key_file=good) * 2, "twice"),
                        ("[issuers]\niss = \"x\"\n", "[[issuers]]")):
        config = tmp_path / "bad.toml"
        config.write_text(text)
        done = subprocess.run([binary, "serve", "--config", str(config), "--data-dir",
                               str(tmp_path / "none")], capture_output=True, text=True, timeout=30,
                              check=False)
        assert done.returncode == 2 and named in done.stderr, done.stderr
        assert not (tmp_path / "none").exists()


def test_sighup_reads_issuers_and_their_keys_again(start, tmp_path):
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks({"old": ("RS256", KEYS["RS256"])}))
    server = start(settings=issuer("idp", jwks_file=str(file)))
    config = pathlib.Path(server.data_dir + ".toml")
    before = jwt.encode(claims(), KEYS["RS256"], "RS256", headers={"kid": "old"})
    after = jwt.encode(claims(), KEYS["ES256"], "ES256", headers={"kid": "new"})
    other = jwt.encode(claims(iss="other"), KEYS["EdDSA"], "EdDSA", headers={"kid": "other"})
    assert get(server, before).status_code == 200
    refused(server, after)

    file.write_bytes(jwks({"new": ("ES256", KEYS["ES256"])}))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: get(server, after).status_code == 200, what="the new key")
    refused(server, before)

    for broken in ("issuers = 1\n", issuer("other", key_file="/nowhere")):
        good = config.read_text()
        config.write_text(broken)
        warnings = server.stderr().count("those in use stay")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.stderr().count("those in use stay") > warnings,
                   what="the warning")
        assert get(server, after).status_code == 200
        config.write_text(good)

    file.write_bytes(jwks({"other": ("EdDSA", KEYS["EdDSA"])}))
    config.write_text(issuer("other", jwks_file=str(file)))
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: get(server, other).status_code == 200, what="another issuer")
    refused(server, after)
    assert get(server, server.token("viewer")).status_code == 200


def test_issuers_in_the_environment_are_refused(binary, tmp_path):
    done = subprocess.run([binary, "serve", "--check-config"], capture_output=True, text=True,
                          timeout=30, check=False, cwd=tmp_path,
                          env=os.environ | {"SLUICE_ISSUERS_ISS": "idp"})
    assert done.returncode == 2
    assert "SLUICE_ISSUERS_ISS" in done.stderr and "[[issuers]]" in done.stderr


def make(server, role="admin", maker="admin", organisation=1, **body):
    return server.call("POST", TOKENS, role=maker, organisation=organisation,
                       json={"name": "ci", "role": role} | body)


def login(server, **body):
    return requests.post(server.url + "/api/v1/authenticate", json=body, timeout=30)


def test_an_application_token_from_making_to_revoking(sluice):
    answer = make(sluice)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"id", "key_id", "secret", "address", "application_token"}
    assert made["application_token"] == f"{made['key_id']}.{made['secret']}"
    assert answer.headers["Location"] == f"{TOKENS}/{made['id']}"
    listed = sluice.call("GET", TOKENS)
    assert made["secret"] not in listed.text
    assert [t["key_id"] for t in listed.json()["items"]] == [made["key_id"]]

    pair = login(sluice, application_token=made["application_token"]).json()
    assert set(pair) == {"auth_token", "refresh_token"}
    assert get(sluice, pair["auth_token"], TOKENS).status_code == 200
    known = jwt.decode(pair["auth_token"], options={"verify_signature": False})
    assert known["org"] == 1 and known["role"] == "admin" and known["exp"] > time.time() + 60
    again = login(sluice, refresh_token=pair["refresh_token"])
    assert again.status_code == 200
    refused(sluice, pair["refresh_token"])

    # What one made with the token has not more than its maker.
    forbidden = requests.post(sluice.url + TOKENS, json={"name": "x", "role": "operator"},
                              headers={"Authorization": "Bearer " + pair["auth_token"]}, timeout=30)
    assert forbidden.status_code == 403

    assert sluice.call("DELETE", f"{TOKENS}/{made['id']}", organisation=2).status_code == 404
    assert sluice.call("DELETE", f"{TOKENS}/{made['id']}").status_code == 204
    for token in (pair["auth_token"], again.json()["auth_token"]):
        assert "revoked" in refused(sluice, token)
    for body in ({"application_token": made["application_token"]},
                 {"refresh_token": pair["refresh_token"]}):
        assert login(sluice, **body).status_code == 401
    assert sluice.call("GET", TOKENS).json() == {"items": [], "next": None}


def test_application_tokens_survive_a_restart_and_so_does_revoking(start):
    server = start()
    kept, gone = make(server).json(), make(server, role="ingest").json()
    jwt_kept = login(server, application_token=kept["application_token"]).json()["auth_token"]
    jwt_gone = login(server, application_token=gone["application_token"]).json()["auth_token"]
    assert get(server, jwt_kept).status_code == 200
    assert server.call("DELETE", f"{TOKENS}/{gone['id']}").status_code == 204
    server.kill()
    server.start()
    assert get(server, jwt_kept).status_code == 200
    refused(server, jwt_gone)
    assert login(server, application_token=kept["application_token"]).status_code == 200
    assert login(server, application_token=gone["application_token"]).status_code == 401


def test_secrets_are_sealed_with_a_key_beside_the_directory(start):
    server = start()
    made = make(server).json()
    assert server.stop() == 0
    key = server.data_dir + ".secrets.key"
    assert os.stat(key).st_mode & 0o777 == 0o600 and os.stat(key).st_size == 32
    for name in os.listdir(server.data_dir):
        path = os.path.join(server.data_dir, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                assert made["secret"].encode() not in file.read(), name
    assert made["secret"] not in server.stderr()
    server.start()
    assert login(server, application_token=made["application_token"]).status_code == 200


def test_an_ingest_token_writes_for_its_organisation_alone(sluice):
    made = make(sluice, role="ingest").json()
    token = login(sluice, application_token=made["application_token"]).json()["auth_token"]

    def post(organisation):
        return requests.post(sluice.url + "/api/v2/records/events", timeout=30,
                             json=event(1, organisation=organisation),
                             headers={"Authorization": "Bearer " + token})
    assert post(1).status_code == 200
    assert post(2).status_code == 403
    assert get(sluice, token).status_code == 403


def test_logins_that_are_refused(sluice):
    answer = login(sluice, username="u", password="p")
    assert answer.status_code == 422 and "application_token" in answer.json()["message"]
    assert login(sluice).status_code == 422
    assert login(sluice, application_token="x", colour=1).status_code == 422
    answer = login(sluice, application_token="x")
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"]


def test_a_hundred_tokens_are_the_limit(sluice):
    for _ in range(100):
        assert make(sluice, role="viewer").status_code == 201
    answer = make(sluice, role="viewer")
    assert answer.status_code == 422 and answer.json()["error_token"] == "TokenLimit"
    first = sluice.call("GET", TOKENS + "?limit=60").json()
    rest = sluice.call("GET", TOKENS + f"?limit=60&after={first['next']}").json()
    assert len(first["items"]) == 60 and len(rest["items"]) == 40 and rest["next"] is None
    assert sluice.call("DELETE", f"{TOKENS}/{first['items'][0]['id']}").status_code == 204
    assert make(sluice, role="viewer").status_code == 201


def test_a_hundred_tries_an_address(sluice):
    made = make(sluice).json()
    for _ in range(100):
        assert login(sluice, application_token="x").status_code == 401
    answer = login(sluice, application_token=made["application_token"])
    assert answer.status_code == 429 and answer.json()["error_token"] == "TooManyTries"
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    assert sluice.call("GET", STREAMS).status_code == 200  # no try to log in


def test_organisations(sluice, receiver):
    operator = {"role": "operator"}
    assert sluice.call("GET", ORGANISATIONS).status_code == 403
    answer = sluice.call("POST", ORGANISATIONS, json={"id": 42, "name": "Answers"}, **operator)
    assert answer.status_code == 201
    assert answer.json() == {"id": 42, "name": "Answers", "company_id": None, "project": "42"}
    for bad in ({"id": 0}, {"id": 2 ** 63}, {"name": "x"}, {"id": 43, "project": "44"}):
        assert sluice.call("POST", ORGANISATIONS, json=bad, **operator).status_code == 422, bad
    answer = sluice.call("PATCH", f"{ORGANISATIONS}/42", json={"project": "deep"}, **operator)
    assert answer.status_code == 200 and answer.json()["project"] == "deep"
    answer = sluice.call("POST", ORGANISATIONS, json={"id": 43, "project": "deep"}, **operator)
    assert answer.status_code == 409 and "42" in answer.json()["message"]
    answer = sluice.call("PATCH", f"{ORGANISATIONS}/42", json={"id": 7, "x": 1}, **operator)
    assert answer.status_code == 422 and len(answer.json()) == 2

    # By its first mention: a token, a record of the feed.
    sluice.token("viewer", 5)
    sluice.ingest("events", [event(1, organisation=6)], role="operator")
    listed = sluice.call("GET", ORGANISATIONS, **operator).json()
    assert {5, 6, 42} <= {one["id"] for one in listed["items"]} and listed["next"] is None
    assert sluice.create_stream(receiver.url, organisation=42)["organisation"] == {
        "id": 42, "name": "Answers"}
