"""Salesforce's token endpoint, describe and composite resources, as Salesforce documents them:
https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm (refresh token and
client credentials flows), https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/
(resources_composite_composite.htm: at most 25 subrequests; resources_sobject_describe.htm;
errorcodes.htm), https://developer.salesforce.com/docs/atlas.en-us.platform_events.meta/
platform_events/platform_events_publish_api.htm (a published event answers 201)."""

import re
import urllib.parse
import xml.etree.ElementTree as xml

from standins.base import Answer, StandIn

PREFIX = "/services/data/v60.0"
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"


def fault(status, code, message):
    return Answer(status, [{"message": message, "errorCode": code}])


def fields_of(definition):
    """Name -> (type, length) of a platform event's metadata file."""
    fields = {}
    for field in xml.parse(definition).getroot().iter(NAMESPACE + "fields"):
        def text(name, default=""):
            return field.findtext(NAMESPACE + name, default)
        fields[text("fullName")] = (text("type"), int(text("length", "0")))
    return fields


class Salesforce(StandIn):
    EVENT = "SluiceRecord__e"
    CLIENT_ID = "3MVG9.client"
    CLIENT_SECRET = "client-secret-0123456789"
    REFRESH_TOKEN = "5Aep861.refresh-token"

    def __init__(self, definition):
        super().__init__()
        self.fields = fields_of(definition)
        self.events = []
        self.tokens = []
        self.subrequest_troubles = {}  # event or record id -> (status, code), once

    def is_troubled(self, request):
        return request.path.endswith("/composite")

    def expire_tokens(self):
        with self.lock:
            self.tokens.append("none is good any more")

    def token(self, request):
        form = dict(urllib.parse.parse_qsl(request.body.decode()))
        if (form.get("client_id"), form.get("client_secret")) != (self.CLIENT_ID,
                                                                  self.CLIENT_SECRET):
            return Answer(400, {"error": "invalid_client", "error_description": "invalid client"})
        grant = form.get("grant_type")
        if grant == "refresh_token" and form.get("refresh_token") != self.REFRESH_TOKEN:
            return Answer(400, {"error": "invalid_grant",
                                "error_description": "expired access/refresh token"})
        if grant not in ("refresh_token", "client_credentials"):
            return Answer(400, {"error": "unsupported_grant_type"})
        self.tokens.append(f"00D.token-{grant}-{len(self.tokens)}")
        return Answer(200, {"access_token": self.tokens[-1], "instance_url": self.url,
                            "token_type": "Bearer", "issued_at": "1", "signature": "s"})

    def fault_of(self, body):
        for name, value in body.items():
            if name not in self.fields:
                return 400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {self.EVENT}"
            kind, length = self.fields[name]
            good = {"Text": str, "LongTextArea": str, "DateTime": str, "Checkbox": bool,
                    "Number": (int, float)}[kind]
            if not isinstance(value, good):
                return 400, "JSON_PARSER_ERROR", f"{name}: cannot deserialize {type(value).__name__}"
            if kind in ("Text", "LongTextArea") and len(value) > length:
                return 400, "STRING_TOO_LONG", f"{name}: data value too large"
            if kind == "DateTime" and not re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value):
                return 400, "JSON_PARSER_ERROR", f"{name}: not a datetime"
        return None

    def publish(self, one):
        if one["url"].rstrip("/") != f"{PREFIX}/sobjects/{self.EVENT}" or one["method"] != "POST":
            return 404, "NOT_FOUND", "The requested resource does not exist"
        told = self.subrequest_troubles.pop(one["body"].get("EventId__c"), None)
        return told and (*told, "told to") or self.fault_of(one["body"])

    def composite(self, request):
        body = request.json()
        requests = body.get("compositeRequest") if isinstance(body, dict) else None
        if not requests or len(requests) > 25 or body.get("allOrNone") is not False \
                or len({one["referenceId"] for one in requests}) != len(requests):
            return fault(400, "BAD_REQUEST", "1 to 25 subrequests with different reference ids.")
        answers = []
        for one in requests:
            refused = self.publish(one)
            if not refused:
                self.events.append(one["body"])
            answers.append({
                "referenceId": one["referenceId"], "httpHeaders": {},
                "httpStatusCode": refused[0] if refused else 201,
                "body": [{"errorCode": refused[1], "message": refused[2]}] if refused else
                        {"id": "e01xx0000000001AAA", "success": True,
                         "errors": [{"statusCode": "OPERATION_ENQUEUED", "message": "uuid"}]}})
        return Answer(200, {"compositeResponse": answers})

    def answer(self, request):
        if request.path == "/services/oauth2/token":
            return self.token(request)
        newest = self.tokens[-1] if self.tokens else None
        if request.headers.get("authorization") != f"Bearer {newest}":
            return fault(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if request.path == f"{PREFIX}/sobjects/{self.EVENT}/describe" and request.method == "GET":
            return Answer(200, {"name": self.EVENT, "fields": [
                {"name": "ReplayId", "createable": False}] + [
                {"name": name, "createable": True} for name in self.fields]})
        if request.path == f"{PREFIX}/composite" and request.method == "POST":
            return self.composite(request)
        return fault(404, "NOT_FOUND", "The requested resource does not exist")
