"""Every answer that is not a success: RFC 9457 problem details, one shape, never an applicant's value.

`{type, title, status, detail, instance, errors[]}`; `instance` names the request, as the answer's `X-Request-Id`
and our log do; `errors` has one entry a broken rule with a JSON pointer into the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

TYPE_BASE: Final = "urn:quantumfinance:problem:"
MEDIA_TYPE: Final = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule that the body breaks."""

    pointer: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, ready to be rendered for one request."""

    status: int
    slug: str
    title: str
    detail: str = ""
    errors: tuple[Fault, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False  # the rest of the request was not read, so the connection cannot be used again

    def render(self, request_id: str) -> bytes:
        """The body, as bytes of JSON."""
        body: dict[str, object] = {
            "type": TYPE_BASE + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail or self.title,
            "instance": f"urn:request:{request_id}",
        }
        if self.errors:
            body["errors"] = [{"pointer": one.pointer, "code": one.code, "detail": one.detail} for one in self.errors]
        return msgspec.json.encode({**body, **self.extra})

    def saying(self, detail: str, *errors: Fault) -> Problem:
        """The same problem, told in more detail."""
        return replace(self, detail=detail, errors=errors)

    def with_headers(self, *headers: tuple[bytes, bytes]) -> Problem:
        """The same problem with more response headers."""
        return replace(self, headers=self.headers + headers)


MALFORMED: Final = Problem(400, "malformed-json", "The body is not well-formed JSON")
DUPLICATE_KEY: Final = Problem(400, "duplicate-key", "The body names a key twice in one object")
BODY_TIMEOUT: Final = Problem(400, "body-timeout", "The body did not arrive in time", close=True)
INCOMPLETE: Final = Problem(400, "incomplete-body", "The body ended before its end", close=True)
BAD_HEADER: Final = Problem(400, "bad-header", "A request header is malformed")
MALFORMED_HTTP: Final = BAD_HEADER.saying("The request is not well-formed HTTP")
UNAUTHORIZED: Final = Problem(
    401,
    "unauthorized",
    "A valid API key is needed in the header x-api-key",
    "Send your key in the header x-api-key. The documentation is at /docs; a browser opens it with any user name and"
    " the key as password",
)
FORBIDDEN: Final = Problem(403, "forbidden", "This key's scopes do not cover the request")
NOT_FOUND: Final = Problem(
    404, "not-found", "There is nothing here", "There is nothing here; /docs tells what there is"
)
PREDICTION_NOT_FOUND: Final = Problem(404, "prediction-not-found", "No prediction of yours has this id")
JOB_NOT_FOUND: Final = Problem(404, "job-not-found", "No job of yours has this id here")
PREDICTION_AWAY: Final = Problem(
    503,
    "prediction-away",
    "The store that keeps older answers does not answer now",
    headers=((b"retry-after", b"5"),),
)
JOBS_AWAY: Final = Problem(
    503,
    "jobs-away",
    "The database that keeps jobs does not answer now",
    headers=((b"retry-after", b"5"),),
)
METHOD_NOT_ALLOWED: Final = Problem(405, "method-not-allowed", "The route does not take this method")
IDEMPOTENCY_RUNNING: Final = Problem(
    409,
    "idempotency-running",
    "The first request with this Idempotency-Key is still running",
    headers=((b"retry-after", b"1"),),
)
JOB_ENDED: Final = Problem(409, "job-ended", "The job has ended and can no longer be cancelled")
TOO_LARGE: Final = Problem(413, "content-too-large", "The body is larger than the route takes", close=True)
UNSUPPORTED: Final = Problem(
    415, "unsupported-media-type", "The body must be application/json, in UTF-8 and without a content encoding"
)
INVALID: Final = Problem(422, "invalid", "The body breaks rules of the schema")
IDEMPOTENCY_MISMATCH: Final = Problem(
    422, "idempotency-mismatch", "This Idempotency-Key was first used with another body"
)
QUOTA: Final = Problem(429, "quota-exceeded", "Too many requests for this key")
TOO_MANY_FAILURES: Final = Problem(429, "too-many-failures", "Too many refused keys from this address")
HEADERS_TOO_LARGE: Final = Problem(431, "headers-too-large", "The request's headers are larger than 16 KiB", close=True)
INTERNAL: Final = Problem(500, "internal", "The service failed; the request id tells us where")
TRANSFER_CODING: Final = Problem(501, "transfer-coding", "The only Transfer-Encoding taken is chunked", close=True)
OVERLOADED: Final = Problem(
    503, "overloaded", "The service sheds load; nothing was scored", headers=((b"retry-after", b"1"),)
)
CROWDED: Final = Problem(
    503,
    "crowded",
    "The service has as many connections as it holds",
    headers=((b"retry-after", b"1"),),
    close=True,
)
NOT_DURABLE: Final = Problem(503, "not-durable", "The answer could not be recorded durably, so none was given")

VERSION: Final = Problem(505, "http-version", "The service speaks HTTP/1.1", close=True)


def every() -> list[Problem]:
    """All of these, by status and name: what the documentation lists."""
    problems = [value for value in globals().values() if isinstance(value, Problem)]
    return sorted(problems, key=lambda one: (one.status, one.slug))
