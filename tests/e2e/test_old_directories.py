"""Every data directory that was kept of an earlier version opens, and all of it is delivered."""

import json
import pathlib
import tarfile

import pytest

from old_directory import DATA, KEY, STREAM, event, receiver, refuse_poison
from support import wait_until

ARCHIVES = sorted(DATA.glob("format-*.tar.xz"))


@pytest.fixture(params=ARCHIVES, ids=lambda archive: archive.name)
def old(request, tmp_path):
    with tarfile.open(request.param) as tar:
        tar.extractall(tmp_path)
    return tmp_path


def ids_to(target, name, streams):
    """Without alerts, each once."""
    ids = [record["id"] for delivery in target.accepted() for record in delivery.records
           if delivery.headers["x-sluice-stream"] == str(streams[name]) and record["id"] < 2 ** 62]
    return list(dict.fromkeys(ids))


def test_it_opens_and_delivers_what_it_owes(start, old):
    expected = json.loads((old / "expected.json").read_text("utf-8"))
    streams = expected["streams"]
    target = receiver(refuse_poison)
    try:
        server = start(data_dir=old / "data")
        assert server.call("GET", "/readyz").status_code == 200
        assert server.run("log", "verify", server.data_dir).returncode == 0
        shown = {s["name"]: s["status"]["id"] for s in server.call("GET", STREAM).json()}
        assert shown == {"done": 1, "both": 1, "filtered": 1, "paused": 2, "disabled": 5, "frozen": 1}
        answer = server.call("PATCH", f"{STREAM}/{streams['paused']}", json={"status": 1})
        assert answer.status_code == 202, answer.text
        for name, ids in expected["to_come"].items():
            wait_until(lambda name=name: server.stream(streams[name])["progress"]["lag_records"] == 0)
            assert ids_to(target, name, streams) == ids, name
        sealed = [d.headers.get("x-key") for d in target.accepted()
                  if d.headers["x-sluice-stream"] == str(streams["done"])]
        assert set(sealed) == {"sealed-header"}
        again = [d.body.decode() for d in target.accepted()
                 if d.webhook_id == expected["frozen"]["webhook_id"]]
        assert again == [expected["frozen"]["body"]]
    finally:
        target.close()

    for name in ("done", "both", "filtered", "frozen"):
        letters = server.call("GET", f"{STREAM}/{streams[name]}/dead_letters").json()["items"]
        assert 3 in [letter["id"] for letter in letters], name
    sent = [event(i, type_id=5 if i % 3 == 0 else 1) for i in range(10)]
    answer = server.ingest("events", sent, headers={"Idempotency-Key": KEY})
    assert answer.status_code == 200
    login = server.call("POST", "/api/v1/authenticate",
                        json={"application_token": expected["application_token"]})
    assert login.status_code == 200, login.text
    rejected = server.call("GET", "/api/v2/quarantine", role="operator").json()["items"]
    assert len(rejected) == 1
    shown = server.call("GET", "/api/v2/organisation", role="operator").json()["items"]
    assert [o["project"] for o in shown if o["id"] == 1] == ["utility"]


def test_one_is_kept_of_the_present_format():
    assert ARCHIVES and all(pathlib.Path(a).stat().st_size < 200_000 for a in ARCHIVES)
