"""Azure Event Hubs' REST endpoint, as Microsoft documents it:
https://learn.microsoft.com/rest/api/eventhub/send-batch-events (batches, their properties),
https://learn.microsoft.com/rest/api/eventhub/generate-sas-token (signatures),
https://learn.microsoft.com/azure/event-hubs/event-hubs-quotas (1 MB a publication). A publication
goes to one partition, so a batch of several keys is refused."""

import base64
import hashlib
import hmac
import re
import time
import urllib.parse

from standins.base import Answer, StandIn

PUBLICATION_BYTES_MAX = 1024 * 1024


def error(status, detail):
    return Answer(status, f"<Error><Code>{status}</Code><Detail>{detail}</Detail></Error>".encode(),
                  {"Content-Type": "application/xml; charset=utf-8"})


class EventHubs(StandIn):
    HUB = "records"
    KEY_NAME = "sluice"
    KEY = "c2hhcmVkLWFjY2Vzcy1rZXktb2YtdGhlLWh1Yg=="

    def __init__(self, tls):
        super().__init__(tls)
        self.events = []  # (partition key, body), as they came
        self.requests_taken = 0

    def connection_string(self, **changes):
        parts = {"Endpoint": f"sb://127.0.0.1:{self.port}/", "SharedAccessKeyName": self.KEY_NAME,
                 "SharedAccessKey": self.KEY, "EntityPath": self.HUB} | changes
        return ";".join(f"{name}={value}" for name, value in parts.items())

    def fault_of_signature(self, request):
        found = re.fullmatch(r"SharedAccessSignature sr=([^&]+)&sig=([^&]+)&se=(\d+)&skn=([^&]+)",
                             request.headers.get("authorization", ""))
        if not found:
            return "MalformedToken: The credentials are malformed."
        resource, signature, end, name = found.groups()
        mac = hmac.new(self.KEY.encode(), f"{resource}\n{end}".encode(), hashlib.sha256).digest()
        if urllib.parse.unquote(name) != self.KEY_NAME \
                or urllib.parse.unquote(signature) != base64.b64encode(mac).decode():
            return "InvalidSignature: The token has an invalid signature."
        if int(end) < time.time():
            return "ExpiredToken: The token is expired."
        if not (self.url + request.path).lower().startswith(urllib.parse.unquote(resource).lower()):
            return "InvalidAudience: The authorization header contains a token for another resource."
        return None

    def answer(self, request):
        fault = self.fault_of_signature(request)
        if fault:
            return error(401, fault)
        if request.query.get("api-version") != "2014-01" or request.method != "POST":
            return error(400, "The api-version is not supported.")
        if request.path != f"/{self.HUB}/messages":
            return error(404, "The messaging entity could not be found.")
        if request.headers.get("content-type") != "application/vnd.microsoft.servicebus.json":
            return error(400, "The content type is not supported.")
        batch = request.json()
        if not isinstance(batch, list) or not batch:
            return error(400, "The batch holds no message.")
        events = []
        for message in batch:
            if set(message) - {"Body", "BrokerProperties", "UserProperties"} \
                    or not isinstance(message.get("Body"), str):
                return error(400, "A message of the batch is malformed.")
            events.append((message.get("BrokerProperties", {}).get("PartitionKey"), message["Body"]))
        if len({key for key, _ in events}) != 1:
            return error(400, "All messages of a batch must have the same partition key.")
        if sum(len(body.encode()) for _, body in events) > PUBLICATION_BYTES_MAX:
            return error(413, "The request is too large.")
        self.events += events
        self.requests_taken += 1
        return Answer(201)
