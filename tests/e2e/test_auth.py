"""How a stream shows its destination who it is: destination.auth and destination.ca."""

import base64
import http.server
import json
import ssl
import threading
import urllib.parse

import pytest

from support import event, free_port, wait_until
from tls import issue, key_pem, pem

FAST_RETRY = {"retry": {"initial_ms": 50, "max_ms": 200, "jitter": 0}}
BASIC = base64.b64encode(b"user:pass word").decode()


def destination(url, auth=None, credentials=None, **more):
    return {"connection_type": "RestAPI", "credentials": {"url": url} | (credentials or {})} | (
        {"auth": auth} if auth else {}) | more


def create(server, *arguments, **more):
    return server.create_stream("", delivery=FAST_RETRY, destination=destination(*arguments, **more))


def refused(server, *arguments, **more):
    """The faults of a create that must fail."""
    answer = server.call("POST", "/api/v2/data_stream", json={
        "data_stream_type": 2, "destination": destination(*arguments, **more)})
    assert answer.status_code == 422, answer.text
    return answer.json()["message"]


def deliver(server, receiver, record_id=1):
    before = len(receiver.accepted())
    server.ingest("events", [event(record_id)])
    wait_until(lambda: len(receiver.accepted()) > before)
    return receiver.accepted()[before]


class TokenEndpoint:
    """Gives tokens t1, t2, ... by client credentials. `answer(form) -> (status, object)` replaces
    what it says; `style` is what it takes the credentials from."""

    def __init__(self, style="header", port=0):
        self.forms, self.headers, self.style = [], [], style
        self.answer = None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(urllib.parse.parse_qsl(body))
                outer.headers.append(dict(self.headers))
                outer.forms.append(form)
                status, answer = (outer.answer or outer.give)(form)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def give(self, form):
        expected = "Basic " + base64.b64encode(b"me%3A1:s%26cret").decode()
        right = (self.headers[-1].get("Authorization") == expected if self.style == "header" else
                 (form.get("client_id"), form.get("client_secret")) == ("me:1", "s&cret"))
        if not right or form["grant_type"] != "client_credentials":
            return 401, {"error": "invalid_client"}
        given = sum(1 for f in self.forms if f) if self.style == "header" else len(self.forms) - 1
        return 200, {"access_token": f"t{given}", "token_type": "Bearer", "expires_in": 3600}

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    made = TokenEndpoint()
    yield made
    made.close()


def oauth(url, secret="s&cret"):
    return {"type": "oauth2_client_credentials", "token_url": url, "client_id": "me:1",
            "client_secret": secret, "scope": "write it"}


@pytest.mark.parametrize("auth, sent", [
    ({"type": "basic", "username": "user", "password": "pass word"}, "Basic " + BASIC),
    ({"type": "basic", "value": BASIC}, "Basic " + BASIC),
    ({"type": "bearer", "token": "abc.def"}, "Bearer abc.def"),
])
def test_a_fixed_credential_is_sent_and_never_shown(sluice, receiver, auth, sent):
    stream = create(sluice, receiver.url, auth)
    shown = stream["destination"]["auth"]
    assert shown == {key: value if key in ("type", "username") else "***"
                     for key, value in auth.items()}
    sluice.ingest("events", [event(1)])
    wait_until(lambda: receiver.deliveries)
    assert receiver.deliveries[0].headers["authorization"] == sent
    wait_until(lambda: sluice.stream(stream["id"])["remote_status"])
    for secret in (sent.split(" ")[1], "pass word"):
        assert secret not in json.dumps(sluice.stream(stream["id"])) + sluice.stderr()


def test_what_the_receiver_echoes_is_masked(sluice):
    class Echo(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            said = f"not you: {self.headers['Authorization']}".encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *arguments):
            pass

    echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=echo.serve_forever, args=(0.02,), daemon=True).start()
    stream = create(sluice, f"http://127.0.0.1:{echo.server_address[1]}/",
                    {"type": "bearer", "token": "abcdefgh"})
    sluice.ingest("events", [event(1)])
    error = wait_until(lambda: sluice.stream(stream["id"])["last_error"])
    assert "not you: " in error and "***" in error and "abcdefgh" not in error
    echo.shutdown()


def test_a_credential_changes_as_other_secrets_do(sluice, receiver, receivers):
    stream = create(sluice, receiver.url, {"type": "bearer", "token": "one"})
    path = f"/api/v2/data_stream/{stream['id']}"

    def patch(**change):
        return sluice.call("PATCH", path, json={"destination": change})

    assert patch(auth={"token": "***"}).status_code == 202
    assert deliver(sluice, receiver).headers["authorization"] == "Bearer one"
    moved = {"credentials": {"url": receivers().url}}
    answer = patch(**moved)
    assert answer.status_code == 422
    assert answer.json()[0]["message"].startswith("destination.auth.token: must be given anew")
    assert patch(auth={"token": "two"}).status_code == 202
    assert deliver(sluice, receiver, 2).headers["authorization"] == "Bearer two"
    assert patch(auth={"type": "basic", "value": BASIC}).status_code == 202
    assert deliver(sluice, receiver, 3).headers["authorization"] == "Basic " + BASIC
    assert patch(auth=None).status_code == 202
    assert "authorization" not in deliver(sluice, receiver, 4).headers
    assert "auth" not in sluice.stream(stream["id"])["destination"]


def test_unusable_auth_is_refused(sluice, receiver):
    url = receiver.url
    header = {"headers": ["authorization: x"]}
    assert "together with a header Authorization" in refused(
        sluice, url, {"type": "bearer", "token": "a"}, credentials=header)
    assert "destination.auth.type: must be one of basic, bearer" in refused(
        sluice, url, {"type": "digest"})
    assert "destination.auth.token: is required" in refused(sluice, url, {"type": "bearer"})
    assert "destination.auth.password: is required" in refused(
        sluice, url, {"type": "basic", "username": "a"})
    assert "must be the base64" in refused(sluice, url, {"type": "basic", "value": "a:b"})
    assert "destination.auth.token_url" in refused(sluice, url, oauth("ftp://example.com"))
    assert "destination.ca: must be certificates in PEM" in refused(sluice, url, ca="no")
    assert "destination.auth: this connection type takes none" in sluice.call(
        "POST", "/api/v2/data_stream", json={"data_stream_type": 2, "destination": {
            "connection_type": "Inspector", "auth": {"type": "bearer", "token": "a"}}}).text


def test_an_oauth_token_is_got_once_and_used_again(sluice, receiver, endpoint):
    create(sluice, receiver.url, oauth(endpoint.url))
    checked = len(endpoint.forms)  # the check proved the credentials
    assert checked == 1
    first = deliver(sluice, receiver, 1).headers["authorization"]
    assert first == deliver(sluice, receiver, 2).headers["authorization"] == "Bearer t2"
    assert len(endpoint.forms) == checked + 1
    assert endpoint.forms[-1] == {"grant_type": "client_credentials", "scope": "write it"}


def test_an_oauth_endpoint_may_want_the_credentials_in_the_body(sluice, receiver, endpoint):
    endpoint.style = "body"
    create(sluice, receiver.url, oauth(endpoint.url))
    assert deliver(sluice, receiver).headers["authorization"].startswith("Bearer t")


def test_a_refused_oauth_token_is_got_anew_within_the_attempt(sluice, receiver, endpoint):
    create(sluice, receiver.url, oauth(endpoint.url))
    old = deliver(sluice, receiver, 1).headers["authorization"]
    receiver.answer = lambda delivery: 401 if delivery.headers["authorization"] == old else 200
    anew = deliver(sluice, receiver, 2)
    assert anew.headers["authorization"] not in (old, "") and anew.headers["x-sluice-attempt"] == "1"
    # Once: what is refused again is the destination's answer.
    receiver.answer = lambda delivery: 401
    got = len(endpoint.forms)
    sluice.ingest("events", [event(3)])
    wait_until(lambda: any(s["remote_status"] == 401 for s in
                           sluice.call("GET", "/api/v2/data_stream").json()))
    assert len(endpoint.forms) > got


def test_an_oauth_endpoint_that_is_down_is_waited_for(sluice, receiver):
    port = free_port()
    body = {"data_stream_type": 2, "delivery": FAST_RETRY,
            "destination": destination(receiver.url, oauth(f"http://127.0.0.1:{port}/token"))}
    stream = sluice.call("POST", "/api/v2/data_stream?validate=false", json=body).json()
    sluice.ingest("events", [event(1)])
    error = wait_until(lambda: sluice.stream(stream["id"])["last_error"])
    assert f"POST http://127.0.0.1:{port}/token" in error
    shown = sluice.stream(stream["id"])
    assert shown["remote_status"] == 502 and shown["status"]["description"] == "Running"
    endpoint = TokenEndpoint(port=port)
    wait_until(receiver.accepted)
    endpoint.close()


def test_refused_oauth_credentials_are_a_fault_of_configuration(sluice, receiver, endpoint):
    said = refused(sluice, receiver.url, oauth(endpoint.url, secret="wrong"))
    assert "answered 401: invalid_client" in said and "wrong" not in said
    body = {"data_stream_type": 2, "delivery": FAST_RETRY,
            "destination": destination(receiver.url, oauth(endpoint.url, secret="wrong"))}
    stream = sluice.call("POST", "/api/v2/data_stream?validate=false", json=body).json()
    sluice.ingest("events", [event(1)])
    wait_until(lambda: sluice.stream(stream["id"])["remote_status"] == 500)
    assert "look at destination.auth" in sluice.stream(stream["id"])["last_error"]
    assert not receiver.deliveries


# --- certificates

@pytest.fixture(scope="module")
def authority():
    return issue("authority")


@pytest.fixture
def tls_receiver(authority, tmp_path, receivers):
    """tls_receiver(verify=ssl.CERT_...) -> a receiver whose certificate is the authority's."""
    def make(verify=ssl.CERT_NONE):
        certificate, key = issue("server", authority)
        (tmp_path / "chain.pem").write_text(pem(certificate) + key_pem(key))
        (tmp_path / "ca.pem").write_text(pem(authority[0]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "chain.pem")
        context.load_verify_locations(tmp_path / "ca.pem")
        context.verify_mode = verify
        return receivers(tls=context)
    return make


def mtls(authority, name="client"):
    certificate, key = issue(name, authority)
    return {"type": "mtls", "certificate": pem(certificate), "key": key_pem(key)}


def shown_names(receiver):
    """The names in the client certificates of the connections that are open; "" for none."""
    names = []
    for connection in receiver.sockets:
        try:
            certificate = connection.getpeercert()
        except (OSError, ValueError, AttributeError):  # closed
            continue
        names.append(certificate["subject"][0][0][1] if certificate else "")
    return names


def test_a_streams_own_authority_is_trusted_by_it_alone(sluice, authority, tls_receiver):
    receiver = tls_receiver()
    assert "is not trusted" in refused(sluice, receiver.url)
    stream = create(sluice, receiver.url, ca=pem(authority[0]))
    assert stream["destination"]["ca"] == pem(authority[0])
    deliver(sluice, receiver)
    assert "is not trusted" in refused(sluice, receiver.url)  # nor by the kept connection
    assert "is not trusted" in refused(sluice, receiver.url, ca=pem(issue("another")[0]))


def test_a_client_certificate_is_shown(sluice, authority, tls_receiver):
    receiver = tls_receiver(ssl.CERT_REQUIRED)
    stream = create(sluice, receiver.url, mtls(authority), ca=pem(authority[0]))
    deliver(sluice, receiver)
    assert shown_names(receiver)[-1] == "client"
    shown = sluice.stream(stream["id"])["destination"]["auth"]
    assert shown["key"] == "***" and shown["certificate"].startswith("-----BEGIN CERT")


def test_without_its_client_certificate_nothing_is_delivered(sluice, authority, tls_receiver):
    receiver = tls_receiver(ssl.CERT_REQUIRED)
    body = {"data_stream_type": 2, "delivery": FAST_RETRY,
            "destination": destination(receiver.url, ca=pem(authority[0]))}
    stream = sluice.call("POST", "/api/v2/data_stream?validate=false", json=body).json()
    sluice.ingest("events", [event(1)])
    wait_until(lambda: sluice.stream(stream["id"])["remote_status"] == 502)
    assert not receiver.deliveries


def test_no_connection_is_shared_across_client_certificates(sluice, authority, tls_receiver):
    receiver = tls_receiver(ssl.CERT_OPTIONAL)
    came = []
    receiver.answer = lambda delivery: came.append(delivery.headers["x-who"]) or 200
    for who, auth in (("one", mtls(authority, "one")), ("two", mtls(authority, "two")),
                      ("nobody", None)):
        create(sluice, receiver.url, auth, ca=pem(authority[0]),
               credentials={"headers": [f"X-Who: {who}"]})
    for i in range(5):
        sluice.ingest("events", [event(i)])
        wait_until(lambda i=i: len(came) >= 3 * (i + 1))
    assert sorted(set(shown_names(receiver))) == ["", "one", "two"]
    assert len(receiver.connections) >= 3


def test_unusable_certificates_are_refused(sluice, receiver, authority):
    good, other = mtls(authority), mtls(authority)
    url = receiver.url
    assert "destination.auth.key: is not that of" in refused(
        sluice, url, good | {"key": other["key"]})
    assert "destination.auth.certificate: must be certificates" in refused(
        sluice, url, good | {"certificate": "x"})
    encrypted = key_pem(issue("x")[1], b"password")
    assert "destination.auth.key: must be a private key in PEM that is not encrypted" in refused(
        sluice, url, good | {"key": encrypted})
    damaged = good["certificate"] + good["certificate"].replace("MII", "???", 1)
    assert "all of them whole" in refused(sluice, url, good | {"certificate": damaged})
