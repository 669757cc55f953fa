"""Each answer of the API becomes a value or an error of its own kind; the key stays inside."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from tests.ui.fake_api import KEY, FakeApi
from ui.api import errors
from ui.api.client import Client
from ui.applicant.examples import EXAMPLES
from ui.settings import UiSettings

TYPED = EXAMPLES["ordinary"].model_dump(mode="json", exclude_none=True)


def client_of(settings: UiSettings, answer: httpx.Response | Exception) -> Client:
    """A client whose every call gets `answer`."""

    def handle(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Client(settings, httpx.MockTransport(handle))


def test_a_score(api: FakeApi, settings: UiSettings) -> None:
    """The answer, the limits and the exchange, which holds no key."""
    reply = Client(settings, api.transport()).score(TYPED)
    assert reply.value.score == 672 and reply.limits[0].name == "burst"
    assert reply.exchange.status == 200 and KEY not in repr(reply)


def test_a_batch(api: FakeApi, settings: UiSettings) -> None:
    """Answers in order, with the token of the caller."""
    reply = Client(settings, api.transport()).score_batch(list(EXAMPLES.values()), "token-1")
    assert [score.band for score in reply.value] == ["Good", "Standard", "Poor"]
    assert api.requests[0][3]["idempotency-key"] == "token-1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.KeyRejected),
        (403, errors.NotAllowed),
        (404, errors.NotFound),
        (409, errors.Unavailable),
        (413, errors.TooLarge),
        (415, errors.Invalid),
        (422, errors.Invalid),
        (429, errors.LimitReached),
        (500, errors.Unexpected),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (307, errors.Unexpected),
    ],
)
def test_errors(api: FakeApi, settings: UiSettings, status: int, kind: type[errors.ApiError]) -> None:
    """One kind an HTTP status, with the request's id for support."""
    api.fail = status
    with pytest.raises(kind) as raised:
        Client(settings, api.transport()).score(TYPED)
    assert raised.value.request_id == "req-1" and raised.value.exchange is not None


def test_a_wrong_key(api: FakeApi, settings: UiSettings) -> None:
    """401 is the key's fault; the error does not repeat the key."""
    wrong = replace(settings, key=SecretStr("qf_wrong"))
    with pytest.raises(errors.KeyRejected) as raised:
        Client(wrong, api.transport()).score(TYPED)
    assert "qf_wrong" not in repr(raised.value) + str(raised.value) + repr(raised.value.exchange)


def test_faults_by_field(api: FakeApi, settings: UiSettings) -> None:
    """A 422 names the fields and their rules."""
    with pytest.raises(errors.Invalid) as raised:
        Client(settings, api.transport()).score({**TYPED, "num_loans": 99, "interest_rate": None})
    assert {(fault.field, fault.code) for fault in raised.value.faults} >= {
        ("num_loans", "too-large"),
        ("interest_rate", "type"),
    }


@pytest.mark.parametrize(
    "pointer", ["/applicants/3/num_loans", "#/num_loans", "/num_loans", "/num_loans/0"], ids=lambda each: each[:6]
)
def test_pointers(settings: UiSettings, pointer: str) -> None:
    """Any form of JSON pointer leads to the field."""
    body = {"errors": [{"pointer": pointer, "code": "type"}, "odd"]}
    with pytest.raises(errors.Invalid) as raised:
        client_of(settings, httpx.Response(422, json=body)).score(TYPED)
    assert [fault.field for fault in raised.value.faults] == ["num_loans"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after": "7"}, 7), ({"ratelimit": '"a";r=0;t=9'}, 9), ({}, 1), ({"retry-after": "soon"}, 1)],
    ids=["told", "by the reset", "not told", "nonsense"],
)
def test_how_long_to_wait(settings: UiSettings, headers: dict[str, str], seconds: float) -> None:
    """A 429 always says how long."""
    with pytest.raises(errors.LimitReached) as raised:
        client_of(settings, httpx.Response(429, headers=headers)).score(TYPED)
    assert raised.value.retry_after_s == seconds


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("gone")],
    ids=["refused", "too slow", "broke off twice"],
)
def test_nobody_there(settings: UiSettings, answer: Exception) -> None:
    """No answer is `NoConnection`, whatever the cause."""
    with pytest.raises(errors.NoConnection):
        client_of(settings, answer).score(TYPED)


def test_a_stale_connection_is_tried_once_more(api: FakeApi, settings: UiSettings) -> None:
    """A connection closed by the server while idle is no error; the token keeps the repeat from counting twice."""
    tokens: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        tokens.append(request.headers["idempotency-key"])
        if len(tokens) == 1:
            raise httpx.RemoteProtocolError("closed")
        return api.handle(request)

    assert Client(settings, httpx.MockTransport(handle)).score(TYPED).value.score == 672
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize(
    "response",
    [httpx.Response(200, text="<html>"), httpx.Response(200, json={"score": 3}), httpx.Response(200, json=[1])],
    ids=["no JSON", "no score", "a list"],
)
def test_an_answer_nobody_planned_for(settings: UiSettings, response: httpx.Response) -> None:
    """A 200 that is no answer is `Unexpected`, not a traceback."""
    with pytest.raises(errors.Unexpected):
        client_of(settings, response).score(TYPED)


def test_a_batch_with_answers_missing(settings: UiSettings) -> None:
    """Fewer answers than rows are never matched to the wrong rows."""
    with pytest.raises(errors.Unexpected):
        client_of(settings, httpx.Response(200, json={"scores": []})).score_batch([EXAMPLES["careful"]])


def test_a_model_that_is_no_object(settings: UiSettings) -> None:
    """`GET /v1/model` must be an object."""
    with pytest.raises(errors.Unexpected):
        client_of(settings, httpx.Response(200, json=[])).model()
