"""The machine-readable description of the API, OpenAPI 3.1, made from the contract, the problems and the limits.

What the code enforces stands in the contract's own schemas; what surrounds it (statuses, headers, keys, examples)
is written here once. A test walks the route table and this document and finds the same routes in both; schemathesis
sends thousands of requests made from it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

from service.contract import (
    Advice,
    AdviceRequest,
    Applicant,
    Batch,
    JobOrder,
    JobState,
    Outcome,
    Receipt,
    Review,
    Score,
    Scores,
)
from service.docs.examples import (
    ADVICE,
    APPLICANT,
    JOB,
    MANIFEST,
    METRICS,
    RECEIPT,
    SCORE,
    problems_by_status,
    rendered,
)

Json = dict[str, Any]
VERSION: Final = "1.0.0"
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


@cache
def document() -> Json:
    """The whole description."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "QuantumFinance credit score",
            "version": VERSION,
            "description": "Scores applicants from 0 to 1000 with reasons. The partner guide is at `/docs`."
            " Any path may also answer 405 (method), 431 (headers too large) or 500 (our failure), in the shape of"
            " every other error.",
        },
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": "scores"}, {"name": "afterwards"}, {"name": "service"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": _security(),
            "headers": _headers(),
            "responses": {str(status): _problem_response(status) for status in sorted(problems_by_status())},
        },
    }


def _schemas() -> Json:
    models = (
        Applicant,
        Batch,
        AdviceRequest,
        Advice,
        JobOrder,
        JobState,
        Outcome,
        Review,
        Score,
        Scores,
        Receipt,
        ProblemSchema,
    )
    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    schemas: Json = found["$defs"]
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


def _named(*names: str) -> Json:
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
    found = problems_by_status()[status]
    examples = {one.slug: {"summary": one.title, "value": rendered(one)} for one in found}
    return {
        "description": found[0].title if len(found) == 1 else " / ".join(one.slug for one in found),
        "headers": _named("X-Request-Id", *_PROBLEM_HEADERS.get(status, ())),
        "content": {"application/problem+json": {"schema": _ref("schemas", "ProblemSchema"), "examples": examples}},
    }


def _operation(
    name: str, summary: str, tag: str, answer: Json, statuses: tuple[int, ...], *, success: int = 200, **more: Any
) -> Json:
    responses: Json = {str(success): answer, **{str(status): _ref("responses", status) for status in statuses}}
    return {"operationId": name, "summary": summary, "tags": [tag], "responses": responses, **more}


def _json(description: str, schema: str, example: Json, *headers: str) -> Json:
    return {
        "description": description,
        "headers": _named("X-Request-Id", "RateLimit", "RateLimit-Policy", *headers),
        "content": {"application/json": {"schema": _ref("schemas", schema), "example": example}},
    }


def _body(schema: str, example: Json) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref("schemas", schema), "example": example}}}


_ID: Final[Json] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    "example": SCORE["prediction_id"],
}
_IDEMPOTENCY_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeated request safe for 24 hours: the first answer is sent again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_READING: Final = (401, 403, 404, 429)
_WRITING: Final = (400, 401, 403, 413, 415, 422, 429, 503)


def _paths() -> Json:
    samples = [
        {"lang": language, "label": label, "source": (SAMPLES / file).read_text("utf-8")}
        for file, (language, label) in SAMPLE_FILES.items()
    ]
    return {
        "/v1/score": {
            "post": _operation(
                "score",
                "Score one applicant",
                "scores",
                _json("The score, durable before it is sent.", "Score", SCORE, "Idempotent-Replayed"),
                (*_WRITING, 409),
                description="Costs one token. At most 64 KiB.",
                parameters=[_IDEMPOTENCY_KEY],
                requestBody=_body("Applicant", APPLICANT),
            )
            | {"x-codeSamples": samples}
        },
        "/v1/score/batch": {
            "post": _operation(
                "scoreBatch",
                "Score up to 1,000 applicants",
                "scores",
                _json("The scores, in order.", "Scores", {"scores": [SCORE]}, "Idempotent-Replayed"),
                (*_WRITING, 409),
                description="Costs a token a row. At most 2 MiB. All rows are scored, or none.",
                parameters=[_IDEMPOTENCY_KEY],
                requestBody=_body("Batch", {"applicants": [APPLICANT]}),
            )
        },
        "/v1/score/advice": {
            "post": _operation(
                "advice",
                "The smallest set of changes that reaches a target",
                "scores",
                _json("The changes, or that none reaches it.", "Advice", ADVICE),
                _WRITING,
                description="Costs one token. Nothing is stored; it is no prediction. Only what a person can change.",
                requestBody=_body("AdviceRequest", {"applicant": APPLICANT, "target": {"score": 700}}),
            )
        },
        "/v1/jobs": {
            "post": _operation(
                "orderJob",
                "Order a job: up to 10,000 applicants, scored in their own time",
                "scores",
                _json("Taken; `Location` says where it is.", "JobState", JOB, "Location"),
                _WRITING,
                success=202,
                description="Costs one token, and a token a row as the rows are scored. At most 8 MiB. A row that "
                "breaks a rule has its faults for a result. A webhook is signed as standardwebhooks.com says.",
                requestBody=_body("JobOrder", {"applicants": [APPLICANT], "webhook": "https://example.com/scored"}),
            )
        },
        "/v1/jobs/{id}": {
            "get": _operation(
                "job",
                "How far a job is, and its results",
                "scores",
                _json("The job; results are kept for a week.", "JobState", {**JOB, "results": [SCORE], "next": None}),
                (*_READING, 422),
                parameters=[
                    {**_ID, "example": JOB["id"]},
                    {"name": "offset", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 9999}},
                ],
            )
        },
        "/v1/predictions/{id}": {
            "get": _operation(
                "prediction",
                "Read an answer again",
                "afterwards",
                _json("The answer as it was given.", "Score", SCORE),
                _READING,
                parameters=[_ID],
            )
        },
        "/v1/predictions/{id}/review": {
            "post": _operation(
                "review",
                "Record a person's review of an answer (LGPD art. 20)",
                "afterwards",
                _json("Recorded.", "Receipt", RECEIPT),
                (*_WRITING, 404),
                success=201,
                parameters=[_ID],
                requestBody=_body("Review", {"verdict": "requested", "reviewer": "analyst-17"}),
            )
        },
        "/v1/outcomes": {
            "post": _operation(
                "outcome",
                "Tell how a scored customer turned out",
                "afterwards",
                _json("Recorded.", "Receipt", RECEIPT),
                (*_WRITING, 404),
                success=201,
                requestBody=_body(
                    "Outcome",
                    {
                        "prediction_id": SCORE["prediction_id"],
                        "observed_class": "Standard",
                        "observed_at": "2026-11-23",
                    },
                ),
            )
        },
        **_service_paths(),
    }


def _service_paths() -> Json:
    plain = _told("Prometheus text format.", "text/plain", {"type": "string"}, METRICS)
    page = _told("A page.", "text/html", {"type": "string"}, '<!doctype html>\n<html lang="pt">…</html>\n')
    state: Json = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    alive = _told("Alive.", "application/json", state, {"status": "alive"})
    ready = _told("Ready.", "application/json", state, {"status": "ready"})
    busy = _told("Not ready.", "application/json", state, {"status": "not ready", "because": ["draining"]})
    described = _told("OpenAPI 3.1.", "application/json", {"type": "object"}, {"openapi": "3.1.0"})
    browser: Json = {"security": [{"ApiKey": []}, {"Basic": []}]}
    return {
        "/v1/model": {
            "get": _operation(
                "model",
                "The model that answers: origin, figures, approval",
                "service",
                _told("The manifest.", "application/json", {"type": "object"}, MANIFEST)
                | {"headers": _named("X-Request-Id", *_LIMITS, "qf-scopes", "qf-engine")},
                (401, 403, 429),
            )
        },
        "/docs": {
            "get": _operation(
                "docs",
                "The partner guide and this description, to try out",
                "service",
                page,
                (401, 403, 429),
                parameters=[{"name": "lang", "in": "query", "schema": {"type": "string", "enum": ["pt", "en"]}}],
                **browser,
            )
        },
        "/openapi.json": {
            "get": _operation(
                "openapi",
                "This description",
                "service",
                described,
                (401, 403, 429),
                **browser,
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "Counts for Prometheus",
                "service",
                plain,
                (401, 403, 429),
                security=[{"ApiKey": []}, {"Bearer": []}],
            )
        },
        "/livez": {"get": _operation("livez", "The process answers", "service", alive, (), security=[])},
        "/readyz": {
            "get": _operation("readyz", "Ready to score", "service", ready, (), security=[])
            | {"responses": {"200": ready, "503": busy}}
        },
    }


def _told(description: str, media_type: str, schema: Json, example: Any) -> Json:
    return {"description": description, "content": {media_type: {"schema": schema, "example": example}}}
