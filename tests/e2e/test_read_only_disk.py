"""A file system that turns read-only under the server, as ext4 does by itself after a fault."""

import pathlib
import subprocess

import pytest

from support import check_ledger, event, wait_until

MIB = 1 << 20
SETTINGS = f"""
[limits]
reserve_bytes = {4 * MIB}
data_bytes_max = {128 * MIB}
[recordlog]
segment_bytes = {MIB}
"""


class Disk:
    """An ext4 of its own, in a file."""

    def __init__(self, directory):
        self.image = directory / "disk.img"
        self.mounted_at = directory / "disk"
        self.mounted_at.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(256 * MIB)

    def run(self, *command):
        return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0

    def mount(self):
        return self.run("mount", "-o", "loop", self.image, self.mounted_at)

    def turn_read_only(self):
        """ext4's own way to try out what it does when its journal fails."""
        return self.run("mount", "-o", "remount,abort", self.mounted_at)

    def unmount(self):
        return self.run("umount", self.mounted_at)


@pytest.fixture
def disk(tmp_path):
    made = Disk(tmp_path)
    if not (made.run("mkfs.ext4", "-q", "-F", made.image) and made.mount()):
        pytest.skip("mounting an ext4 from a file needs root and loop devices")
    yield made
    made.run("umount", "-l", made.mounted_at)


def test_a_disk_turned_read_only_refuses_ingest_and_loses_nothing(start, disk, receivers):
    taking = []
    target = receivers(answer=lambda _: 200 if taking else 503)
    sluice = start(data_dir=disk.mounted_at / "data", settings=SETTINGS)
    stream = sluice.create_stream(target.url, credentials={"size": 1}, delivery={
        "retry": {"initial_ms": 10, "max_ms": 100}})["id"]
    for role in ("ingest", "operator"):
        sluice.token(role)  # a process of its own, that writes into the catalog
    for first in range(0, 50, 10):
        assert sluice.ingest("events", [event(first + i) for i in range(10)]).status_code == 200
    wait_until(lambda: target.deliveries)

    assert disk.turn_read_only()
    answer = sluice.ingest("events", [event(1000)])
    assert answer.status_code == 503 and answer.headers["Retry-After"], answer.text
    answer = sluice.call("POST", "/api/v2/organisation", role="operator", json={"id": 77})
    assert answer.status_code == 503, answer.text
    assert sluice.call("GET", "/readyz").status_code == 503
    assert sluice.call("GET", "/healthz").status_code == 200
    # What needs no write goes on: batches of one record follow from the cursor.
    taking.append(True)
    wait_until(lambda: set(target.record_ids()) == set(range(50)), what="deliveries going on")
    assert sluice.stream(stream)["status"]["id"] == 1
    assert len(sluice.call("GET", "/api/v2/records").json()["items"]) == 50
    assert sluice.ingest("events", [event(1000)]).status_code == 503
    assert sluice.stop() == 0

    # The operator mounts it anew: no hand work in the directory.
    assert disk.unmount() and disk.mount()
    sluice.start()
    assert sluice.call("GET", "/readyz").status_code == 200
    assert sluice.ingest("events", [event(2000)]).status_code == 200
    wait_until(lambda: 2000 in target.record_ids())
    ledger = [record["id"] for record in check_ledger(target.accepted())]
    assert [i for i in ledger if i != 1000] == [*range(50), 2000]
    sluice.stop()
    assert sluice.run("log", "verify", sluice.data_dir).returncode == 0


def test_a_start_on_a_read_only_disk_says_so_in_one_sentence(start, disk):
    sluice = start(data_dir=disk.mounted_at / "data", settings=SETTINGS)
    assert sluice.stop() == 0
    assert disk.turn_read_only()
    done = sluice.run("serve", "--data-dir", sluice.data_dir, "--listen", "127.0.0.1:0",
                      env={"SLUICE_LIMITS_RESERVE_BYTES": str(4 * MIB)})
    assert done.returncode == 1 and done.stdout == "", done.stdout
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1 and "Read-only file system" in said[0] and str(disk.mounted_at) in said[0]
    assert not pathlib.Path(sluice.data_dir, "core").exists()
