"""keen.io's event collection, as its API reference states it: https://keen.io/docs/api/
("Record multiple events", "Property names", "Limits", "Errors")."""

import datetime
import json
import re

from standins.base import Answer, StandIn

EVENT_BYTES_MAX = 900_000
REQUEST_BYTES_MAX = 10_000_000


def refusal_of(event):
    """What the service says of an event that it does not take; None: it takes it."""
    def error(name, description):
        return {"success": False, "error": {"name": name, "description": description}}

    if not isinstance(event, dict) or not event:
        return error("InvalidPropertyValueError", "An event must be an object with properties.")
    if len(json.dumps(event)) > EVENT_BYTES_MAX:
        return error("InvalidPropertyValueError", "The event is too large.")
    for name in event:
        if len(name) > 256 or "." in name or name.startswith("$"):
            return error("InvalidPropertyNameError",
                         f"Property name {name} is invalid: at most 256 characters, no '.', no "
                         "leading '$'.")
    keen = event.get("keen", {})
    if set(keen) - {"timestamp", "addons", "location"}:
        return error("InvalidPropertyNameError", "The keen namespace is reserved.")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", keen.get("timestamp", "")):
        return error("InvalidPropertyValueError", "keen.timestamp must be ISO-8601.")
    datetime.datetime.fromisoformat(keen["timestamp"].replace("Z", "+00:00"))
    return None


class Keen(StandIn):
    PROJECT = "5a1b2c3d4e5f6a7b8c9d0e1f"
    WRITE_KEY = "keen-write-key-0123456789"

    def __init__(self):
        super().__init__()
        self.collections = {}

    def answer(self, request):
        found = re.fullmatch(r"/3\.0/projects/(\w+)/events", request.path)
        if request.method != "POST" or not found or found[1] != self.PROJECT:
            return Answer(404, {"message": "The requested resource was not found.",
                                "error_code": "ResourceNotFoundError"})
        if request.headers.get("authorization") != self.WRITE_KEY:
            return Answer(401, {"message": "Please pass in a valid API key.",
                                "error_code": "InvalidApiKeyError"})
        if len(request.body) > REQUEST_BYTES_MAX:
            return Answer(413, {"message": "Request too large.", "error_code": "RequestTooLarge"})
        body = request.json()
        good = isinstance(body, dict) and all(isinstance(events, list) for events in body.values())
        if request.headers.get("content-type") != "application/json" or not good:
            return Answer(400, {"message": "Invalid JSON.", "error_code": "InvalidJSONError"})
        flags = {}
        for collection, events in body.items():
            flags[collection] = [refusal_of(event) or {"success": True} for event in events]
            kept = self.collections.setdefault(collection, [])
            kept += [event for event, flag in zip(events, flags[collection]) if flag["success"]]
        return Answer(200, flags)
