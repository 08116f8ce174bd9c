"""Google's token endpoint and Cloud Pub/Sub's REST API, as Google documents them:
https://developers.google.com/identity/protocols/oauth2/service-account (assertions),
https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.topics/publish (one ordering key a
request), https://cloud.google.com/pubsub/quotas (1,000 messages and 10 MB a request),
https://cloud.google.com/pubsub/docs/reference/error-codes."""

import base64
import json
import re
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from standins.base import Answer, StandIn

MAY_PUBLISH = "pubsub.topics.publish"


def error(code, status, message):
    return Answer(code, {"error": {"code": code, "message": message, "status": status}})


class Google(StandIn):
    PROJECT = "my-project"
    TOPIC = "sluice-records"
    EMAIL = "sluice@my-project.iam.gserviceaccount.com"

    def __init__(self):
        super().__init__()
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.permissions = [MAY_PUBLISH]
        self.messages = []  # (ordering key, data), as they came
        self.tokens = []    # given out, the newest last; an expired one is taken away

    def service_account(self, key=None, **changes):
        pem = (key or self.key).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()).decode()
        return json.dumps({"type": "service_account", "project_id": self.PROJECT,
                           "private_key_id": "key-1", "private_key": pem,
                           "client_email": self.EMAIL, "token_uri": self.url + "/token"} | changes)

    def is_troubled(self, request):
        return request.path.endswith(":publish")

    def expire_tokens(self):
        with self.lock:
            self.tokens.append("none is good any more")

    def token(self, request):
        form = dict(part.split("=", 1) for part in request.body.decode().split("&"))
        if form.get("grant_type") != "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer":
            return Answer(400, {"error": "unsupported_grant_type"})
        try:
            claims = jwt.decode(form["assertion"], self.key.public_key(), algorithms=["RS256"],
                                audience=self.url + "/token", issuer=self.EMAIL,
                                options={"require": ["exp", "iat", "iss", "aud"]})
        except jwt.PyJWTError:
            return Answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT."})
        if claims["scope"] != "https://www.googleapis.com/auth/pubsub" \
                or claims["exp"] - claims["iat"] > 3600 or claims["iat"] > time.time() + 300:
            return Answer(400, {"error": "invalid_scope"})
        self.tokens.append(f"ya29.token-{len(self.tokens)}")
        return Answer(200, {"access_token": self.tokens[-1], "expires_in": 3599,
                            "token_type": "Bearer"})

    def answer(self, request):
        if request.path == "/token":
            return self.token(request)
        newest = self.tokens[-1] if self.tokens else None
        if request.headers.get("authorization") != f"Bearer {newest}":
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        found = re.fullmatch(r"/v1/projects/([\w-]+)/topics/([\w-]+):(\w+)", request.path)
        there = found and (found[1], found[2]) == (self.PROJECT, self.TOPIC)
        body = request.json()
        if found and found[3] == "testIamPermissions":
            granted = [one for one in body["permissions"] if there and one in self.permissions]
            return Answer(200, {"permissions": granted} if granted else {})
        if not there:
            return error(404, "NOT_FOUND", "Resource not found (resource=topic).")
        if MAY_PUBLISH not in self.permissions:
            return error(403, "PERMISSION_DENIED", "User not authorized to perform this action.")
        messages = body.get("messages") if isinstance(body, dict) else None
        if not messages or len(messages) > 1000 or len(request.body) > 10_000_000:
            return error(400, "INVALID_ARGUMENT", "1 to 1,000 messages, at most 10 MB.")
        if len({message.get("orderingKey") for message in messages}) != 1:
            return error(400, "INVALID_ARGUMENT", "All messages must have the same ordering key.")
        self.messages += [(message["orderingKey"], base64.b64decode(message["data"], validate=True))
                          for message in messages]
        return Answer(200, {"messageIds": [str(i) for i in range(len(messages))]})
