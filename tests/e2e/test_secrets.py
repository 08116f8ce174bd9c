"""Secrets at rest: sealed on disk, with a key of their own that can be changed."""

import base64
import os
import pathlib
import subprocess

import pytest

from support import event, wait_until

HEADER = "correct-horse-battery-staple"
QUERY = "key-in-the-query"
SIGNING = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


def create(server, receiver):
    return server.create_stream(receiver.url, destination={
        "connection_type": "RestAPI", "signing": {"scheme": "standard-webhooks", "secret": SIGNING},
        "credentials": {"url": f"{receiver.url}?{QUERY}", "headers": [f"X-Key:{HEADER}"]}})


def files_with(directory, text):
    return [file.name for file in pathlib.Path(directory).rglob("*")
            if file.is_file() and text.encode() in file.read_bytes()]


def key_of(server):
    return pathlib.Path(server.data_dir + ".secrets.key")


def delivers(server, receiver, record_id):
    before = len(receiver.accepted())
    server.ingest("events", [event(record_id)])
    wait_until(lambda: len(receiver.accepted()) > before)
    return receiver.accepted()[-1].headers["x-key"] == HEADER


def failed_start(server):
    done = subprocess.run([server.binary, "serve", "--data-dir", server.data_dir, "--listen",
                           "127.0.0.1:0"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stdout == ""
    return done.stderr


def rotate(server):
    return server.run("secrets", "rotate", "--data-dir", server.data_dir)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_no_secret_lies_in_the_data_directory(sluice, receiver, end):
    stream = create(sluice, receiver)
    assert delivers(sluice, receiver, 1)
    changed = sluice.call("PATCH", f"/api/v2/data_stream/{stream['id']}", json={
        "destination": {"credentials": {"headers": [f"X-Key:{HEADER}", "X-More: another-secret"]}}})
    assert changed.status_code == 202
    getattr(sluice, end)()
    for secret in (HEADER, QUERY, SIGNING, SIGNING[6:30], "another-secret",
                   "-----BEGIN PRIVATE KEY-----"):
        assert files_with(sluice.data_dir, secret) == []
    sluice.start()
    assert delivers(sluice, receiver, 2)


def test_another_key_or_none_stops_the_start_and_names_the_remedy(sluice, receiver):
    create(sluice, receiver)
    sluice.stop()
    key = key_of(sluice).read_bytes()
    key_of(sluice).write_bytes(os.urandom(32))
    error = failed_start(sluice)
    assert f"{key_of(sluice)} is not the one" in error and "put back" in error
    key_of(sluice).unlink()
    error = failed_start(sluice)
    assert f"{key_of(sluice)} is missing: put back" in error and not key_of(sluice).exists()
    key_of(sluice).write_bytes(key)
    sluice.start()
    assert delivers(sluice, receiver, 1)


def test_rotating_gives_a_new_key_and_everything_goes_on(sluice, receiver):
    create(sluice, receiver)
    made = sluice.call("POST", "/api/v1/application_token", json={"role": "viewer"}).json()
    running = rotate(sluice)
    assert running.returncode == 1 and "is in use by another sluice" in running.stderr
    sluice.stop()
    old = key_of(sluice).read_bytes()
    done = rotate(sluice)
    assert done.returncode == 0, done.stderr
    assert "sealed with a new key" in done.stdout
    assert key_of(sluice).read_bytes() != old
    assert key_of(sluice).stat().st_mode & 0o777 == 0o600
    sluice.start()
    assert delivers(sluice, receiver, 1)
    login = sluice.call("POST", "/api/v1/authenticate",
                        json={"application_token": made["application_token"]})
    assert login.status_code == 200
    sluice.stop()
    key_of(sluice).write_bytes(old)
    assert "is not the one" in failed_start(sluice)


@pytest.mark.parametrize("call", ["pwrite64", "fsync", "fdatasync", "ftruncate", "link", "rename",
                                  "unlink"])
def test_a_rotation_killed_at_any_call_is_finished_by_the_next(sluice, receiver, tmp_path, call):
    create(sluice, receiver)
    sluice.stop()
    # Leaks cannot be looked for under strace.
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    for n in range(1, 1000):
        cut = subprocess.run(
            ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", f"trace={call}", "-e",
             f"inject={call}:signal=KILL:when={n}", sluice.binary, "secrets", "rotate",
             "--data-dir", sluice.data_dir], capture_output=True, timeout=60, check=False,
            env=os.environ | {"ASAN_OPTIONS": options})
        if cut.returncode == 0:
            break
        if n % 8 == 1:
            sluice.start()
            assert delivers(sluice, receiver, n)
            sluice.stop()
    else:
        raise AssertionError("it never came to its end")
    assert not pathlib.Path(str(key_of(sluice)) + ".next").exists()
    sluice.start()
    assert delivers(sluice, receiver, 1000)


def test_rotating_where_nothing_is_says_so(sluice, tmp_path):
    done = sluice.run("secrets", "rotate", "--data-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 1 and "name the data directory" in done.stderr
    assert not (tmp_path / "nowhere").exists()
