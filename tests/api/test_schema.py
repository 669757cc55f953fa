"""OpenAPI against the code: schemathesis makes requests from the description and checks every answer against it."""

from __future__ import annotations

import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from service import problems
from service.contract import Applicant, Score
from service.docs.examples import APPLICANT, SCORE, rendered
from service.docs.openapi import ProblemSchema
from service.endpoints.table import description
from tests.api.client import Api

CASES = int(os.environ.get("QF_SCHEMA_CASES", "250"))  # an operation; 8 of them make the 2,000 of a quick run
schema = schemathesis.openapi.from_dict(description())

# Hypothesis suspects the strategy when the shipping thread of the application draws its jitter while a case is made.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")


def _answer(api: Api, case: Any) -> Any:
    """The in-process application's answer as schemathesis' own response."""
    from requests import Response as Requested  # pylint: disable=import-outside-toplevel
    from schemathesis.core.transport import Response  # pylint: disable=import-outside-toplevel

    sent = case.as_transport_kwargs(base_url="http://api.test")
    import requests  # pylint: disable=import-outside-toplevel

    prepared = requests.Request(
        **{
            name: value
            for name, value in sent.items()
            if name in ("method", "url", "headers", "params", "json", "data")
        }
    ).prepare()
    body = prepared.body or b""
    body = body.encode() if isinstance(body, str) else bytes(body)
    headers = {name.lower(): str(value) for name, value in prepared.headers.items() if name.lower() != "x-api-key"}
    path = prepared.path_url
    try:
        found = api.request(str(prepared.method), path, body, {**headers, "host": "api.test"})
    except UnicodeEncodeError:  # a header no HTTP client could send
        pytest.skip("not a header")
    answer = Requested()
    answer.status_code, answer._content, answer.request = found.status, found.body, prepared  # pylint: disable=protected-access
    answer.headers.update(found.headers)
    answer.raw = None
    return Response(
        status_code=found.status,
        headers={name: [value] for name, value in found.headers.items()},
        content=found.body,
        request=prepared,
        elapsed=0.0,
        verify=False,
        http_version="1.1",
    )


@schema.exclude(path_regex="^/(metrics|docs)").parametrize()
@settings(
    max_examples=CASES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_every_answer_is_as_described(api: Api, case: Any) -> None:
    """No 5xx, no status and no body that the description does not have."""
    response = _answer(api, case)
    case.validate_response(response, checks=[not_a_server_error, status_code_conformance, response_schema_conformance])
    if response.status_code >= 400 and case.path != "/readyz":
        assert response.headers["content-type"] == ["application/problem+json"]


def test_the_examples_are_true() -> None:
    """The documented applicant and score are ones that the contract takes."""
    assert Applicant.model_validate(APPLICANT, strict=False)
    assert Score.model_validate(SCORE, strict=False)


def test_every_status_has_an_example() -> None:
    """Each answer of each operation, success or problem, comes with an example; a problem's is of its own status."""
    responses = description()["components"]["responses"]
    for path, item in description()["paths"].items():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if "$ref" not in response:
                    assert all("example" in content for content in response["content"].values()), (path, status)
                    continue
                told = responses[response["$ref"].rpartition("/")[2]]["content"]["application/problem+json"]["examples"]
                assert {example["value"]["status"] for example in told.values()} == {int(status)}, path


def test_every_problem_of_the_code_is_an_example() -> None:
    """Nothing can be answered that the description does not show, named and told as the code does."""
    shown = {
        example["value"]["type"]: example["value"]["title"]
        for response in description()["components"]["responses"].values()
        for example in response["content"]["application/problem+json"]["examples"].values()
    }
    assert shown == {rendered(one)["type"]: one.title for one in problems.every()}
    for response in description()["components"]["responses"].values():
        for example in response["content"]["application/problem+json"]["examples"].values():
            ProblemSchema.model_validate(example["value"])
