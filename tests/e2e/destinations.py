"""What the streams of each connection type deliver to in the tests: the real service or its stand-in,
one class a type. ALL finds them by the type's name; test_conformance.py holds it against the types
that the server offers."""

import base64
import csv
import datetime
import io
import json
import pathlib
import secrets
import socket
import threading

from aws import ACCOUNT, REGION, Aws, Proxy, json_error
from kafka_broker import KafkaBroker
from mosquitto_broker import MosquittoBroker, Reader
from rabbit_broker import RabbitBroker
from standins.base import Answer
from standins.datadog import Datadog
from standins.event_hubs import EventHubs
from standins.google import Google, error
from standins.keen import Keen
from standins.salesforce import Salesforce
from support import Receiver, event, free_port, usage
from tls import issue, pem, server_context

PLATFORM_EVENT = (pathlib.Path(__file__).parents[2]
                  / "docs/destinations/SluiceRecord__e.object-meta.xml")
POISON = "poison-for-the-service"
ALL = {}


class Gate:
    """The door before a service on 127.0.0.1. Shut, nobody is there, and whoever was in is out."""

    def __init__(self, behind):
        self.behind = behind
        self.port = free_port()
        self.lock = threading.Lock()
        self.sockets = []
        self.listener = None
        self.open()

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._let_in, args=(self.listener,), daemon=True).start()

    def shut(self):
        self._end(self.listener)
        with self.lock:
            inside, self.sockets = self.sockets, []
        for one in inside:
            self._end(one)

    @staticmethod
    def _end(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()

    def _let_in(self, listener):
        while True:
            try:
                client, _ = listener.accept()
                service = socket.create_connection(("127.0.0.1", self.behind))
            except OSError:
                return
            with self.lock:
                self.sockets += [client, service]
            for pair in (client, service), (service, client):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        self._end(source)
        self._end(target)


class Destination:
    """Where the records of one stream go. `gate` is the door before it."""

    outside = True  # of the server
    gate = None

    def __init_subclass__(cls, name=None):
        if name:
            ALL[name] = cls

    def __init__(self, directory):
        """Starts it. `directory` is its own."""
        raise NotImplementedError

    def settings(self):
        """The stream's `destination`, but for the type."""
        return {"credentials": self.credentials()}

    def credentials(self):
        raise NotImplementedError

    def arrived(self):
        """The ids of the records that came, in the order in which they came."""
        raise NotImplementedError

    def lane(self, record_id):
        """Records of one lane keep their order; here all do."""
        return "all"

    def poison(self, record):
        """The record, changed so that the service refuses it, and it alone."""
        return record | {"description": POISON}

    def go_away(self):
        self.gate.shut()

    def come_back(self):
        self.gate.open()

    def close(self):
        pass


def now():
    """Some services take new records only."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_event(record_id):
    return record_id % 2 == 0


def device_of(record_id):
    return 70 + record_id % 3


def record(record_id):
    """An event or, of an odd id, a usage record of one of three devices."""
    device = {"endpoint": {"id": device_of(record_id), "name": f"r{record_id}"}}
    if is_event(record_id):
        return event(record_id, timestamp=now()) | device
    return usage(record_id, start_timestamp=now(), end_timestamp=now()) | device


def larger(one, by):
    """Than it was, also when packed."""
    return one | {"description": secrets.token_hex(by // 2)}


def ids_of(texts):
    return [json.loads(text)["id"] for text in texts]


class Webhook(Destination, name="RestAPI"):
    def __init__(self, directory):
        self.receiver = Receiver(
            answer=lambda delivery: 400 if POISON.encode() in delivery.body else 200)
        self.gate = Gate(self.receiver.port)

    def credentials(self):
        return {"url": f"http://127.0.0.1:{self.gate.port}/in"}

    def arrived(self):
        return self.receiver.record_ids()

    def close(self):
        self.receiver.close()


class Inspector(Destination, name="Inspector"):
    """Keeps the newest deliveries in the server itself: it refuses none, and is never away."""

    outside = False

    def __init__(self, directory):
        pass

    def credentials(self):
        return {}


class Service(Destination):
    """Of stand-ins that speak HTTP: they believe that they live behind the gate."""

    def __init__(self, standin):
        self.standin = standin
        self.gate = Gate(standin.port)
        standin.port = self.gate.port
        standin.url = f"{standin.url.rsplit(':', 1)[0]}:{self.gate.port}"

    def close(self):
        self.standin.close()


class KeenIO(Service, name="KeenIO"):
    def __init__(self, directory):
        super().__init__(Keen())

    def credentials(self):
        return {"project_id": Keen.PROJECT, "write_key": Keen.WRITE_KEY,
                "collection_name": "all", "endpoint_url": self.standin.url}

    def arrived(self):
        return [one["id"] for one in self.standin.collections.get("all", [])]

    def poison(self, record):
        return record | {"no.dots": 1}


class DatadogPoints(Service, name="Datadog"):
    """Usage goes to points, which have no order, events to logs."""

    def __init__(self, directory):
        super().__init__(Datadog())

    def credentials(self):
        return {"api_key": Datadog.API_KEY, "events_as_logs": True,
                "endpoint_url": self.standin.url}

    def arrived(self):
        names = [tag.removeprefix("endpoint_name:r")
                 for metric, tags in list(self.standin.points) if metric == "endpoint.volume"
                 for tag in tags if tag.startswith("endpoint_name:r")]
        logs = list(self.standin.logs)
        return sorted(map(int, names)) + ids_of(log["message"] for log in logs)

    def lane(self, record_id):
        return "logs" if is_event(record_id) else record_id

    def poison(self, record):
        old = "2026-01-01T00:00:00Z"
        return record | ({"timestamp": old} if "timestamp" in record else {"end_timestamp": old})


class PlatformEvents(Service, name="Salesforce"):
    def __init__(self, directory):
        super().__init__(Salesforce(PLATFORM_EVENT))

    def credentials(self):
        return {"client_id": Salesforce.CLIENT_ID, "client_secret": Salesforce.CLIENT_SECRET,
                "event_name": Salesforce.EVENT, "login_url": self.standin.url}

    def arrived(self):
        return [int(one.get("EventId__c") or one["RecordId__c"])
                for one in list(self.standin.events)]

    def poison(self, record):
        long = "n" * 256
        return record | {"endpoint": {"id": 7, "name": long}, "currency": {"code": long}}


class ByDevice(Service):
    """The device is the key, and only what has one key keeps its order."""

    def lane(self, record_id):
        return device_of(record_id)


class Hub(ByDevice, name="EventHubs"):
    def __init__(self, directory):
        self.authority = issue("authority")
        super().__init__(EventHubs(server_context(self.authority, directory)))
        take = self.standin.answer
        self.standin.answer = lambda request: (
            Answer(413) if POISON.encode() in request.body else take(request))

    def settings(self):
        return {"credentials": {"connection_string": self.standin.connection_string()},
                "ca": pem(self.authority[0])}

    def arrived(self):
        return ids_of(body for _, body in list(self.standin.events))


class Topic(ByDevice, name="PubSub"):
    def __init__(self, directory):
        super().__init__(Google())
        take = self.standin.answer
        self.standin.answer = lambda request: (
            error(400, "INVALID_ARGUMENT", "told to") if self._is_refused(request)
            else take(request))

    @staticmethod
    def _is_refused(request):
        if not request.path.endswith(":publish"):
            return False
        return any(POISON.encode() in base64.b64decode(message["data"])
                   for message in request.json()["messages"])

    def credentials(self):
        return {"cps_project": Google.PROJECT, "cps_topic": Google.TOPIC,
                "service_account": self.standin.service_account(),
                "endpoint_url": self.standin.url}

    def arrived(self):
        return ids_of(data for _, data in list(self.standin.messages))


class OnAws(Destination):
    """moto, locked, behind a proxy that refuses what `refusal(body)` says, and that knows in which
    order the rest came: the files that moto writes have no more than a second."""

    def __init__(self, *rights):
        self.aws = Aws()
        self.prepare()
        self.keys = self.aws.user("stream", *rights)
        self.aws.lock()
        self.proxy = Proxy(self.aws, lambda path, headers, body: self.refusal(body))
        self.gate = Gate(self.proxy.port)
        self.url = f"http://127.0.0.1:{self.gate.port}"

    def prepare(self):
        raise NotImplementedError

    def refusal(self, body):
        return None

    def in_order(self, stored):
        """Ids of stored records, in the order in which they were taken."""
        order = {one: at for at, one in enumerate(
            found for body in self.proxy.taken for found in self.ids_in(body))}
        return sorted(stored, key=order.__getitem__)

    def ids_in(self, body):
        """Of a request that was taken."""
        raise NotImplementedError

    def close(self):
        self.proxy.close()
        self.aws.close()


class Bucket(OnAws, name="S3"):
    """A file holds one kind."""

    bucket = "sluice-records"

    def __init__(self, directory):
        super().__init__({"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{self.bucket}/*"})

    def prepare(self):
        self.aws.client("s3").create_bucket(
            Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def refusal(self, body):
        refused = b"<Error><Code>EntityTooLarge</Code><Message>told to</Message></Error>"
        return (400, refused) if POISON.encode() in body else None

    def poison(self, record):
        return record | {"endpoint": {"id": 7, "name": POISON}}  # a column has it

    def credentials(self):
        return {"region": REGION, "bucket_name": self.bucket, "flush_size": 10,
                "endpoint_url": self.url} | self.keys

    def ids_in(self, body):
        return [int(row["id"]) for row in csv.DictReader(io.StringIO(body.decode(), newline=""))]

    def arrived(self):
        s3 = self.aws.client("s3")
        files = s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return self.in_order([
            one for file in files for one in self.ids_in(
                s3.get_object(Bucket=self.bucket, Key=file["Key"])["Body"].read())])

    def lane(self, record_id):
        return is_event(record_id)


class DataStream(OnAws, name="AwsKinesis"):
    def __init__(self, directory):
        super().__init__({"Action": "kinesis:PutRecords", "Resource": "*"})

    def prepare(self):
        self.aws.client("kinesis").create_stream(StreamName="s", ShardCount=1)

    def credentials(self):
        return {"region": REGION, "stream_name": "s", "endpoint_url": self.url} | self.keys

    def arrived(self):
        kinesis = self.aws.client("kinesis")
        shard = kinesis.describe_stream(StreamName="s")["StreamDescription"]["Shards"][0]
        at = kinesis.get_shard_iterator(StreamName="s", ShardId=shard["ShardId"],
                                        ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        found = kinesis.get_records(ShardIterator=at, Limit=10000)["Records"]
        return ids_of(one["Data"] for one in found)

    def poison(self, record):
        """1 MiB is the limit of record and partition key together."""
        large = record | {"endpoint": {"id": 10 ** 18}, "description": ""}
        room = 1024 * 1024 - len(json.dumps(large, separators=(",", ":")))
        return large | {"description": "x" * (room - 1)}


class DeliveryStream(OnAws, name="AwsFirehose"):
    LIMIT = 1000 * 1024

    def __init__(self, directory):
        super().__init__({"Action": "firehose:PutRecordBatch", "Resource": "*"})

    def prepare(self):
        self.aws.client("s3").create_bucket(
            Bucket="lake", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.aws.client("firehose").create_delivery_stream(
            DeliveryStreamName="f", S3DestinationConfiguration={
                "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/firehose",
                "BucketARN": "arn:aws:s3:::lake"})

    def refusal(self, body):
        """Which moto does not: https://docs.aws.amazon.com/firehose/latest/APIReference/API_Record.html"""
        if len(body) < self.LIMIT:
            return None
        if any(len(base64.b64decode(one["Data"])) > self.LIMIT
               for one in json.loads(body)["Records"]):
            return json_error("ValidationException", "Member must have length less than or equal "
                              "to 1024000")
        return None

    def credentials(self):
        return {"region": REGION, "stream_name": "f", "endpoint_url": self.url} | self.keys

    def ids_in(self, body):
        return ids_of(base64.b64decode(one["Data"]) for one in json.loads(body)["Records"])

    def arrived(self):
        s3 = self.aws.client("s3")
        files = s3.list_objects_v2(Bucket="lake").get("Contents", [])
        return self.in_order(ids_of(
            line for file in files
            for line in s3.get_object(Bucket="lake", Key=file["Key"])["Body"].iter_lines()))

    def poison(self, record):
        return larger(record, self.LIMIT)


class Queue(OnAws, name="AwsSqs"):
    """A FIFO queue, whose groups are the devices; another one keeps no order."""

    def __init__(self, directory):
        self.found = []
        super().__init__({"Action": "sqs:SendMessageBatch", "Resource": "*"})

    def prepare(self):
        self.queue = self.aws.client("sqs").create_queue(
            QueueName="q.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]

    def credentials(self):
        return {"queue_url": self.queue.replace(self.aws.url, self.url),
                "region": REGION} | self.keys

    def arrived(self):
        sqs = self.aws.client("sqs")
        while messages := sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10,
                                              VisibilityTimeout=0).get("Messages"):
            for message in messages:
                self.found.append(json.loads(message["Body"])["id"])
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return self.found

    def lane(self, record_id):
        return device_of(record_id)

    def refusal(self, body):
        """As of characters that a message must not hold: of the request, whichever entry has them.
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""
        return json_error("InvalidMessageContents") if POISON.encode() in body else None


class Broker(Destination):
    """Of types that speak to a broker; it is behind the gate, or it comes and goes itself."""

    def close(self):
        self.broker.close()


class KafkaTopic(Broker, name="Kafka"):
    """The broker tells its clients its own address: a gate would be passed by."""

    def __init__(self, directory):
        self.broker = KafkaBroker(directory / "kafka").start()
        self.broker.create_topic("t", max_message_bytes=200_000)

    def credentials(self):
        return {"brokers": self.broker.address, "topic": "t"}

    def arrived(self):
        return ids_of(message.value() for message in self.broker.messages("t"))

    def poison(self, record):
        return larger(record, 500_000)

    def go_away(self):
        self.broker.kill()

    def come_back(self):
        self.broker.start()


class RabbitQueue(Broker, name="Amqp"):
    def __init__(self, directory):
        self.broker = RabbitBroker(directory / "rabbit", more="max_message_size = 5000").start()
        self.broker.declare("q")
        self.gate = Gate(self.broker.port)
        self.found = []

    def credentials(self):
        return {"url": f"amqp://127.0.0.1:{self.gate.port}", "routing_key": "q",
                "username": self.broker.user, "password": self.broker.password}

    def arrived(self):
        self.found += ids_of(body for _, _, body in self.broker.messages("q"))
        return self.found

    def poison(self, record):
        return larger(record, 10_000)


class MqttTopic(Broker, name="Mqtt"):
    def __init__(self, directory):
        self.broker = MosquittoBroker(directory / "mosquitto", more="max_packet_size 5000").start()
        self.reader = Reader(self.broker)
        self.gate = Gate(self.broker.port)

    def credentials(self):
        return {"url": f"mqtt://127.0.0.1:{self.gate.port}", "topic": "open/all",
                "username": self.broker.user, "password": self.broker.password}

    def arrived(self):
        return ids_of(payload for _, payload in list(self.reader.found))

    def poison(self, record):
        return larger(record, 10_000)

    def close(self):
        self.reader.close()
        super().close()
