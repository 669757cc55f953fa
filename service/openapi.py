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

from service import problems
from service.contract import Applicant, Batch, Outcome, Receipt, Review, Score, Scores
from service.problems import Fault, Problem

Json = dict[str, Any]
VERSION: Final = "1.0.0"
SAMPLES: Final = Path(__file__).parent / "docs" / "samples"
_LANGUAGES: Final = {
    "score.sh": ("Shell", "curl"),
    "score.py": ("Python", "Python"),
    "score.mjs": ("JavaScript", "Node"),
}

APPLICANT: Final[Json] = {
    "annual_income": 65000.5,
    "monthly_inhand_salary": 4800.25,
    "num_bank_accounts": 4,
    "num_credit_cards": 5,
    "num_loans": 2,
    "loan_types": ["auto", "mortgage"],
    "interest_rate": 12,
    "delay_from_due_date": 10,
    "num_delayed_payments": 8,
    "num_credit_inquiries": 4,
    "changed_credit_limit": 9.5,
    "credit_mix": "Standard",
    "outstanding_debt": 1200.5,
    "credit_utilization_ratio": 31.2,
    "credit_history_months": 200,
    "payment_of_min_amount": "No",
    "total_emi_per_month": 90.1,
    "amount_invested_monthly": 150.2,
    "payment_behaviour": "high_spent_small_value_payments",
    "monthly_balance": None,
}
SCORE: Final[Json] = {
    "prediction_id": "20261123-lnck5m4g5u-1f",
    "score": 642,
    "band": "Standard",
    "predicted_class": "Standard",
    "probabilities": {"Poor": 0.033274, "Standard": 0.649067, "Good": 0.317659},
    "borderline": False,
    "reasons": [
        {
            "code": "HISTORY",
            "text": {"pt": "Histórico de crédito curto", "en": "The credit history is short"},
            "feature": "credit_history_months",
            "direction": "too_low",
        }
    ],
    "warnings": [],
    "model": {"name": "credit-score", "version": "7", "digest": "b" * 64},
    "created_at": "2026-11-23T12:00:00.000Z",
}
RECEIPT: Final[Json] = {
    "id": "20261123-lnck5m4g5u-20",
    "prediction_id": SCORE["prediction_id"],
    "created_at": "2026-11-23T12:00:01.000Z",
}
_FAULT: Final = Fault("/annual_income", "too-large", "should be less than or equal to 10000000")
_EXAMPLES: Final[dict[int, Problem]] = {
    400: problems.MALFORMED.saying("The body is not well-formed JSON: line 1, column 17"),
    401: problems.UNAUTHORIZED,
    403: problems.FORBIDDEN,
    404: problems.PREDICTION_NOT_FOUND,
    405: problems.METHOD_NOT_ALLOWED,
    409: problems.IDEMPOTENCY_RUNNING,
    413: problems.TOO_LARGE.saying("The route takes at most 65536 bytes"),
    415: problems.UNSUPPORTED,
    422: problems.INVALID.saying("1 rule is broken", _FAULT),
    429: problems.QUOTA.saying("The burst limit of this key is used up; try again in 2 s"),
    503: problems.NOT_DURABLE,
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
            "description": "Scores applicants from 0 to 1000 with reasons. The partner guide is at `/docs`.",
        },
        "servers": [{"url": "/"}],
        "security": [{"ApiKey": []}],
        "tags": [{"name": "scores"}, {"name": "afterwards"}, {"name": "service"}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": _security(),
            "headers": _headers(),
            "responses": {str(status): _problem_response(status) for status in _EXAMPLES},
        },
    }


def _schemas() -> Json:
    models = (Applicant, Batch, Outcome, Review, Score, Scores, Receipt, ProblemSchema)
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
        "Idempotent-Replayed": header("`true` if this is the stored answer of an earlier request.", "true"),
        "WWW-Authenticate": header("How to show a key here.", 'ApiKey realm="QuantumFinance"'),
    }


def _ref(kind: str, name: str | int) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _named(*names: str) -> Json:
    return {name: _ref("headers", name) for name in names}


def _problem_response(status: int) -> Json:
    problem = _EXAMPLES[status]
    names = {401: ("WWW-Authenticate",), 429: ("RateLimit", "RateLimit-Policy", "Retry-After"), 503: ("Retry-After",)}
    example: Json = {
        "type": problems.TYPE_BASE + problem.slug,
        "title": problem.title,
        "status": status,
        "detail": problem.detail or problem.title,
        "instance": "urn:request:e6747e2b4140-43ed-2",
    }
    if problem.errors:
        example["errors"] = [{"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in problem.errors]
    return {
        "description": problem.title,
        "headers": _named("X-Request-Id", *names.get(status, ())),
        "content": {"application/problem+json": {"schema": _ref("schemas", "ProblemSchema"), "example": example}},
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
        for file, (language, label) in _LANGUAGES.items()
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
        "/v1/predictions/{id}": {
            "get": _operation(
                "prediction",
                "Read an answer again",
                "afterwards",
                _json("The answer as it was given; kept 90 days.", "Score", SCORE),
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
    plain: Json = {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    page: Json = {"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    state: Json = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    told: Json = {"content": {"application/json": {"schema": state}}}
    object_: Json = {"content": {"application/json": {"schema": {"type": "object"}}}}
    browser: Json = {"security": [{"ApiKey": []}, {"Basic": []}]}
    return {
        "/v1/model": {
            "get": _operation(
                "model",
                "The model that answers: origin, figures, approval",
                "service",
                {
                    "description": "The manifest.",
                    "headers": {
                        "qf-scopes": {
                            "description": "What the key that asked may do, separated by spaces.",
                            "schema": {"type": "string", "examples": ["docs read score"]},
                        }
                    },
                    **object_,
                },
                (401, 403, 429),
            )
        },
        "/docs": {
            "get": _operation(
                "docs",
                "The partner guide and this description, to try out",
                "service",
                page,
                (401, 403),
                parameters=[{"name": "lang", "in": "query", "schema": {"type": "string", "enum": ["pt", "en"]}}],
                **browser,
            )
        },
        "/openapi.json": {
            "get": _operation(
                "openapi",
                "This description",
                "service",
                {"description": "OpenAPI 3.1.", **object_},
                (401, 403),
                **browser,
            )
        },
        "/metrics": {
            "get": _operation(
                "metrics",
                "Counts for Prometheus",
                "service",
                plain,
                (401, 403),
                security=[{"ApiKey": []}, {"Bearer": []}],
            )
        },
        "/livez": {
            "get": _operation(
                "livez", "The process answers", "service", {"description": "Alive.", **told}, (), security=[]
            )
        },
        "/readyz": {
            "get": _operation(
                "readyz",
                "Ready to score",
                "service",
                {"description": "Ready.", **told},
                (),
                security=[],
            )
            | {"responses": {"200": {"description": "Ready.", **told}, "503": {"description": "Not ready.", **told}}}
        },
    }
