"""The program's other commands, as a user types them."""

import json
import pathlib
import re
import signal
import subprocess
import time

import pytest
import requests

from support import event, wait_until


def test_help_version_and_wrong_use(sluice):
    for command in ("serve", "token", "ingest", "simulate", "receive", "demo", "log"):
        done = sluice.run(command, "--help")
        assert done.returncode == 0 and f"sluice {command}" in done.stdout, done.stdout
    assert sluice.run("--version").returncode == 0
    assert sluice.run().returncode == 2
    for words, known in ((["fly"], "serve, token, ingest"), (["log", "fly"], "inspect, verify, repair")):
        done = sluice.run(*words)
        assert done.returncode == 2 and "fly" in done.stderr and known in done.stderr, done.stderr
    assert sluice.run("serve", "--colour", "red").returncode == 2
    assert sluice.run("demo", "--listen", "x").returncode == 2
    for organisation in ("x", "-1", "9223372036854775808", "99999999999999999999"):
        done = sluice.run("token", "--organisation", organisation, "--role", "admin")
        assert done.returncode == 2 and "--organisation" in done.stderr, done


@pytest.mark.parametrize("settings, named", [
    ("[server]\nlisten = 7\n", "server.listen"),
    ("[server]\ncolour = 7\n", "server.colour"),
    ("[limits]\nbody_bytes_max = -1\n", "limits.body_bytes_max"),
    ("[limits]\nbody_bytes_max = 1024\n", "limits.record_bytes_max"),
    ('[egress]\nallow = ["not a network"]\n', "not a network"),
    ('[server]\nlisten = "0.0.0.0:0"\n', "insecure"),
    ("rubbish", "line 1"),
])
def test_settings_that_make_no_sense_stop_the_start_with_one_sentence(binary, tmp_path, settings, named):
    config = tmp_path / "sluice.toml"
    config.write_text(settings)
    done = subprocess.run([binary, "serve", "--config", config, "--data-dir", tmp_path / "data"],
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert named in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_the_environment_sets_what_the_file_does_not(binary, tmp_path):
    done = subprocess.run([binary, "serve", "--data-dir", tmp_path / "data"], text=True, timeout=30,
                          capture_output=True, check=False, env={"SLUICE_LIMITS_CONNECTIONS_MAX": "0"})
    assert done.returncode == 2 and "SLUICE_LIMITS_CONNECTIONS_MAX" in done.stderr


def test_a_variable_that_means_nothing_is_told(binary):
    done = subprocess.run([binary, "serve", "--check-config"], text=True, timeout=30, check=False,
                          capture_output=True, env={"SLUICE_COLOUR": "red"})
    assert done.returncode == 0 and "SLUICE_COLOUR" in done.stderr


def test_one_server_per_data_directory(sluice):
    done = sluice.run("serve", "--data-dir", sluice.data_dir, "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "in use" in done.stderr


def test_a_taken_port_is_named(sluice, tmp_path):
    address = sluice.url.removeprefix("http://")
    done = sluice.run("serve", "--data-dir", str(tmp_path / "other"), "--listen", address)
    assert done.returncode == 1 and address in done.stderr


def test_ingest_sends_files_and_pipes(sluice, receiver, tmp_path):
    sluice.create_stream(receiver.url)
    lines = tmp_path / "events.ndjson"
    lines.write_text("".join(json.dumps(event(i)) + "\n" for i in range(5000)))
    array = tmp_path / "events.json"
    array.write_text(json.dumps([event(i) for i in range(5000, 5010)], indent=1))
    token = sluice.token("ingest")
    done = sluice.run("ingest", "events", str(lines), str(array), "--url", sluice.url, "--token", token)
    assert done.returncode == 0, done.stderr
    assert "5010" in done.stdout
    done = sluice.run("ingest", "events", "-", "--url", sluice.url, "--token", token,
                      input=json.dumps(event(5010)))
    assert done.returncode == 0, done.stderr
    wait_until(lambda: receiver.record_ids() == list(range(5011)))
    bad = tmp_path / "bad.ndjson"
    bad.write_text(json.dumps(event(1)) + "\n{}\n")
    done = sluice.run("ingest", "events", str(bad), "--url", sluice.url, "--token", token)
    assert done.returncode == 1 and "2" in done.stderr
    assert sluice.run("ingest", "pigeons", str(bad), "--url", sluice.url, "--token", token).returncode == 2


def test_the_same_seed_simulates_the_same_records(sluice):
    arguments = ("simulate", "--organisations", "2", "--endpoints", "5", "--seed", "7", "--output", "-",
                 "--records", "2000")
    first, second = sluice.run(*arguments), sluice.run(*arguments)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout and len(first.stdout.splitlines()) == 2000
    other = sluice.run(*arguments[:-5], "8", *arguments[-4:])
    assert other.stdout != first.stdout


def test_simulate_takes_a_server_or_an_output(sluice, tmp_path):
    arguments = ("simulate", "--records", "5", "--token", sluice.token("ingest"))
    output = tmp_path / "records"
    done = sluice.run(*arguments, "--url", sluice.url, "--output", output)
    assert done.returncode == 2 and "--url" in done.stderr and "--output" in done.stderr
    assert not output.exists()
    done = sluice.run(*arguments, "--output", output, env={"SLUICE_URL": sluice.url})
    assert done.returncode == 0 and len(output.read_text().splitlines()) == 5, done.stderr


def test_a_token_for_a_directory_that_is_not_there_says_so(sluice, tmp_path):
    arguments = ("token", "--organisation", "1", "--role", "admin", "--data-dir", tmp_path / "typo")
    first, again = sluice.run(*arguments), sluice.run(*arguments)
    assert first.returncode == 0 and str(tmp_path / "typo") in first.stderr and first.stdout
    assert again.returncode == 0 and again.stderr == ""


def test_simulate_to_a_server_and_receive(sluice, binary):
    receive = subprocess.Popen([binary, "receive", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        url = re.fullmatch(r"listening on (\S+)\n", receive.stdout.readline())[1]
        stream = sluice.create_stream(url + "/in", type_id=3)
        done = sluice.run("simulate", "--organisations", "1", "--endpoints", "20", "--records", "3000",
                          "--url", sluice.url, "--token", sluice.token("ingest"))
        assert done.returncode == 0, done.stderr

        def all_delivered():
            progress = sluice.stream(stream["id"])["progress"]
            return progress["delivered"] > 0 and progress["lag_records"] == 0
        wait_until(all_delivered)
        receive.send_signal(signal.SIGINT)
        out, _ = receive.communicate(timeout=30)
        assert receive.returncode == 0, out
        assert "0 gaps, 0 out of order, 0 changed bodies, 0 inconsistent" in out
    finally:
        receive.kill()


def test_log_inspect_and_verify(sluice, receiver):
    sluice.create_stream(receiver.url)
    sluice.ingest("events", [event(i) for i in range(100)])
    wait_until(lambda: len(receiver.record_ids()) == 100)
    for command in ("inspect", "verify"):
        done = sluice.run("log", command, sluice.data_dir)  # beside a running server
        assert done.returncode == 0, done.stderr
    assert "100" in sluice.run("log", "inspect", sluice.data_dir).stdout
    assert sluice.run("log", "verify", "/nonexistent").returncode == 1


def test_damage_is_found_and_reported_and_the_rest_goes_on(sluice, receiver):
    for i in range(10):
        sluice.ingest("events", [event(i * 10 + j) for j in range(10)])
    assert sluice.stop() == 0
    segments = pathlib.Path(sluice.data_dir, "log").rglob("*.seg")
    segment = max(segments, key=lambda f: f.read_bytes().count(b"event_type"))
    data = bytearray(segment.read_bytes())
    at = data.index(b'"id":50')
    data[at + 6] ^= 1
    segment.write_bytes(data)
    done = sluice.run("log", "verify", sluice.data_dir)
    assert done.returncode == 1 and segment.name in done.stdout
    sluice.start()
    stream = sluice.create_stream(receiver.url, stream_historic_data=True)
    wait_until(lambda: len(receiver.record_ids()) == 90)
    assert receiver.record_ids() == [i for i in range(100) if not 50 <= i < 60]
    ready = sluice.call("GET", "/readyz")
    assert ready.status_code == 503
    assert sluice.ingest("events", [event(1000)]).status_code == 200
    wait_until(lambda: 1000 in receiver.record_ids())
    assert sluice.stream(stream["id"])["status"]["id"] == 1


def test_demo_shows_the_flow(binary, tmp_path):
    demo = subprocess.Popen([binary, "demo", "--data-dir", tmp_path / "demo", "--listen", "127.0.0.1:0"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            stdin=subprocess.DEVNULL)
    shown = ""
    while not re.search(r"receiver +Running +delivered +[1-9]\d+", shown) or \
            not re.search(r"inspector +Running +delivered +[1-9]\d+", shown):
        line = demo.stdout.readline()
        assert line, demo.stderr.read()
        shown += line
    command = re.search(r"curl -H 'Authorization: (Bearer \S+)' '(http://\S+/inspector\?limit=1)'", shown)
    looked = requests.get(command[2], headers={"Authorization": command[1]}, timeout=30)
    assert looked.json()["items"][0]["body"].startswith('[{"')
    demo.send_signal(signal.SIGINT)
    out, errors = demo.communicate(timeout=30)
    assert demo.returncode == 0, errors
    assert "records/s" in shown and out.count("0 gaps, 0 out of order, 0 changed bodies") == 1, out


def test_sigterm_stops_within_its_bound_with_dead_destinations(sluice, receivers):
    hanging = receivers(answer=lambda delivery: time.sleep(60) or 200)
    sluice.create_stream(hanging.url)
    sluice.ingest("events", [event(1)])
    time.sleep(0.3)
    assert sluice.stop(timeout_s=30) == 0  # the specification's 10 s, three times
