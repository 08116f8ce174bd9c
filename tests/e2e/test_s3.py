"""S3 against moto with authentication on; what is written is read back by two CSV readers."""

import csv
import gzip
import http.server
import io
import json
import pathlib
import re
import threading
from http.client import HTTPConnection

import pytest

from aws import ACCOUNT, REGION, Aws, Proxy
from support import FAST_RETRY, event, has_sanitizer, usage, wait_until

BUCKET = "sluice-records"
ROOT = pathlib.Path(__file__).resolve().parents[2]
MAY_PUT = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}


@pytest.fixture
def aws():
    made = Aws()
    made.client("s3").create_bucket(Bucket=BUCKET,
                                    CreateBucketConfiguration={"LocationConstraint": REGION})
    yield made
    made.close()


def create(sluice, aws, type_id=2, validate=True, url=None, delivery=None, fmt=None,
           organisation=1, **credentials):
    destination = {"connection_type": "S3",
                   "credentials": {"region": REGION, "bucket_name": BUCKET, "flush_size": 10,
                                   "endpoint_url": url or aws.url} | credentials}
    if fmt:
        destination["format"] = fmt
    body = {"data_stream_type": {"id": type_id}, "delivery": FAST_RETRY | (delivery or {}),
            "destination": destination}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body, organisation=organisation)


def files(aws):
    """name -> bytes"""
    s3 = aws.client("s3")
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {one["Key"]: s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read()
            for one in listed}


def rows_of(data):
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def rows_by_hand(data):
    """Another reader, after RFC 4180, that tells nothing from an empty value."""
    text, rows, row, at = data.decode(), [], [], 0
    while at < len(text):
        if text[at] == '"':
            cell = re.compile(r'"((?:[^"]|"")*)"').match(text, at)
            row.append(cell[1].replace('""', '"'))
            at = cell.end()
        else:
            assert text[at] in ",\n", f"an unquoted value at {at}"
            row.append(None)
        if text[at] == "\n":
            rows.append(row)
            row = []
        at += 1
        if text[at - 1] == "," and text[at] == "\n":
            row.append(None)
            rows.append(row)
            row = []
            at += 1
    return rows


def test_usage_arrives_field_by_field(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    answer = create(sluice, aws, type_id=1, **keys)
    assert answer.status_code == 201, answer.text
    assert answer.json()["destination"]["format"] == "Csv"
    assert files(aws) == {}, "the check writes nothing"
    records = [usage(9223372036854775000 + i, cost=i / 8, imsi=f"00101{i:010}",
                     endpoint={"id": 70 + i, "name": f'pump "{i}", north', "tags": None},
                     sim={"id": i, "iccid": "8988303000000011085"},
                     operator={"id": 4, "name": "Test", "country": {"id": 74, "name": "Germany"}},
                     tariff={"id": 64, "name": "T", "ratezone": {"id": 83, "name": "Z"}})
               for i in range(10)]
    assert sluice.ingest("usage", records).status_code == 200
    wait_until(lambda: files(aws))
    (name, data), = files(aws).items()
    assert re.fullmatch(r"cdr_20\d{6}_\d{6}\.csv", name)
    rows = rows_of(data)
    assert len(rows) == 10
    for record, row in zip(records, rows):
        assert row["id"] == str(record["id"])
        assert row["event_start_timestamp"] == "2026-11-21 08:00:00"
        assert row["event_stop_timestamp"] == "2026-11-21 08:38:02"
        assert row["organisation_id"] == "1" and row["organisation_name"] == "Test"
        assert row["endpoint_id"] == str(record["endpoint"]["id"])
        assert row["endpoint_name"] == record["endpoint"]["name"]
        assert row["endpoint_tags"] == ""
        assert row["imsi"] == record["imsi"] and row["iccid"] == record["sim"]["iccid"]
        assert row["operator_country_name"] == "Germany" and row["ratezone_name"] == "Z"
        assert (row["volume"], row["volume_tx"], row["volume_rx"]) == \
            ("0.022331", "0.008531", "0.013800")
        assert row["cost"] == f"{record['cost']:.10f}"
    by_hand = rows_by_hand(data)
    assert by_hand[0] == list(rows[0])
    assert [[cell or "" for cell in row] for row in by_hand[1:]] == \
        [list(row.values()) for row in rows]


def test_both_kinds_get_files_of_their_own_and_names_are_not_used_twice(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    answer = create(sluice, aws, type_id=3, prefix="all/", **keys)
    assert answer.status_code == 201, answer.text
    for start_id in range(0, 60, 4):
        sluice.ingest("events", [event(i) for i in range(start_id, start_id + 2)])
        sluice.ingest("usage", [usage(i) for i in range(start_id + 2, start_id + 4)])
    wait_until(lambda: sluice.stream(answer.json()["id"])["progress"]["delivered"] == 60)
    found = files(aws)
    assert all(re.fullmatch(r"all/(events|cdr)_\d{8}_\d{6}(_\d+)?\.csv", name) for name in found)
    for kind, ids in (("events", [i for i in range(60) if i % 4 < 2]),
                      ("cdr", [i for i in range(60) if i % 4 > 1])):
        of_kind = [data for name, data in found.items() if f"/{kind}_" in name]
        assert sorted(int(row["id"]) for data in of_kind for row in rows_of(data)) == ids


def test_a_file_closes_at_its_interval_and_empty_ones_are_not_written(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    assert create(sluice, aws, fmt="JsonLines", compression="gzip", flush_size=100,
                  **keys).status_code == 201
    raw = [b'{"id":1, "timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1}}',
           b'{"id":2,"timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},"cost":1.50}']
    sluice.ingest("events", b"\n".join(raw))
    wait_until(lambda: files(aws), timeout_s=40)
    (name, data), = files(aws).items()
    assert re.fullmatch(r"events_\d{8}_\d{6}\.ndjson\.gz", name)
    assert gzip.decompress(data) == b"\n".join(raw) + b"\n"


def test_a_file_keeps_name_and_bytes_through_failures_and_a_crash(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    failing = [True]
    proxy = Proxy(aws, lambda path, headers, body: (503, b"") if failing[0] else None)
    sluice = start()
    answer = create(sluice, aws, validate=False, url=proxy.url, **keys)
    assert answer.status_code == 201, answer.text
    sluice.ingest("events", [event(i) for i in range(20)])
    wait_until(lambda: len(proxy.requests) >= 2)
    sluice.kill()
    sluice.start()
    tried = len(proxy.requests)
    wait_until(lambda: len(proxy.requests) >= tried + 2)
    failing[0] = False
    wait_until(lambda: len(files(aws)) == 2)
    proxy.close()
    attempts = {}
    for one in proxy.requests:
        assert attempts.setdefault(one.path, one.body) == one.body, f"{one.path} stood for two files"
    assert len(attempts) == 2
    assert sorted(int(row["id"]) for data in files(aws).values() for row in rows_of(data)) == \
        list(range(20))


COUNT = 100_000
TEXT = "x" * 620  # of a record of about 766 bytes


def ingest_large(sluice):
    for begin in range(0, COUNT, 10_000):
        lines = b"\n".join(b'{"id":%d,"timestamp":"2026-11-21T08:38:02.000Z","event_type":{"id":1},'
                           b'"organisation":{"id":1,"name":"Test"},"description":"%s"}'
                           % (i, TEXT.encode()) for i in range(begin, begin + 10_000))
        assert sluice.ingest("events", lines).status_code == 200


def peak_mib(sluice):
    with open(f"/proc/{sluice.process.pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10


class Uploads:
    """A bucket that reads a third of each file and no more while it `refuses`; then it takes them.
    `broken` and `whole` have the files: name, length, what was read."""

    def __init__(self):
        self.refuses = True
        self.broken, self.whole = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                length = int(self.headers["Content-Length"])
                if outer.refuses:
                    outer.broken.append((self.path, length, self.rfile.read(length // 3)))
                    wait_until(lambda: not outer.refuses)
                    self.close_connection = True
                    return
                outer.whole.append((self.path, length, self.rfile.read(length)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def test_memory_does_not_grow_with_the_size_of_files(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    peaks = []
    for flush_size in (1000, COUNT):
        sluice = start()
        answer = create(sluice, aws, fmt="JsonLines", prefix=f"{flush_size}/",
                        flush_size=flush_size, rotate_interval=120_000,
                        delivery={"timeout_ms": 120_000}, **keys)
        assert answer.status_code == 201, answer.text
        ingest_large(sluice)
        stream_id = answer.json()["id"]
        wait_until(lambda: sluice.stream(stream_id)["progress"]["delivered"] == COUNT,
                   timeout_s=120)
        peaks.append(peak_mib(sluice))
        sluice.close()
    found = files(aws)
    one, = (data for name, data in found.items() if name.startswith(f"{COUNT}/"))
    rows = [json.loads(line) for line in one.splitlines()]
    assert [row["id"] for row in rows] == list(range(COUNT))
    assert all(row["description"] == TEXT for row in rows)
    many = [data for name, data in sorted(found.items()) if name.startswith("1000/")]
    assert len(many) == COUNT // 1000 and sum(map(len, many)) == len(one)
    print(f"peak memory: {peaks[0]} MiB at flush_size 1000, {peaks[1]} MiB at {COUNT}")
    assert peaks[1] < peaks[0] + 40 or has_sanitizer(sluice.binary), peaks


@pytest.mark.parametrize("compression", [{}, {"compression": "gzip"}])
def test_a_large_file_keeps_name_and_bytes_through_a_crash_amid_its_upload(start, aws, compression):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    uploads = Uploads()
    sluice = start()
    answer = create(sluice, aws, fmt="JsonLines", validate=False, url=uploads.url,
                    flush_size=50_000, rotate_interval=120_000,
                    delivery={"timeout_ms": 120_000}, **(keys | compression))
    assert answer.status_code == 201, answer.text
    ingest_large(sluice)
    wait_until(lambda: uploads.broken)
    sluice.kill()
    uploads.refuses = False
    sluice.start()
    wait_until(lambda: len(uploads.whole) == 2, timeout_s=120)
    name, length, begun = uploads.broken[0]
    assert (name, length) == uploads.whole[0][:2]
    assert uploads.whole[0][2].startswith(begun)
    bodies = [body for _, _, body in uploads.whole]
    if compression:
        bodies = [gzip.decompress(body) for body in bodies]
    assert [json.loads(line)["id"] for body in bodies for line in body.splitlines()] == \
        list(range(COUNT))
    uploads.close()


@pytest.mark.parametrize("change, said", [
    ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
    ({"access_key_id": "AKIAUNKNOWN"}, "InvalidAccessKeyId"),
    ({"bucket_name": "no-such-bucket"}, "NoSuchBucket|AccessDenied"),
])
def test_the_check_refuses_what_cannot_work_in_aws_own_words(start, aws, change, said):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    answer = create(sluice, aws, **(keys | change))
    assert answer.status_code == 422, answer.text
    assert any(one in answer.json()["message"] for one in said.split("|")), answer.text


def test_the_check_finds_a_missing_permission(start, aws):
    keys = aws.user("reader", {"Action": "s3:GetObject", "Resource": "*"})
    aws.lock()
    answer = create(start(), aws, **keys)
    assert answer.status_code == 422 and "AccessDenied" in answer.text, answer.text


def test_a_role_needs_the_organisations_external_id(start, aws):
    ours = aws.role("ours", "org-1", MAY_PUT)
    foreign = aws.role("foreign", "org-2", MAY_PUT)
    settings = aws.operator_settings()
    aws.lock()
    sluice = start(settings=settings)
    refused = create(sluice, aws, role_arn=foreign)
    assert refused.status_code == 422 and "AssumeRole" in refused.text, refused.text
    assert create(sluice, aws, role_arn=ours).status_code == 201
    sluice.ingest("events", [event(i) for i in range(10)])
    wait_until(lambda: files(aws))


def test_the_template_of_the_docs_lets_the_server_in_and_nobody_else(start, aws):
    settings = aws.operator_settings()
    cloudformation = aws.client("cloudformation")
    template = (ROOT / "docs/destinations/aws-role.yaml").read_text("utf-8")
    cloudformation.create_stack(StackName="sluice", TemplateBody=template, Parameters=[
        {"ParameterKey": key, "ParameterValue": value} for key, value in {
            "SluicePrincipal": f"arn:aws:iam::{ACCOUNT}:user/operator", "OrganisationId": "1",
            "BucketName": BUCKET}.items()])
    output, = cloudformation.describe_stacks(StackName="sluice")["Stacks"][0]["Outputs"]
    assert output["OutputKey"] == "RoleArn"
    aws.lock()
    sluice = start(settings=settings)
    refused = create(sluice, aws, organisation=2, role_arn=output["OutputValue"])
    assert refused.status_code == 422 and "AssumeRole" in refused.text, refused.text
    answer = create(sluice, aws, role_arn=output["OutputValue"])
    assert answer.status_code == 201, answer.text
    sluice.ingest("events", [event(i) for i in range(10)])
    wait_until(lambda: files(aws))


def test_two_streams_never_write_under_one_name(start, aws):
    sluice = start()
    keys = {"access_key_id": "a", "secret_access_key": "b"}

    def make(**more):
        return create(sluice, aws, validate=False, **(keys | more))

    first = make()
    assert first.status_code == 201
    assert make(type_id=1).status_code == 201, "another kind has other names"
    for refused in (make(), make(type_id=3), make(region="us-east-1"), make(organisation=2)):
        assert refused.status_code == 422, refused.text
        assert "another stream" in refused.text
    moved = make(prefix="p/")
    assert moved.status_code == 201
    path = f"/api/v2/data_stream/{moved.json()['id']}?validate=false"
    back = {"destination": {"credentials": {"prefix": None}}}
    assert sluice.call("PATCH", path, json=back).status_code == 422
    same = {"destination": {"credentials": {"flush_size": 20}}}
    assert sluice.call("PATCH", path, json=same).status_code == 202


def test_formats_belong_to_types(start, aws, receiver):
    sluice = start()
    for body, status in (({"connection_type": "RestAPI", "format": "JsonLines",
                           "credentials": {"url": receiver.url}}, 201),
                         ({"connection_type": "RestAPI", "format": "Xml",
                           "credentials": {"url": receiver.url}}, 422),
                         ({"connection_type": "AwsKinesis", "format": "Csv",
                           "credentials": {"region": "r", "stream_name": "s", "role_arn": "r"}}, 422),
                         ({"connection_type": "S3", "format": "Xml",
                           "credentials": {"region": "r", "bucket_name": "s", "role_arn": "r"}}, 422),
                         ({"connection_type": "S3", "format": "Json",
                           "credentials": {"region": "r", "bucket_name": "s", "role_arn": "r"}}, 201)):
        answer = sluice.call("POST", "/api/v2/data_stream?validate=false",
                             json={"data_stream_type": 2, "destination": body})
        assert answer.status_code == status, answer.text


def test_of_creations_at_once_one_alone_gets_the_place(start):
    sluice = start()
    for round_number in range(20):
        body = json.dumps({"data_stream_type": {"id": 2}, "destination": {
            "connection_type": "S3", "credentials": {
                "region": REGION, "bucket_name": BUCKET, "prefix": f"{round_number}/",
                "access_key_id": "key", "secret_access_key": "secret"}}}).encode()
        waiting = []
        for organisation in range(1, 9):
            connection = HTTPConnection(sluice.url.removeprefix("http://"), timeout=60)
            connection.putrequest("POST", "/api/v2/data_stream?validate=false")
            connection.putheader("Authorization", "Bearer " + sluice.token("admin", organisation))
            connection.putheader("Content-Length", len(body))
            connection.putheader("Content-Type", "application/json")
            connection.endheaders(body[:-1])
            waiting.append(connection)
        for connection in waiting:
            connection.send(body[-1:])
        answers = sorted(connection.getresponse().status for connection in waiting)
        for connection in waiting:
            connection.close()
        assert answers == [201] + [422] * 7
