"""AwsSqs and AwsFirehose against moto with authentication on."""

import json

import pytest

from aws import ACCOUNT, REGION, Aws, Proxy
from support import FAST_RETRY, event, wait_until

MAY_SEND = {"Action": "sqs:SendMessageBatch", "Resource": "*"}  # moto asks for the call, AWS for SendMessage
MAY_PUT = {"Action": "firehose:PutRecordBatch", "Resource": "*"}


@pytest.fixture
def aws():
    made = Aws()
    yield made
    made.close()


def create(sluice, connection_type, credentials, query=""):
    return sluice.call("POST", "/api/v2/data_stream" + query, json={
        "data_stream_type": {"id": 2}, "delivery": FAST_RETRY,
        "destination": {"connection_type": connection_type, "credentials": credentials}})


def queue(aws, name, **attributes):
    return aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def received(aws, url):
    found = []
    while messages := aws.client("sqs").receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600,
            AttributeNames=["All"]).get("Messages"):
        found += messages
    return found


def on_endpoint(record_id, endpoint):
    return event(record_id, endpoint={"id": endpoint})


def test_a_queue_gets_each_record_as_a_message(start, aws):
    url = queue(aws, "plain")
    keys = aws.user("stream", MAY_SEND)
    aws.lock()
    sluice = start()
    answer = create(sluice, "AwsSqs", {"queue_url": url, "region": REGION} | keys)
    assert answer.status_code == 201, answer.text
    records = [event(i) for i in range(25)]
    sluice.ingest("events", records)
    stream = answer.json()["id"]
    wait_until(lambda: sluice.stream(stream)["progress"]["delivered"] == 25)
    bodies = [message["Body"] for message in received(aws, url)]
    assert sorted(json.loads(body)["id"] for body in bodies) == list(range(25))
    assert json.dumps(records[0], separators=(",", ":")) in bodies


def test_a_fifo_queue_is_grouped_by_endpoint_and_takes_nothing_twice(start, aws):
    url = queue(aws, "ordered.fifo", FifoQueue="true")
    keys = aws.user("stream", MAY_SEND)
    aws.lock()
    lost = [True]

    def lose_the_first_answer(path, headers, body):
        if not lost[0] or b'"Entries":[]' in body:
            return None
        lost[0] = False
        sent = proxy.ahead(path, headers, body)
        assert sent[0] == 200
        return 503, b""

    proxy = Proxy(aws, lose_the_first_answer)
    sluice = start()
    answer = create(sluice, "AwsSqs", {
        "queue_url": url.replace(aws.url, proxy.url), "region": REGION} | keys)
    assert answer.status_code == 201, answer.text
    sluice.ingest("events", [on_endpoint(i, 70 + i % 2) for i in range(10)])
    stream = answer.json()["id"]
    wait_until(lambda: sluice.stream(stream)["progress"]["delivered"] == 10)
    proxy.close()
    found = received(aws, url)
    assert len(found) == 10, "what was sent again arrived once"
    for group in ("70", "71"):
        ids = [json.loads(m["Body"])["id"] for m in found
               if m["Attributes"]["MessageGroupId"] == group]
        assert ids == sorted(ids) and len(ids) == 5
    assert {m["Attributes"]["MessageDeduplicationId"] for m in found} == \
        {f"1-event-{i}" for i in range(10)}


@pytest.mark.parametrize("change, said", [
    ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
    ({"queue_url": f"{{url}}/{ACCOUNT}/missing"}, "QueueDoesNotExist|NonExistentQueue"),
])
def test_the_check_of_a_queue_refuses_in_aws_own_words(start, aws, change, said):
    url = queue(aws, "plain")
    keys = aws.user("stream", MAY_SEND)
    aws.lock()
    change = {key: value.replace("{url}", aws.url) for key, value in change.items()}
    answer = create(start(), "AwsSqs", {"queue_url": url, "region": REGION} | keys | change)
    assert answer.status_code == 422, answer.text
    assert any(one in answer.json()["message"] for one in said.split("|")), answer.text


def test_firehose_gets_a_line_each(start, aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
    aws.client("firehose").create_delivery_stream(
        DeliveryStreamName="f", S3DestinationConfiguration={
            "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/firehose", "BucketARN": "arn:aws:s3:::lake"})
    keys = aws.user("stream", MAY_PUT)
    without = aws.user("without", MAY_SEND)
    aws.lock()
    sluice = start()
    target = {"region": REGION, "stream_name": "f", "endpoint_url": aws.url}
    for wrong in (without, keys | {"secret_access_key": "wrong"}, keys | {"stream_name": "missing"}):
        assert create(sluice, "AwsFirehose", target | wrong).status_code == 422
    answer = create(sluice, "AwsFirehose", target | keys)
    assert answer.status_code == 201, answer.text
    assert "Firehose stream exists" in answer.json()["unproven"]
    assert "unproven" not in sluice.stream(answer.json()["id"])
    records = [event(i) for i in range(7)]
    sluice.ingest("events", records)
    stream = answer.json()["id"]
    wait_until(lambda: sluice.stream(stream)["progress"]["delivered"] == 7)
    files = [one["Key"] for one in s3.list_objects_v2(Bucket="lake")["Contents"]]
    data = b"".join(s3.get_object(Bucket="lake", Key=key)["Body"].read() for key in sorted(files))
    assert [json.loads(line) for line in data.splitlines()] == records
