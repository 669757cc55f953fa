"""The machine-readable description of the API, OpenAPI 3.1, made from the routes, the contract and the problems.

What the code enforces stands in the contract's own schemas, what is true of a route in its declaration; what surrounds
them (headers, keys) is written here once. Schemathesis sends thousands of requests made from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from service.access.keystore import Scope
from service.docs.changelog import version
from service.docs.examples import APPLICANT, problems_by_status, rendered
from service.web.routes import Price, RequestBody, ResponseBody, Route

Json = dict[str, Any]
SAMPLES: Final = Path(__file__).parent / "samples"
SAMPLE_FILES: Final = {
    "score.sh": ("Shell", "curl"),
    "score.py": ("Python", "Python"),
    "score.mjs": ("JavaScript", "JavaScript"),
}


class FaultSchema(BaseModel):
    """One rule that the body breaks; never the value that broke it."""

    pointer: Annotated[str, Field(description="JSON pointer (RFC 6901) into the body.")]
    code: Annotated[str, Field(description="Stable name of the rule.")]
    detail: str


class ProblemSchema(BaseModel):
    """RFC 9457 problem details: the one shape of every answer that is not a success."""

    type: Annotated[str, Field(description="Stable name of the problem, urn:quantumfinance:problem:…")]
    title: str
    status: int
    detail: str
    instance: Annotated[str, Field(description="urn:request:<X-Request-Id>; quote it when you ask us.")]
    errors: list[FaultSchema] = []


def document(routes: Sequence[Route]) -> Json:
    """The whole description of these routes."""
    public = [route for route in routes if not route.hidden]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "QuantumFinance credit score",
            "version": version(),
            "description": "Scores applicants from 0 to 1000 with reasons. The partner guide is at `/docs`."
            " Any path may also answer 405 (method), 431 (headers too large) or 500 (our failure), in the shape of"
            " every other error.",
        },
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in public)],
        "paths": _paths(public),
        "components": {
            "schemas": _schemas(public),
            "securitySchemes": _security(),
            "headers": _headers(),
            "responses": {str(status): _problem_response(status) for status in sorted(problems_by_status())},
        },
    }


def _schemas(routes: Sequence[Route]) -> Json:
    models: dict[type[BaseModel], None] = {route.takes.model: None for route in routes if route.takes}
    for one in (each for route in routes for each in (route.answer, *route.also)):
        if isinstance(one.schema, type):
            models[one.schema] = None
    models[ProblemSchema] = None
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: Json = definitions["$defs"]
    schemas["Applicant"]["examples"] = [APPLICANT]
    return schemas


def _security() -> Json:
    return {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "Your key, on every request."},
        "Basic": {"type": "http", "scheme": "basic", "description": "A browser's way in to the docs: key as password."},
        "Bearer": {"type": "http", "scheme": "bearer", "description": "Prometheus' way in to the metrics."},
    }


def _headers() -> Json:
    def header(text: str, example: str, kind: str = "string") -> Json:
        return {"description": text, "schema": {"type": kind}, "example": example}

    draft = "draft-ietf-httpapi-ratelimit-headers: "
    return {
        "RateLimit-Policy": header(
            draft + "tokens at once per window, tokens per UTC day.", '"burst";q=1000;w=10, "daily";q=1000000;w=86400'
        ),
        "RateLimit": header(
            draft + "tokens left, seconds until all are back (in a 429: until this request is admitted).",
            '"burst";r=999;t=1, "daily";r=999999;t=40211',
        ),
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}, "example": 2},
        "X-Request-Id": header("Names this request in our log.", "e6747e2b4140-43ed-2"),
        "qf-scopes": header("What the key that asked may do, separated by spaces.", "docs read score"),
        "qf-engine": header("What computes the answers: compiled or portable; they are the same.", "compiled"),
        "Idempotent-Replayed": header("`true` if this is the stored answer of an earlier request.", "true"),
        "Location": header("Where the job is.", "/v1/jobs/job_0123456789abcdef0123456789abcdef"),
        "Allow": header("The methods that the path takes.", "POST"),
        "WWW-Authenticate": header("How to show a key here.", 'ApiKey realm="QuantumFinance"'),
    }


def _ref(kind: str, name: str | int) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _header_refs(*names: str) -> Json:
    return {name: _ref("headers", name) for name in names}


_LIMITS: Final = ("RateLimit", "RateLimit-Policy")
_PROBLEM_HEADERS: Final[dict[int, tuple[str, ...]]] = {
    400: _LIMITS,
    401: ("WWW-Authenticate",),
    404: _LIMITS,
    405: ("Allow",),
    409: (*_LIMITS, "Retry-After"),
    422: _LIMITS,
    429: (*_LIMITS, "Retry-After"),
    503: (*_LIMITS, "Retry-After"),
}
"""Beside `X-Request-Id`; limits are told as soon as tokens were asked for."""


def _problem_response(status: int) -> Json:
    problems = problems_by_status()[status]
    examples = {one.slug: {"summary": one.title, "value": rendered(one)} for one in problems}
    return {
        "description": problems[0].title if len(problems) == 1 else " / ".join(one.slug for one in problems),
        "headers": _header_refs("X-Request-Id", *_PROBLEM_HEADERS.get(status, ())),
        "content": {"application/problem+json": {"schema": _ref("schemas", "ProblemSchema"), "examples": examples}},
    }


def _paths(routes: Sequence[Route]) -> Json:
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return paths


def _operation(route: Route) -> Json:
    answers = {str(one.status): _response(one, route) for one in (route.answer, *route.also)}
    problems = {str(status): _ref("responses", status) for status in route.problem_statuses}
    operation: Json = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": {**answers, **problems},
    }
    if route.description:
        operation["description"] = route.description
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.takes:
        operation["requestBody"] = _body(route.takes)
    if route.open:
        operation["security"] = []
    elif route.scope:
        ways = ["ApiKey", *([_OTHER_KEYS[route.scope]] if route.scope in _OTHER_KEYS else [])]
        operation["security"] = [{way: [str(route.scope)]} for way in ways]
    if route.code_samples:
        operation["x-codeSamples"] = _samples()
    return operation


def _response(one: ResponseBody, route: Route) -> Json:
    limits = () if route.price is Price.NOTHING else _LIMITS
    schema = _ref("schemas", one.schema.__name__) if isinstance(one.schema, type) else one.schema
    return {
        "description": one.description,
        "headers": _header_refs("X-Request-Id", *limits, *one.headers),
        "content": {one.media_type: {"schema": schema, "example": one.example}},
    }


def _body(takes: RequestBody) -> Json:
    content = {"schema": _ref("schemas", takes.model.__name__), "example": takes.example}
    return {"required": True, "content": {"application/json": content}}


def _parameters(route: Route) -> list[Json]:
    in_path = [{**_IN_PATH, "name": name, "example": route.example_id} for name in route.parameters]
    return [
        *in_path,
        *([_IDEMPOTENCY_KEY] if route.idempotent else []),
        *({**one, "in": "query"} for one in route.query),
    ]


def _samples() -> list[Json]:
    return [
        {"lang": language, "label": label, "source": (SAMPLES / file).read_text("utf-8")}
        for file, (language, label) in SAMPLE_FILES.items()
    ]


_OTHER_KEYS: Final = {Scope.DOCS: "Basic", Scope.METRICS: "Bearer"}
_IN_PATH: Final[Json] = {
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
}
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeated request safe for 24 hours, an order for as long as its job is kept: the first "
    "answer is sent again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
