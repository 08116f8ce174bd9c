"""A data directory as some version of Sluice left it, kept for every later version to open.

`python tests/e2e/old_directory.py BINARY` makes tests/data/format-1.tar.xz: do so when a new format
begins (under a new number: what is there stays). Destinations must have a fixed address, for they
are sealed in it; it is one of the loopback's that nobody else uses.
"""

import json
import pathlib
import sys
import tarfile
import tempfile

from support import Receiver, Sluice, event, usage, wait_until

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
ADDRESS = ("127.83.76.67", 18031)  # "SL" "C"
URL = f"http://{ADDRESS[0]}:{ADDRESS[1]}/in"
KEY = "idempotent-once"
STREAM = "/api/v2/data_stream"


def receiver(answer):
    return Receiver(answer=answer, host=ADDRESS[0], port=ADDRESS[1])


def refuse_poison(delivery):
    return 400 if any(record["id"] == 3 for record in delivery.records) else 200


def fill(server):
    """Something of everything that has a format. Returns what a later version must make of it."""
    target = receiver(refuse_poison)
    headers = ["X-Key: sealed-header"]
    retry = {"retry": {"initial_ms": 100, "max_ms": 500}}
    create = {
        "done": {"credentials": {"headers": headers, "size": 4}},
        "both": {"type_id": 3, "credentials": {"size": 50}},
        "filtered": {"filters": [{"field": "event_type_id", "value": [5]}]},
        "paused": {}, "disabled": {}, "frozen": {"delivery": retry | {"linger_ms": 200}},
    }
    streams = {name: server.create_stream(f"{URL}/{name}", name=name, **more)["id"]
               for name, more in create.items()}
    for name, status in (("paused", 2), ("disabled", 5)):
        answer = server.call("PATCH", f"{STREAM}/{streams[name]}", json={"status": status})
        assert answer.status_code == 202
    events = [event(i, type_id=5 if i % 3 == 0 else 1) for i in range(20)]
    server.ingest("events", events[:10], headers={"Idempotency-Key": KEY})
    server.ingest("usage", [usage(100 + i) for i in range(10)])
    answer = server.ingest("events", [event(1, 2), {"id": 7, "why": "no event"}], organisation=2,
                           params={"on_invalid": "skip"})
    assert answer.json()["rejected"] == 1, answer.text
    server.call("PATCH", "/api/v2/organisation/1", role="operator", json={"project": "utility"})
    token = server.call("POST", "/api/v1/application_token", json={"name": "kept", "role": "viewer"})
    wait_until(lambda: all(server.stream(streams[n])["progress"]["lag_records"] == 0
                           for n in ("done", "both", "filtered", "frozen", "disabled")))
    target.close()
    seen = []
    target = receiver(lambda delivery: (seen.append(delivery), 503)[1])
    server.ingest("events", events[10:])
    wait_until(lambda: any(d.headers["x-sluice-stream"] == str(streams["frozen"]) for d in seen))
    frozen = next(d for d in seen if d.headers["x-sluice-stream"] == str(streams["frozen"]))
    server.kill()
    target.close()
    event_ids = list(range(10, 20))
    return {
        "streams": streams,
        "application_token": token.json()["application_token"],
        "frozen": {"webhook_id": frozen.webhook_id, "body": frozen.body.decode()},
        "to_come": {"done": event_ids, "both": event_ids, "frozen": event_ids,
                    "filtered": [i for i in event_ids if i % 3 == 0],
                    "paused": [i for i in range(20) if i != 3], "disabled": []},
    }


def make(binary, archive):
    with tempfile.TemporaryDirectory() as place:
        data = pathlib.Path(place, "data")
        server = Sluice(binary, data, settings="[recordlog]\nsegment_bytes = 1048576\n").start()
        expected = fill(server)
        (data / "reserve").unlink()
        pathlib.Path(place, "expected.json").write_text(json.dumps(expected, indent=1), "utf-8")
        with tarfile.open(archive, "w:xz") as tar:
            for name in ("data", "data.secrets.key", "expected.json"):
                tar.add(pathlib.Path(place, name), name)
    print(archive, archive.stat().st_size, "bytes")


if __name__ == "__main__":
    make(sys.argv[1], DATA / "format-1.tar.xz")
