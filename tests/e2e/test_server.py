"""The listener as an operator sets it up: TLS, who the client is, where the metrics are, settings."""

import datetime
import ipaddress
import re
import signal
import socket
import ssl
import subprocess
import tomllib

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support import event, wait_until


class Authority:
    """A certificate authority that lives for one test."""

    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self.file = folder / "ca.pem"
        self.file.write_bytes(pem(self.sign(self.name, self.key, authority=True)))

    def sign(self, name, key, authority=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=authority, crl_sign=authority,
                              content_commitment=False, key_encipherment=False,
                              data_encipherment=False, key_agreement=False, encipher_only=False,
                              decipher_only=False)
        builder = (x509.CertificateBuilder().subject_name(name).issuer_name(self.name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(hours=1))
                   .not_valid_after(now + datetime.timedelta(hours=1))
                   .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)
                   .add_extension(usage, True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                       self.key.public_key()), False))
        if not authority:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, False)
        return builder.sign(self.key, hashes.SHA256())

    def pair(self, common_name, folder=None):
        """Writes cert.pem and key.pem; returns their paths."""
        folder = folder or self.folder
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        (folder / "cert.pem").write_bytes(pem(self.sign(name, key)))
        (folder / "key.pem").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        return folder / "cert.pem", folder / "key.pem"


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def tls_settings(certificate, key):
    return f'[server]\ntls_cert = "{certificate}"\ntls_key = "{key}"\n'


def port_of(url):
    return int(url.rsplit(":", 1)[1])


def tls_connection(server, authority, **options):
    context = ssl.create_default_context(cafile=authority.file)
    for name, value in options.items():
        setattr(context, name, value)
    plain = socket.create_connection(("127.0.0.1", port_of(server.url)), timeout=30)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def common_name(connection):
    subject = dict(part[0] for part in connection.getpeercert()["subject"])
    return subject["commonName"]


def ask(connection):
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    return connection.recv(65536)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def test_records_travel_through_tls(start, authority, receiver):
    server = start(settings=tls_settings(*authority.pair("one")))
    assert server.url.startswith("https://127.0.0.1:")
    with pytest.raises(requests.exceptions.SSLError):  # the system does not know that authority
        server.call("GET", "/api/v2/data_stream")
    body = b"".join(b'{"id":%d,"timestamp":"2026-11-21T08:38:02.000Z","event_type":{"id":1},'
                    b'"organisation":{"id":1},"filler":"%s"}\n' % (i, b"x" * 1000)
                    for i in range(5000))
    created = server.call("POST", "/api/v2/data_stream", verify=authority.file, json={
        "data_stream_type": 2,
        "destination": {"connection_type": "RestAPI", "credentials": {"url": receiver.url}}})
    assert created.status_code == 201, created.text
    assert server.ingest("events", body, verify=authority.file).status_code == 200
    chunked = server.ingest("events", [event(5000)], verify=authority.file)
    assert chunked.status_code == 200
    wait_until(lambda: receiver.record_ids() == list(range(5001)))
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"http://127.0.0.1:{port_of(server.url)}/healthz", timeout=30)
    assert server.stop() == 0


def test_only_tls_1_2_and_later(start, authority):
    server = start(settings=tls_settings(*authority.pair("one")))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with tls_connection(server, authority, minimum_version=version,
                            maximum_version=version) as connection:
            assert ask(connection).startswith(b"HTTP/1.1 200")
    with pytest.raises(ssl.SSLError), tls_connection(
            server, authority, minimum_version=ssl.TLSVersion.TLSv1,
            maximum_version=ssl.TLSVersion.TLSv1_1) as connection:
        ask(connection)


def test_a_tls_answer_ends_with_a_proper_end(start, authority):
    server = start(settings=tls_settings(*authority.pair("one")))
    with tls_connection(server, authority) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):  # raises SSLEOFError without close_notify
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")


def test_too_large_a_body_gets_its_answer_through_tls_too(start, authority):
    server = start(settings=tls_settings(*authority.pair("one")) +
                   "[limits]\nbody_bytes_max = 2097152\n")
    answer = server.ingest("events", b" " * 8_000_000, verify=authority.file)
    assert answer.status_code == 413 and answer.json()["error_token"] == "BodyTooLarge"


def test_sighup_reads_a_new_certificate_and_keeps_connections(start, authority):
    certificate, key = authority.pair("one")
    server = start(settings=tls_settings(certificate, key))
    with tls_connection(server, authority) as before:
        assert common_name(before) == "one"
        authority.pair("two")
        server.process.send_signal(signal.SIGHUP)

        def now():
            with tls_connection(server, authority) as connection:
                return common_name(connection)

        wait_until(lambda: now() == "two")
        assert ask(before).startswith(b"HTTP/1.1 200")

        key.write_text("no key at all")  # is refused whole
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "what was in use stays" in server.stderr())
        assert str(key) in server.stderr()
        assert now() == "two"
        assert ask(before).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0


def test_silence_in_place_of_a_handshake_does_not_keep_the_server(start, authority):
    server = start(settings=tls_settings(*authority.pair("one")))
    with socket.create_connection(("127.0.0.1", port_of(server.url))) as silent:
        silent.sendall(b"\x16\x03\x01")
        assert server.stop() == 0


def test_metrics_move_to_the_admins_listener(start):
    server = start(settings='[server]\nadmin_listen = "127.0.0.1:0"\n')
    found = wait_until(lambda: re.search(r'"admin_url": ?"(http://[^"]+)"', server.stderr()))
    admin = found[1]
    assert "sluice_http_connections" in requests.get(admin + "/metrics", timeout=30).text
    for path in ("/healthz", "/api/v2/data_stream", "/"):
        assert requests.get(admin + path, timeout=30).status_code == 404
    assert server.call("GET", "/metrics", role="operator").status_code == 404
    assert requests.get(server.url + "/healthz", timeout=30).status_code == 200


def test_the_public_url_stands_in_answers(start, receiver):
    server = start(settings='[server]\npublic_url = "https://example.com/sluice"\n')
    stream = {"data_stream_type": 2,
              "destination": {"connection_type": "RestAPI", "credentials": {"url": receiver.url}}}
    for path, body in (("/api/v2/data_stream", stream), ("/api/v2/organisation", {"id": 7}),
                       ("/api/v1/application_token", {"role": "viewer"})):
        answer = server.call("POST", path, role="operator", json=body)
        assert answer.headers["Location"] == \
            f"https://example.com/sluice{path}/{answer.json()['id']}"
    document = requests.get(server.url + "/api/openapi.json", timeout=30).json()
    assert document["servers"] == [{"url": "/sluice"}]


def serve(binary, *arguments, **environment):
    return subprocess.run([binary, "serve", *map(str, arguments)], capture_output=True, text=True,
                          timeout=30, check=False, env=environment)


def test_the_printed_settings_are_a_settings_file_that_changes_nothing(binary, tmp_path, start):
    printed = serve(binary, "--print-config")
    assert printed.returncode == 0 and printed.stderr == ""
    sections = tomllib.loads(printed.stdout)
    assert sections["server"]["listen"] == "127.0.0.1:8080"
    assert sections["egress"]["allow"] == []
    lines = printed.stdout.splitlines()
    for before, line in zip(lines, lines[1:]):
        if "=" in line and not line.startswith("#"):
            assert re.fullmatch(r"# \S.*", before), f"no explanation of {line}"

    config = tmp_path / "all.toml"
    config.write_text(printed.stdout)
    checked = serve(binary, "--config", config, "--check-config", "--data-dir", tmp_path / "data")
    assert checked.returncode == 0, checked.stderr
    assert not (tmp_path / "data").exists()
    # The fixture's file has [egress] already.
    rest = printed.stdout.split("[egress]")[0]
    server = start(settings=rest)
    assert requests.get(server.url + "/readyz", timeout=30).status_code == 200


@pytest.mark.parametrize("name, value, wanted", [
    ("SLUICE_SERVER_LISTEN", "nope", "server.listen"),
    ("SLUICE_SERVER_LISTEN", "example.com:80", "give an IP address"),
    ("SLUICE_SERVER_LISTEN", "0.0.0.0:80", "insecure"),
    ("SLUICE_SERVER_ADMIN_LISTEN", "0.0.0.0:80", "server.admin_listen"),
    ("SLUICE_SERVER_ADMIN_LISTEN", "9090", "127.0.0.1:8080"),
    ("SLUICE_SERVER_TLS_CERT", "/nowhere", "together"),
    ("SLUICE_SERVER_TRUSTED_PROXIES", "10.0.0.0/33", "server.trusted_proxies"),
    ("SLUICE_SERVER_PUBLIC_URL", "sluice.example.com", "server.public_url"),
    ("SLUICE_EGRESS_ALLOW", "nope", "nope"),
])
def test_check_config_says_what_is_wrong(binary, name, value, wanted):
    done = serve(binary, "--check-config", **{name: value})
    assert done.returncode == 2 and done.stdout == ""
    assert wanted in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_check_config_looks_into_certificate_and_key(binary, tmp_path, authority):
    certificate, key = authority.pair("one")

    def check():
        return serve(binary, "--check-config", SLUICE_SERVER_TLS_CERT=str(certificate),
                     SLUICE_SERVER_TLS_KEY=str(key), SLUICE_SERVER_LISTEN="0.0.0.0:8443")

    assert check().returncode == 0
    good = key.read_bytes()
    other = tmp_path / "other"
    other.mkdir()
    key.write_bytes(authority.pair("two", other)[1].read_bytes())
    assert check().returncode == 2 and "does not belong" in check().stderr
    key.write_bytes(serialization.load_pem_private_key(good, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret")))
    assert check().returncode == 2 and "passphrase" in check().stderr
    key.write_bytes(good)
    certificate.write_text("nothing")
    assert check().returncode == 2 and str(certificate) in check().stderr
    certificate.unlink()
    assert check().returncode == 2 and "No such file" in check().stderr
