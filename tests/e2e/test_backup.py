"""`sluice backup` of a directory in use, and `sluice restore`."""

import hashlib
import pathlib
import shutil
import threading

from support import event, wait_until


def back_up(server, to):
    done = server.run("backup", "--data-dir", server.data_dir, "--to", str(to))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("backed up to ") and "secrets.key" in done.stderr
    return done


def restore(server, backup, data_dir):
    return server.run("restore", "--from", str(backup), "--data-dir", str(data_dir))


def delivered(receiver, stream):
    """Without the alerts."""
    return [record["id"] for delivery in receiver.accepted() for record in delivery.records
            if delivery.headers["x-sluice-stream"] == str(stream) and record["id"] < 2 ** 62]


def test_a_backup_under_load_has_all_that_was_acknowledged(start, receivers, tmp_path):
    refused = {3}
    target = receivers(answer=lambda d: 400 if {r["id"] for r in d.records} & refused else 200)
    sluice = start()
    stream = sluice.create_stream(target.url, credentials={"size": 7})["id"]
    paused = sluice.create_stream(target.url + "/paused", credentials={"size": 7})["id"]
    assert sluice.call("PATCH", f"/api/v2/data_stream/{paused}", json={"status": 2}).status_code == 202
    acknowledged, enough = [], threading.Event()

    def feed():
        for batch in range(100_000):
            if enough.is_set():
                return
            ids = range(batch * 10, batch * 10 + 10)
            answer = sluice.ingest("events", [event(i) for i in ids])
            assert answer.status_code == 200
            acknowledged.extend(ids)
    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        wait_until(lambda: sluice.stream(stream)["progress"]["dead_letters"] == 1
                   and sluice.stream(stream)["progress"]["delivered"] > 100)
        before = list(acknowledged)
        back_up(sluice, tmp_path / "backup")
        wait_until(lambda: len(acknowledged) > len(before) + 200)
    finally:
        enough.set()
        feeder.join()
    sluice.kill()
    lost_life = len(target.deliveries)

    restored = tmp_path / "restored"
    done = restore(sluice, tmp_path / "backup", restored)
    assert done.returncode == 0, done.stderr
    shutil.copy(sluice.data_dir + ".secrets.key", str(restored) + ".secrets.key")
    again = start(data_dir=restored)
    assert again.call("GET", "/readyz").status_code == 200
    wait_until(lambda: again.stream(stream)["progress"]["lag_records"] == 0)
    assert again.call("PATCH", f"/api/v2/data_stream/{paused}", json={"status": 1}).status_code == 202
    wait_until(lambda: again.stream(paused)["progress"]["lag_records"] == 0)
    letters = again.call("GET", f"/api/v2/data_stream/{stream}/dead_letters").json()["items"]
    assert [letter["id"] for letter in letters] == [3]

    # Of the paused stream nothing had gone out, so all of it comes from the backup.
    ids = delivered(target, paused)
    assert set(before) - refused <= set(ids) and ids == sorted(ids)
    assert set(before) - refused <= set(delivered(target, stream))

    # What comes now has offsets that stood for other records in the lost life.
    again.ingest("events", [event(10 ** 6 + i) for i in range(300)])
    wait_until(lambda: again.stream(stream)["progress"]["lag_records"] == 0)
    assert len(target.deliveries) > lost_life
    bodies = {}
    for delivery in target.deliveries:
        digest = hashlib.sha256(delivery.body).hexdigest()
        assert bodies.setdefault(delivery.webhook_id, digest) == digest, delivery.webhook_id


def test_a_backup_holds_no_secret_and_wants_the_key(start, receiver, tmp_path):
    sluice = start()
    sluice.create_stream(receiver.url, credentials={"headers": ["X-Key: correct-horse"]})
    back_up(sluice, tmp_path / "backup")
    sluice.stop()
    files = [file for file in (tmp_path / "backup").rglob("*") if file.is_file()]
    assert files and all(b"correct-horse" not in file.read_bytes() for file in files)
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert restore(sluice, tmp_path / "backup", tmp_path / "other").returncode == 0
    done = sluice.run("serve", "--data-dir", str(tmp_path / "other"), "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "other.secrets.key" in done.stderr


def test_what_is_no_backup_or_damaged_is_refused(start, tmp_path):
    sluice = start()
    sluice.ingest("events", [event(i) for i in range(100)])
    backup, target = tmp_path / "backup", tmp_path / "target"
    back_up(sluice, backup)
    done = sluice.run("backup", "--data-dir", sluice.data_dir, "--to", str(backup))
    assert done.returncode == 1 and "empty directory" in done.stderr
    done = sluice.run("backup", "--data-dir", str(tmp_path / "none"), "--to", str(target))
    assert done.returncode == 1 and "--data-dir" in done.stderr and not target.exists()

    segment = max(backup.glob("log/p*/*.seg"), key=lambda file: file.stat().st_size)
    good = segment.read_bytes()
    segment.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    done = restore(sluice, backup, target)
    assert done.returncode == 1 and segment.name in done.stderr
    segment.write_bytes(good)
    (backup / "BACKUP").rename(tmp_path / "manifest")
    done = restore(sluice, backup, target)
    assert done.returncode == 1 and "cut short" in done.stderr
    assert not list(pathlib.Path(tmp_path).glob("target*/*"))
    (tmp_path / "manifest").rename(backup / "BACKUP")
    done = restore(sluice, backup, sluice.data_dir)
    assert done.returncode == 1 and "empty directory" in done.stderr
    assert restore(sluice, backup, target).returncode == 0
    assert sluice.run("log", "verify", str(target)).returncode == 0
