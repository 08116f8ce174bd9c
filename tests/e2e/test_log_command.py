"""sluice log repair, and what happens to a full log."""

import pathlib

from support import event, wait_until


def damage_a_record(sluice):
    """Overwrites bytes of the first record on disk; returns the segment's path."""
    for path in sorted(pathlib.Path(sluice.data_dir, "log").rglob("*.seg")):
        content = path.read_bytes()
        place = content.find(b'"id"')
        if place >= 0:
            with path.open("r+b") as file:
                file.seek(place)
                file.write(b"XXXX")
            return path
    raise AssertionError("no record in any segment")


def test_repair_moves_damage_to_quarantine_and_leaves_a_clean_log(sluice, receiver):
    sluice.ingest("events", [event(i) for i in range(100)])
    refused = sluice.run("log", "repair", sluice.data_dir)
    assert refused.returncode == 1 and "in use" in refused.stderr

    sluice.stop()
    damaged = damage_a_record(sluice)
    assert sluice.run("log", "verify", sluice.data_dir).returncode == 1
    done = sluice.run("log", "repair", sluice.data_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(damaged) in done.stdout and "offsets 0 to before 100" in done.stdout
    assert "1 places were damaged, 0 still are" in done.stdout
    copies = list(pathlib.Path(sluice.data_dir, "log", "quarantine").glob("*.damaged"))
    assert len(copies) == 1 and b"XXXX" in copies[0].read_bytes()
    verified = sluice.run("log", "verify", sluice.data_dir)
    assert verified.returncode == 0, verified.stdout
    assert "0 places damaged" in verified.stdout
    again = sluice.run("log", "repair", sluice.data_dir)
    assert again.returncode == 0 and "0 places were damaged" in again.stdout

    copies[0].unlink()  # the operator has looked
    sluice.start()
    assert sluice.call("GET", "/readyz").status_code == 200
    sluice.create_stream(receiver.url)
    sluice.ingest("events", [event(i) for i in range(100, 110)])
    wait_until(lambda: receiver.record_ids() == list(range(100, 110)))


def test_repair_of_a_directory_without_a_log_changes_nothing(sluice, tmp_path):
    done = sluice.run("log", "repair", str(tmp_path / "nothing"))
    assert done.returncode == 1 and "holds no record log" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_a_full_log_refuses_records_until_the_stream_has_caught_up(start, receivers):
    receiver = receivers(answer=lambda delivery: 200)
    sluice = start(settings="[recordlog]\nsegment_bytes = 1048576\n"
                            "[limits]\ndata_bytes_max = 16777216\n")
    stream = sluice.create_stream(receiver.url)
    paused = sluice.call("PATCH", f"/api/v2/data_stream/{stream['id']}", json={"status": {"id": 2}})
    assert paused.status_code == 202, paused.text
    next_id = 0

    def send():
        nonlocal next_id
        records = [event(i, pad="x" * 900) for i in range(next_id, next_id + 500)]
        answer = sluice.call("POST", "/api/v2/records/events", role="ingest", json=records)
        if answer.status_code == 200:
            next_id += 500
        return answer

    for _ in range(100):
        answer = send()
        if answer.status_code != 200:
            break
    assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
    assert sluice.call("GET", "/readyz").status_code == 503
    assert "sluice_recordlog_full 1" in sluice.call("GET", "/metrics").text

    resumed = sluice.call("PATCH", f"/api/v2/data_stream/{stream['id']}", json={"status": {"id": 1}})
    assert resumed.status_code == 202, resumed.text
    wait_until(lambda: len(receiver.record_ids()) == next_id)
    wait_until(lambda: send().status_code == 200)
    wait_until(lambda: receiver.record_ids() == list(range(next_id)))
    assert "sluice_recordlog_early_deleted_segments_total 0" not in sluice.call("GET", "/metrics").text
    assert sluice.call("GET", "/readyz").status_code == 200
