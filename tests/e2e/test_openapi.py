"""The API's description against the real server: its examples work, and no generated request finds
a server error, or an answer or a shape that the description does not have."""

import re
import urllib.parse

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

LIST = "/api/v2/data_stream"
TOKENS = "/api/v1/application_token"
ORGANISATIONS = "/api/v2/organisation"
LOGIN = "/api/v1/authenticate"
LIVE = "/api/v2/records/live"  # its answer ends when the token does
SEED = 20261122
EXAMPLES_PER_CALL = 40
EXAMPLES_LIVE = 6
ROLES = [*["operator"] * 5, "admin", "viewer", "ingest", None]  # None: no token

CHECKS = [checks.not_a_server_error, openapi_checks.status_code_conformance,
          openapi_checks.content_type_conformance, openapi_checks.response_headers_conformance,
          openapi_checks.response_schema_conformance]


@pytest.fixture
def document(sluice):
    answer = requests.get(sluice.url + "/api/openapi.json", timeout=10)
    assert answer.status_code == 200
    return answer.json()


def calls(document):
    for path, by_method in document["paths"].items():
        for method, call in by_method.items():
            yield method.upper(), path, call


def examples(document, call):
    """The example bodies of a call, by name."""
    if "requestBody" not in call:
        return {}
    name = call["requestBody"]["$ref"].rsplit("/", 1)[1]
    media = document["components"]["requestBodies"][name]["content"]["application/json"]
    return {key: example["value"] for key, example in media.get("examples", {}).items()}


def success(call):
    return min(int(status) for status in call["responses"])


def test_the_document_is_openapi(document):
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()


def test_each_example_works(sluice, document, receiver):
    types = {row["description"] for row in sluice.call("GET", LIST + "/connection_type").json()}
    stream = sluice.create_stream(receiver.url)["id"]
    sent = 0
    for method, path, call in calls(document):
        for name, body in examples(document, call).items():
            if path == LIST:
                types.discard(body["destination"]["connection_type"])
            own = 1 if path.startswith(ORGANISATIONS) else stream
            checks = any(p["$ref"].endswith("/validate") for p in call.get("parameters", []))
            query = "?validate=false" if checks else ""
            role = "ingest" if path.startswith("/api/v2/records/") else "operator"
            if path.endswith("/skip"):
                sluice.call("PATCH", f"{LIST}/{own}", json={"status": 2})
            answer = sluice.call(method, path.replace("{id}", str(own)) + query, role=role, json=body)
            if path == LOGIN:  # with somebody else's token
                assert answer.status_code == 401
                continue
            done = answer.status_code < 300 and str(answer.status_code) in call["responses"]
            assert done, (path, name, answer.text)
            sent += 1
            if path == LIST:
                assert answer.json()["filters"] == body.get("filters", [])
                assert sluice.call("DELETE", answer.headers["Location"]).status_code == 202
    assert sent >= 10 and not types


def test_the_page_loads_nothing_from_elsewhere(sluice):
    page = requests.get(sluice.url + "/api/docs", timeout=10)
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy and "http" not in policy
    files = re.findall(r'(?:src|href)="(docs/[^"]*)"', page.text)
    assert len(files) == 3
    for file in files:
        answer = requests.get(urllib.parse.urljoin(page.url, file), timeout=10)
        assert answer.status_code == 200, file
    assert "<script>" not in page.text and "style=" not in page.text


def test_another_organisations_stream_does_not_exist_on_any_route(sluice, document, receiver):
    stream = sluice.create_stream(receiver.url)["id"]
    asked = 0
    for method, path, _ in calls(document):
        if not path.startswith(LIST + "/{id}"):
            continue
        for role in ("operator", "admin", "developer", "viewer", "ingest"):
            answer = sluice.call(method, path.replace("{id}", str(stream)), role=role,
                                 organisation=2, json={"status": {"id": 2}})
            assert answer.status_code == 404, (method, path, role)
            assert answer.json()["error_token"] == "NotFound"
            asked += 1
    assert asked >= 20
    assert sluice.stream(stream)["status"]["id"] == 1


class Caller:
    """Makes generated requests such that most get past the door, and remembers what came."""

    def __init__(self, sluice, receiver, document):
        self.sluice = sluice
        self.document = document
        self.receiver = receiver
        self.stream = self.make_stream()
        self.inspector = sluice.call("POST", LIST, json={
            "data_stream_type": 3, "destination": {"connection_type": "Inspector"}}).json()["id"]
        self.doomed = 0
        self.replay = 0
        self.login = self.make_token()

    def make_stream(self):
        return self.sluice.create_stream(self.receiver.url)["id"]

    def make_token(self):
        answer = self.sluice.call("POST", TOKENS, json={"role": "viewer"})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def short_token(self, role):
        done = self.sluice.run("token", "--organisation", "1", "--role", role, "--ttl", "2s",
                               "--data-dir", self.sluice.data_dir)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def own_id(self, case):
        """Of something that is there."""
        if case.path.startswith(ORGANISATIONS):
            return 1
        if case.path.startswith(TOKENS):
            return self.make_token()["id"]
        if case.method == "DELETE" or case.path.endswith("/skip"):
            self.sluice.call("DELETE", f"{LIST}/{self.doomed}")  # where the role did not suffice
            self.doomed = self.make_stream()
            self.sluice.call("PATCH", f"{LIST}/{self.doomed}", json={"status": 2})
            return self.doomed
        if case.path.endswith("inspector"):
            return self.inspector
        if self.sluice.call("GET", f"{LIST}/{self.stream}").status_code == 404:
            self.stream = self.make_stream()  # a generated id was its own
        return self.stream

    def own_replay(self, stream):
        """Under way, if the stream is paused."""
        answer = self.sluice.call("POST", f"{LIST}/{stream}/replay", json={"from": 0, "to": 9})
        assert answer.status_code in (202, 409), answer.text
        if answer.status_code == 202:
            self.replay = answer.json()["id"]
        return self.replay

    def prepare(self, case, own, role):
        if own and "id" in case.path_parameters:
            case.path_parameters["id"] = self.own_id(case)
        if own and "replay_id" in case.path_parameters:
            case.path_parameters["replay_id"] = self.own_replay(case.path_parameters["id"])
        if own and isinstance(case.query, dict):
            case.query.pop("organisation_id", None)
        if own and case.path == LOGIN:
            case.body = {"application_token": self.login["application_token"]}
        if "validate" in str(self.document["paths"][case.path][case.method.lower()]):
            # No destination is looked for: none may wait for a stranger's name server.
            case.query = dict(case.query or {}) | {"validate": "false"}
        if role:
            token = self.short_token(role) if case.path == LIVE else self.sluice.token(role, 1)
            case.headers["Authorization"] = "Bearer " + token

    def clear_away(self, case, response):
        """Makes room for the next."""
        if response.status_code == 201 and case.path in (LIST, TOKENS):
            self.sluice.call("DELETE", response.headers["location"][0])

    def call(self, operation, mode):
        """Calls it again and again, and returns the statuses that came."""
        statuses = set()
        call = self.document["paths"][operation.path][operation.method.lower()]
        bodies = [None, *examples(self.document, call).values()]
        examples_max = EXAMPLES_LIVE if operation.path == LIVE else EXAMPLES_PER_CALL

        @hypothesis.seed(SEED)
        @hypothesis.settings(max_examples=examples_max, deadline=None, database=None,
                             suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode),
                          own=strategies.booleans(), body=strategies.sampled_from(bodies),
                          role=strategies.sampled_from(ROLES))
        def run(case, own, body, role):
            if body is not None:
                case.body = body
            self.prepare(case, own, role)
            response = case.call_and_validate(base_url=self.sluice.url, checks=CHECKS,
                                              timeout=30)
            statuses.add(response.status_code)
            self.clear_away(case, response)

        try:
            run()
        except hypothesis.errors.Unsatisfiable:  # nothing in it can be wrong
            assert mode is schemathesis.GenerationMode.NEGATIVE
        return statuses


@pytest.mark.parametrize("mode", [schemathesis.GenerationMode.POSITIVE,
                                  schemathesis.GenerationMode.NEGATIVE])
def test_generated_requests_get_documented_answers(sluice, receiver, document, mode):
    print("seed", SEED)
    caller = Caller(sluice, receiver, document)
    schema = schemathesis.openapi.from_dict(document)
    seen = {(operation.method.upper(), operation.path): caller.call(operation, mode)
            for operation in (found.ok() for found in schema.get_all_operations())}
    print(seen)
    if mode is schemathesis.GenerationMode.POSITIVE:
        assert {(method, path) for method, path, call in calls(document)
                if success(call) not in seen[method, path]} == set()
    else:
        assert {400, 422} <= seen["POST", LIST] | seen["PATCH", LIST + "/{id}"]
    assert sluice.call("GET", LIST).status_code == 200
