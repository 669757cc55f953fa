"""The one way from the page to the API: typed calls, typed errors, and what was sent and got, without the key."""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from service.contract import Advice, AdviceTarget, Applicant, JobState, Score, Scores
from ui.api import errors
from ui.api.exchange import Exchange
from ui.api.limits import Limit, read_limits
from ui.settings import UiSettings

Spend = Callable[[int], None]
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
_TIMEOUT: Final = httpx.Timeout(30.0, connect=3.0)
_ERRORS: Final[dict[int, type[errors.ApiError]]] = {
    401: errors.KeyRejected,
    403: errors.NotAllowed,
    404: errors.NotFound,
    409: errors.Unavailable,  # the first request with the same idempotency token still runs
    413: errors.TooLarge,
    429: errors.LimitReached,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}
SCORE_PATH: Final = "/v1/score?prediction_set=true"
_APPLICANTS: Final = TypeAdapter(Sequence[Applicant])
_REFUSED_INPUT: Final = frozenset({400, 415, 422})


@dataclass(frozen=True)
class ApiReply(Generic[T]):
    """An answer with what came along: the limits' state and the exchange."""

    value: T
    exchange: Exchange
    limits: tuple[Limit, ...] = field(default=())


class Client:
    """Calls of the API with one key. Safe to share between threads; `transport` is for tests."""

    def __init__(
        self, settings: UiSettings, transport: httpx.BaseTransport | None = None, spend: Spend | None = None
    ) -> None:
        self._spend = spend
        self._http = httpx.Client(
            base_url=settings.endpoint,
            headers={"x-api-key": settings.key.get_secret_value(), "user-agent": "quantumfinance-ui"},
            timeout=_TIMEOUT,
            transport=transport,
            follow_redirects=False,  # the key goes to the endpoint named in the settings and nowhere else
        )

    def paid_by(self, spend: Spend) -> Client:
        """The same client, on the same connections, whose tokens count on one visitor."""
        own = copy.copy(self)
        own._spend = spend  # pylint: disable=protected-access  # of this very class
        return own

    def score(self, applicant: dict[str, Any]) -> ApiReply[Score]:
        """One applicant scored, with the classes left open.

        `applicant` is JSON as the contract wants it: the API judges it, not this page.
        """
        self._pay(1)
        return self._typed(Score, self._call("POST", SCORE_PATH, json.dumps(applicant, allow_nan=False).encode()))

    def score_batch(self, applicants: Sequence[Applicant], token: str = "") -> ApiReply[list[Score]]:
        """Up to 1,000 applicants scored in order; the same `token` never scores the same rows twice."""
        self._pay(len(applicants))
        reply = self._typed(Scores, self._call("POST", "/v1/score/batch", body_of(applicants), token))
        if len(reply.value.scores) != len(applicants):
            raise errors.Unexpected(status=reply.exchange.status)
        return ApiReply(reply.value.scores, reply.exchange, reply.limits)

    def advice(self, applicant: Mapping[str, Any], target: AdviceTarget) -> ApiReply[Advice]:
        """The smallest set of changes that brings one applicant to the target; one token, nothing is stored."""
        self._pay(1)
        question = {"applicant": applicant, "target": target.model_dump(mode="json", exclude_none=True)}
        return self._typed(
            Advice, self._call("POST", "/v1/score/advice", json.dumps(question, allow_nan=False).encode())
        )

    def score_part(self, applicants: Sequence[Applicant], token: str, *, sets: bool = False) -> ApiReply[int]:
        """A part of a large batch, its answers counted and left as bytes (`exchange.response`): read when shown."""
        self._pay(len(applicants))
        path = "/v1/score/batch?prediction_set=true" if sets else "/v1/score/batch"
        reply = self._call("POST", path, body_of(applicants), token)
        # Inside a JSON string a quote is escaped, so this can only be the key: a count without decoding a megabyte.
        if reply.exchange.response.count(b'"prediction_id":') != len(applicants):
            raise errors.Unexpected(status=reply.exchange.status)
        return ApiReply(len(applicants), reply.exchange, reply.limits)

    def order(self, applicants: Sequence[Applicant]) -> ApiReply[JobState]:
        """Up to 10,000 applicants to be scored in the API's own time; sent again it is the same order."""
        self._pay(len(applicants))
        return self._typed(JobState, self._call("POST", "/v1/jobs", body_of(applicants)))

    def job(self, identifier: str, offset: int, *, sets: bool = False) -> ApiReply[JobState]:
        """How far an order is, and up to 1,000 of its results from row `offset` on; one token of the key."""
        option = "&prediction_set=true" if sets else ""
        return self._typed(JobState, self._call("GET", f"/v1/jobs/{identifier}?offset={offset}{option}"))

    def model(self) -> ApiReply[dict[str, Any]]:
        """The manifest of the model that answers: a page may be older than it, so it stays a mapping."""
        reply = self._call("GET", "/v1/model")
        answer = reply.exchange.answer
        if not isinstance(answer, dict):
            raise errors.Unexpected(status=reply.exchange.status)
        return ApiReply(answer, reply.exchange, reply.limits)

    def scopes(self) -> frozenset[str]:
        """What the key of this page may do."""
        return frozenset(self._call("GET", "/v1/model").exchange.headers.get("qf-scopes", "").split())

    def _pay(self, tokens: int) -> None:
        if self._spend is not None:
            self._spend(tokens)

    def _call(self, method: str, path: str, content: bytes | None = None, token: str = "") -> ApiReply[None]:
        headers = {}
        if content is not None:
            headers = {"content-type": "application/json", "idempotency-key": token or uuid.uuid4().hex}
        started = time.perf_counter()
        response = self._send(method, path, content, headers)
        took_ms = (time.perf_counter() - started) * 1000
        reply_headers = {name: value for name, value in response.headers.items() if name in _SHOWN_HEADERS}
        exchange = Exchange(method, path, content, response.status_code, response.content, reply_headers, took_ms)
        if response.is_success:
            return ApiReply(None, exchange, read_limits(response.headers))
        error = _error(response, exchange.answer)
        error.exchange, error.limits = exchange, read_limits(response.headers)
        raise error

    def _send(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> httpx.Response:
        """The response. A connection the server had closed meanwhile is tried once more: the token makes it safe."""
        try:
            return self._http.request(method, path, content=content, headers=headers)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return self._again(method, path, content, headers)
        except httpx.HTTPError as error:
            raise errors.NoConnection from error

    def _again(self, method: str, path: str, content: bytes | None, headers: dict[str, str]) -> httpx.Response:
        try:
            return self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise errors.NoConnection from error

    @staticmethod
    def _typed(kind: type[M], reply: ApiReply[None]) -> ApiReply[M]:
        try:
            return ApiReply(kind.model_validate_json(reply.exchange.response), reply.exchange, reply.limits)
        except ValidationError as error:
            raise errors.Unexpected(status=reply.exchange.status) from error


_SHOWN_HEADERS: Final = frozenset(
    {"content-type", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id", "idempotent-replayed", "qf-scopes"}
)


def body_of(applicants: Sequence[Applicant]) -> bytes:
    """Applicants as the body of a batch or an order."""
    return b'{"applicants":' + _APPLICANTS.dump_json(applicants) + b"}"


def _error(response: httpx.Response, answer: Any) -> errors.ApiError:
    problem = answer if isinstance(answer, dict) else {}
    request_id = str(problem.get("instance", "")).removeprefix("urn:request:")
    status = response.status_code
    if status in _REFUSED_INPUT:
        return errors.Invalid(_faults(problem), status=status, request_id=request_id)
    kind = _ERRORS.get(status, errors.Unexpected)
    return kind(status=status, request_id=request_id, retry_after_s=_retry_after_s(response))


def _faults(problem: dict[str, Any]) -> tuple[errors.FieldFault, ...]:
    """The fields at fault: RFC 9457's `errors`, each with a JSON pointer (RFC 6901) and a code."""
    entries = problem.get("errors", [])
    items = [item for item in entries if isinstance(item, dict)] if isinstance(entries, list) else []
    return tuple(errors.FieldFault(_steps(str(item.get("pointer", ""))), str(item.get("code", ""))) for item in items)


def _steps(pointer: str) -> tuple[str, ...]:
    plain = pointer.removeprefix("#")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in plain.split("/") if step)


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds to wait: `Retry-After`, or the longest reset of an empty limit, or 1."""
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        resets = [limit.reset_s for limit in read_limits(response.headers) if limit.remaining < 1]
        return max(resets, default=1.0)
