"""moto as AWS, with authentication on, and a proxy before it that can fail as AWS does."""

import http.client
import json

import boto3
import requests
from moto.server import ThreadedMotoServer

from standins.base import Answer, StandIn

REGION = "eu-west-1"
ACCOUNT = "123456789012"


class Aws:
    """Everything is set up while moto asks for no keys; lock() turns authentication on."""

    def __init__(self):
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.address = (host, port)
        self.url = f"http://{host}:{port}"
        requests.post(self.url + "/moto-api/reset", timeout=10)
        self._set_free_actions("inf")
        self.admin = self.user("admin", {"Action": "*", "Resource": "*"})

    def close(self):
        self._set_free_actions("inf")
        self.server.stop()

    def _set_free_actions(self, count):
        requests.post(self.url + "/moto-api/reset-auth", data=str(count), timeout=10)

    def lock(self):
        """From now on every call needs a key, its signature and a policy that allows it."""
        self._set_free_actions(0)
        return self

    def unlock_next(self):
        """The next call needs none of these: it is one that AWS takes without a key."""
        self._set_free_actions(1)

    def client(self, service, keys=None):
        keys = keys or getattr(self, "admin", {"access_key_id": "x", "secret_access_key": "x"})
        return boto3.client(service, region_name=REGION, endpoint_url=self.url,
                            aws_access_key_id=keys["access_key_id"],
                            aws_secret_access_key=keys["secret_access_key"])

    @staticmethod
    def _policy(*statements):
        return json.dumps({"Version": "2012-10-17",
                           "Statement": [{"Effect": "Allow"} | one for one in statements]})

    def user(self, name, *statements):
        """The keys of a new user who may do what the statements say."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="p",
                                PolicyDocument=self._policy(*statements))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return {"access_key_id": made["AccessKeyId"],
                "secret_access_key": made["SecretAccessKey"]}

    def role(self, name, external_id, *statements):
        iam = self.client("iam")
        trust = self._policy({"Principal": {"AWS": "*"}, "Action": "sts:AssumeRole",
                              "Condition": {"StringEquals": {"sts:ExternalId": external_id}}})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
        iam.put_role_policy(RoleName=name, PolicyName="p",
                            PolicyDocument=self._policy(*statements))
        return f"arn:aws:iam::{ACCOUNT}:role/{name}"

    def operator_settings(self):
        """Of a server whose own keys may assume roles and nothing else."""
        keys = self.user("operator", {"Action": "sts:AssumeRole", "Resource": "*"})
        return (f'[aws]\naccess_key_id = "{keys["access_key_id"]}"\n'
                f'secret_access_key = "{keys["secret_access_key"]}"\n'
                f'sts_endpoint_url = "{self.url}"\n')


class Proxy(StandIn):
    """Hands requests on to `aws`. `told(path, headers, body)` may answer instead: (status, body).
    `taken` are the bodies that AWS took."""

    def __init__(self, aws, told=lambda path, headers, body: None):
        super().__init__()
        self.aws = aws
        self.told = told
        self.taken = []

    def answer(self, request):
        answer = self.told(request.target, request.headers, request.body)
        if answer is None:
            answer = self.ahead(request.target, request.headers, request.body, request.method)
            if answer[0] == 200:
                self.taken.append(request.body)
        return Answer(*answer)

    def ahead(self, path, headers, body, method="POST"):
        connection = http.client.HTTPConnection(*self.aws.address, timeout=30)
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        result = answer.status, answer.read()
        connection.close()
        return result


def json_error(code, message="told to", status=400):
    return status, json.dumps({"__type": code, "message": message}).encode()
