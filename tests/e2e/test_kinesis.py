"""AwsKinesis against moto with authentication on."""

import pytest

from aws import REGION, Aws, Proxy, json_error
from support import FAST_RETRY, event, wait_until

STREAM = "sluice-events"
MAY_PUT = {"Action": "kinesis:PutRecords", "Resource": "*"}


@pytest.fixture
def aws():
    made = Aws()
    made.client("kinesis").create_stream(StreamName=STREAM, ShardCount=1)
    yield made
    made.close()


def create(sluice, aws, validate=True, url=None, delivery=None, **credentials):
    body = {"data_stream_type": {"id": 2}, "delivery": FAST_RETRY | (delivery or {}),
            "destination": {"connection_type": "AwsKinesis",
                            "credentials": {"region": REGION, "stream_name": STREAM,
                                            "endpoint_url": url or aws.url} | credentials}}
    path = "/api/v2/data_stream" + ("" if validate else "?validate=false")
    return sluice.call("POST", path, json=body)


def stored(aws):
    """What lies in the stream, in order: (partition key, bytes)."""
    kinesis = aws.client("kinesis")
    shard = kinesis.describe_stream(StreamName=STREAM)["StreamDescription"]["Shards"][0]
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard["ShardId"],
                                          ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator, Limit=10000)["Records"]
    return [(record["PartitionKey"], record["Data"]) for record in records]


def test_records_arrive_one_each_in_order_under_their_endpoints_key(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    answer = create(sluice, aws, **keys)
    assert answer.status_code == 201, answer.text
    assert answer.json()["destination"]["credentials"]["secret_access_key"] == "***"
    raw = [b'{"id":%d,  "timestamp":"2026-11-21T08:38:02Z","event_type":{"id":1},'
           b'"endpoint":{"id":%d},"cost":0.0012345678}' % (i, 70 + i % 3) for i in range(1200)]
    assert sluice.ingest("events", b"\n".join(raw)).status_code == 200
    wait_until(lambda: len(stored(aws)) == 1200)
    assert [data for _, data in stored(aws)] == raw
    assert [key for key, _ in stored(aws)] == [str(70 + i % 3) for i in range(1200)]
    stream = sluice.stream(answer.json()["id"])
    assert stream["remote_status"] == 200 and stream["last_error"] is None
    attempts = sluice.call("GET", f"/api/v2/data_stream/{stream['id']}/attempts").json()["items"]
    assert len(attempts) >= 3, "at most 500 records a request"
    for secret in keys["secret_access_key"], "Signature=":
        assert secret not in str(attempts)


@pytest.mark.parametrize("change, said", [
    ({"secret_access_key": "wrong"}, "InvalidSignatureException|SignatureDoesNotMatch"),
    ({"access_key_id": "AKIAUNKNOWN"}, "UnrecognizedClientException|InvalidClientTokenId"),
    ({"stream_name": "other"}, "ResourceNotFoundException"),
])
def test_the_check_refuses_what_cannot_work_in_aws_own_words(start, aws, change, said):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    answer = create(sluice, aws, **(keys | change))
    assert answer.status_code == 422, answer.text
    assert any(one in answer.json()["message"] for one in said.split("|")), answer.text
    assert sluice.call("GET", "/api/v2/data_stream").json() == []


def test_the_check_finds_a_missing_permission_and_stores_nothing(start, aws):
    without = aws.user("without", {"Action": "kinesis:DescribeStream", "Resource": "*"})
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    sluice = start()
    answer = create(sluice, aws, **without)
    assert answer.status_code == 422 and "AccessDenied" in answer.text, answer.text
    assert create(sluice, aws, **keys).status_code == 201
    assert stored(aws) == []


def test_a_role_is_assumed_under_the_organisations_external_id_alone(start, aws):
    ours = aws.role("ours", "org-1", MAY_PUT)
    foreign = aws.role("foreign", "org-2", MAY_PUT)
    settings = aws.operator_settings()
    aws.lock()
    sluice = start(settings=settings)
    refused = create(sluice, aws, role_arn=foreign)
    assert refused.status_code == 422 and "AssumeRole" in refused.text, refused.text
    assert "AccessDenied" in refused.text
    assert create(sluice, aws, role_arn=ours).status_code == 201
    sluice.ingest("events", [event(1), event(2)])
    wait_until(lambda: len(stored(aws)) == 2)


def test_a_server_without_keys_says_so(start, aws):
    sluice = start()
    answer = create(sluice, aws, role_arn="arn:aws:iam::1:role/r")
    assert answer.status_code == 422 and "aws.access_key_id" in answer.text


def test_throttled_and_partly_failed_requests_go_again_in_order(start, aws):
    keys = aws.user("stream", MAY_PUT)
    aws.lock()
    told = [json_error("ProvisionedThroughputExceededException"),
            json_error("ServiceUnavailable", status=503),
            (200, b'{"FailedRecordCount":1,"Records":[{"SequenceNumber":"1","ShardId":"a"},'
                  b'{"ErrorCode":"InternalFailure","ErrorMessage":"m"},'
                  b'{"SequenceNumber":"2","ShardId":"a"}]}')]
    proxy = Proxy(aws, lambda path, headers, body: told.pop(0) if told else None)
    sluice = start()
    answer = create(sluice, aws, validate=False, url=proxy.url, **keys)
    assert answer.status_code == 201, answer.text
    sluice.ingest("events", [event(i) for i in range(3)])
    # The first one was "taken" by the proxy alone; from the second on all came to moto.
    wait_until(lambda: len(stored(aws)) == 2)
    assert [b'"id":1,' in stored(aws)[0][1], b'"id":2,' in stored(aws)[1][1]] == [True, True]
    wait_until(lambda: sluice.stream(answer.json()["id"])["progress"]["delivered"] == 3)
    proxy.close()
