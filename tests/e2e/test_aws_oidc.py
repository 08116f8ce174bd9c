"""AWS roles that an ID token of Sluice's assumes, against moto with authentication on.

moto takes every token. So before it stands what AWS does with one: its keys are read from the
issuer's discovery document, PyJWT judges it, and so do the account's provider and the role's trust
as moto holds them."""

import json
import pathlib
import urllib.parse

import jwt
import pytest
import requests

from aws import ACCOUNT, REGION, Aws, Proxy
from support import event, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PUBLIC_URL = "https://sluice.example"
ISSUER = "sluice.example/data-connector"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
STREAM = "sluice-events"
BUCKET = "sluice-records"


class Sts:
    """AssumeRoleWithWebIdentity."""

    def __init__(self, aws):
        self.aws = aws
        self.iam = aws.client("iam")
        self.sluice = None  # once it runs
        self.tokens = []
        self.proxy = Proxy(aws, self.answer)

    def settings(self, public_url=f'[server]\npublic_url = "{PUBLIC_URL}"\n'):
        return public_url + f'[aws]\nsts_endpoint_url = "{self.proxy.url}"\n'

    def claims(self, token):
        """As AWS does it: by discovery alone. The public address is the test's only stand-in."""
        def read(url):
            assert url.startswith(PUBLIC_URL + "/"), url
            return requests.get(self.sluice.url + url.removeprefix(PUBLIC_URL), timeout=10).json()

        issuer = f"https://{ISSUER}"
        provider = self.iam.get_open_id_connect_provider(OpenIDConnectProviderArn=PROVIDER)
        assert provider["Url"].removeprefix("https://") == ISSUER
        discovery = read(issuer + "/.well-known/openid-configuration")
        assert discovery["issuer"] == issuer
        keys = jwt.PyJWKSet.from_dict(read(discovery["jwks_uri"]))
        return jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]],
                          algorithms=discovery["id_token_signing_alg_values_supported"],
                          issuer=issuer, audience=provider["ClientIDList"],
                          options={"require": ["exp", "iat", "iss", "sub", "aud"]})

    def answer(self, path, headers, body):
        asked = dict(urllib.parse.parse_qsl(body.decode()))
        assert asked["Action"] == "AssumeRoleWithWebIdentity", asked
        assert "authorization" not in headers, "no key of anybody's"
        assert "ExternalId" not in asked
        self.tokens.append(asked["WebIdentityToken"])
        try:
            claims = self.claims(asked["WebIdentityToken"])
        except jwt.InvalidAudienceError:
            return self.refusal(400, "InvalidIdentityToken", "Incorrect token audience")
        name = asked["RoleArn"].split("/")[-1]
        trust, = self.iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Federated": PROVIDER}, trust
        assert trust["Action"] == "sts:AssumeRoleWithWebIdentity", trust
        if trust["Condition"] != {"StringEquals": {f"{ISSUER}:aud": claims["aud"],
                                                   f"{ISSUER}:sub": claims["sub"]}}:
            return self.refusal(403, "AccessDenied",
                                "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        self.aws.unlock_next()  # moto wants a key for this call, too
        return None

    @staticmethod
    def refusal(status, code, message):
        return status, (f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
                        f"<Message>{message}</Message></Error></ErrorResponse>").encode()


@pytest.fixture
def aws():
    made = Aws()
    made.client("kinesis").create_stream(StreamName=STREAM, ShardCount=1)
    yield made
    made.close()


@pytest.fixture
def sts(aws):
    made = Sts(aws)
    yield made
    made.proxy.close()


def provider(aws, audience="sts.amazonaws.com"):
    aws.client("iam").create_open_id_connect_provider(
        Url=f"https://{ISSUER}", ClientIDList=[audience], ThumbprintList=["0" * 40])


def web_identity_role(aws, audience="sts.amazonaws.com", subject="1"):
    provider(aws, audience)
    iam = aws.client("iam")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
             "Principal": {"Federated": PROVIDER},
             "Condition": {"StringEquals": {f"{ISSUER}:aud": audience, f"{ISSUER}:sub": subject}}}
    policy = {"Effect": "Allow", "Action": "kinesis:PutRecords", "Resource": "*"}
    iam.create_role(RoleName="federated", AssumeRolePolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [trust]}))
    iam.put_role_policy(RoleName="federated", PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": [policy]}))
    return f"arn:aws:iam::{ACCOUNT}:role/federated"


def create(sluice, aws, connection_type="AwsKinesis", organisation=1, **credentials):
    target = {"stream_name": STREAM} if connection_type == "AwsKinesis" else {"bucket_name": BUCKET}
    return sluice.call("POST", "/api/v2/data_stream", organisation=organisation, json={
        "data_stream_type": {"id": 2},
        "destination": {"connection_type": connection_type,
                        "credentials": {"region": REGION, "endpoint_url": aws.url} | target | credentials}})


def stored(aws):
    kinesis = aws.client("kinesis")
    shard = kinesis.describe_stream(StreamName=STREAM)["StreamDescription"]["Shards"][0]
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard["ShardId"],
                                          ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    return kinesis.get_records(ShardIterator=iterator)["Records"]


def test_an_id_token_assumes_the_role_and_verifies_by_discovery(start, aws, sts):
    role = web_identity_role(aws)
    aws.lock()
    sluice = sts.sluice = start(settings=sts.settings())
    answer = create(sluice, aws, role_arn=role, auth="oidc")
    assert answer.status_code == 201, answer.text
    assert answer.json()["destination"]["credentials"]["auth"] == "oidc"
    sluice.ingest("events", [event(1), event(2)])
    wait_until(lambda: len(stored(aws)) == 2)
    asked = len(sts.tokens)
    sluice.ingest("events", [event(3)])
    wait_until(lambda: len(stored(aws)) == 3)
    assert len(sts.tokens) == asked, "the session is kept"
    claims = sts.claims(sts.tokens[0])
    assert sorted(claims) == ["aud", "exp", "iat", "iss", "sub"]
    assert claims["exp"] - claims["iat"] == 300
    header, payload, signature = sts.tokens[0].split(".")
    with pytest.raises(jwt.InvalidSignatureError):
        sts.claims(".".join([header, payload, ("B" if signature[0] == "A" else "A")
                                 + signature[1:]]))
    assert sts.tokens[0] not in sluice.stderr()


def test_the_token_is_for_the_audience_that_the_stream_names(start, aws, sts):
    role = web_identity_role(aws, audience="my-records")
    aws.lock()
    sluice = sts.sluice = start(settings=sts.settings())
    refused = create(sluice, aws, role_arn=role, auth="oidc")
    assert refused.status_code == 422, refused.text
    assert "InvalidIdentityToken: Incorrect token audience" in refused.text
    assert sts.tokens[0] not in refused.text
    answer = create(sluice, aws, role_arn=role, auth="oidc", audience="my-records")
    assert answer.status_code == 201, answer.text


def test_a_role_that_trusts_another_organisation_stays_closed(start, aws, sts):
    role = web_identity_role(aws, subject="2")
    aws.lock()
    sluice = sts.sluice = start(settings=sts.settings())
    refused = create(sluice, aws, role_arn=role, auth="oidc")
    assert refused.status_code == 422 and "AccessDenied" in refused.text, refused.text
    assert sluice.call("GET", "/api/v2/data_stream").json() == []


def test_the_template_of_the_docs_trusts_one_organisations_tokens(start, aws, sts):
    provider(aws)  # moto's templates make none
    aws.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    cloudformation = aws.client("cloudformation")
    template = (ROOT / "docs/destinations/aws-role.yaml").read_text("utf-8")
    cloudformation.create_stack(StackName="sluice", TemplateBody=template, Parameters=[
        {"ParameterKey": key, "ParameterValue": value} for key, value in {
            "Issuer": ISSUER, "OrganisationId": "1", "MakeProvider": "no",
            "BucketName": BUCKET}.items()])
    output, = cloudformation.describe_stacks(StackName="sluice")["Stacks"][0]["Outputs"]
    aws.lock()
    sluice = sts.sluice = start(settings=sts.settings())
    role = {"role_arn": output["OutputValue"], "auth": "oidc"}
    refused = create(sluice, aws, "S3", organisation=2, **role)
    assert refused.status_code == 422 and "WithWebIdentity" in refused.text, refused.text
    answer = create(sluice, aws, "S3", **role)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("public_url", ["", '[server]\npublic_url = "http://sluice.example"\n'])
def test_a_server_without_an_https_address_says_so(start, aws, sts, public_url):
    sluice = start(settings=sts.settings(public_url))
    answer = create(sluice, aws, role_arn="arn:aws:iam::1:role/r", auth="oidc")
    assert answer.status_code == 422 and "server.public_url" in answer.text, answer.text
    assert sts.tokens == []


@pytest.mark.parametrize("credentials, fault", [
    ({"auth": "oidc"}, "destination.credentials.role_arn: is required"),
    ({"auth": "oidc", "access_key_id": "a", "secret_access_key": "b"},
     "destination.credentials.auth: goes with role_arn"),
    ({"role_arn": "r", "audience": "x"}, "destination.credentials.audience: goes with auth oidc"),
    ({"role_arn": "r", "auth": "saml"}, "destination.credentials.auth: must be"),
])
def test_settings_that_do_not_go_together_are_refused(sluice, aws, credentials, fault):
    answer = create(sluice, aws, **credentials)
    assert answer.status_code == 422 and fault in answer.text, answer.text
