"""What a request pays and holds before its body is read, and that both come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pytest

from service.access.keystore import PARTNER_SCOPES, ApiKey
from service.access.shared_limits import SharedLimiter, SharedTable
from service.errors import ProblemError
from service.middleware.admission import BYTES_PER_TOKEN, Admission, BodyRoom
from service.middleware.rate_limit import Throttle
from service.problems import MALFORMED_HTTP
from service.web.bodies import BATCH_BYTES, Bodies
from service.web.exchange import Call

KEY: Final = ApiKey("admit000", "acme", frozenset(PARTNER_SCOPES), 1e-6, 500, 10**6)
LENGTH: Final = 1 << 20


@pytest.fixture(name="admission")
def _admission(tmp_path: Any) -> Admission:
    """With room for two bodies of a key and three in all, 500 tokens, two places."""
    limiter = SharedLimiter(SharedTable(tmp_path / "limits.bin"))
    return Admission(Throttle(limiter, 2, 2), Bodies(5.0), BodyRoom(3 * LENGTH, 2 * LENGTH))


def call(length: int | None = LENGTH, key: ApiKey = KEY, asked: list[str] | None = None) -> Call:
    """A request whose body comes in two parts when it is asked for."""

    async def parts() -> AsyncIterator[dict[str, Any]]:
        size = length if length is not None else LENGTH
        yield {"type": "http.request", "body": b" " * (size // 2), "more_body": True}
        yield {"type": "http.request", "body": b" " * (size - size // 2), "more_body": False}

    source = parts()

    async def receive() -> dict[str, Any]:
        if asked is not None:
            asked.append("asked")
        return await anext(source)

    headers = {b"content-type": b"application/json"}
    if length is not None:
        headers[b"content-length"] = b"%d" % length
    found = Call("POST", "/v1/score/batch", headers, "192.0.2.1", receive)
    found.key = key
    return found


async def _breaks_off(messages: list[Any]) -> Any:
    if not messages:
        raise ProblemError(MALFORMED_HTTP)
    return messages.pop()


async def left(admission: Admission, key: ApiKey = KEY) -> int:
    """Tokens that a key has."""
    return (await admission.throttle.limiter.take(key, 0)).remaining


def test_a_body_is_paid_by_its_bytes_before_it_is_read_and_settled_afterwards(admission: Admission) -> None:
    """65 tokens for a mebibyte; then the route's price, or a refund."""

    async def run() -> None:
        first, second = call(), call()
        await admission.read(first, BATCH_BYTES)
        assert (first.tokens, await left(admission)) == (1 + LENGTH // BYTES_PER_TOKEN, 500 - 65)
        await admission.settle(first, 1)
        assert (first.tokens, await left(admission)) == (1, 499)
        await admission.read(second, BATCH_BYTES)
        with pytest.raises(ProblemError) as refused:
            await admission.settle(second, 600)
        assert (refused.value.problem.status, second.tokens, await left(admission)) == (429, 0, 499)

    asyncio.run(run())


def test_a_body_of_untold_length_pays_when_it_is_there(admission: Admission) -> None:
    """As much as one that told it."""

    async def run() -> None:
        found = call(None)
        await admission.read(found, BATCH_BYTES)
        assert found.tokens == 1 + LENGTH // BYTES_PER_TOKEN

    asyncio.run(run())


def test_a_body_that_breaks_off_pays_for_what_came(admission: Admission) -> None:
    """As one that is whole and refused: by its bytes, however it ends, and too large is said before any later fault."""

    async def work() -> None:
        for limit, problem in ((BATCH_BYTES, MALFORMED_HTTP), (LENGTH // 2 - 1, None)):
            broken, before = call(None), await left(admission)
            broken.receive = partial(_breaks_off, [await broken.receive()])
            with pytest.raises(ProblemError) as error:
                await admission.read(broken, limit)
            assert error.value.problem.status == (problem.status if problem else 413)
            assert before - await left(admission) == broken.tokens == 1 + LENGTH // 2 // BYTES_PER_TOKEN
            assert broken.release is not None
            broken.release()

    asyncio.run(work())


def test_the_keys_of_a_partner_share_its_room_and_tests_have_their_own(admission: Admission) -> None:
    """A second key is no second share; a test key is another account, as it is for tokens."""
    second = replace(KEY, id="second00")
    for key in (KEY, second):
        admission.room.hold(call(key=key), LENGTH)
    with pytest.raises(ProblemError) as refused:
        admission.room.hold(call(key=second), LENGTH)
    assert refused.value.problem.status == 429
    admission.room.hold(call(key=replace(KEY, id="test0000", test=True)), LENGTH)
    assert admission.room.in_use == 3 * LENGTH


def test_who_is_not_admitted_is_not_read(admission: Admission) -> None:
    """No token, no place, no room: none of them asks for a byte, and nothing was paid or held."""

    async def run() -> None:
        poor, asked = ApiKey("poor0000", "poor", KEY.scopes, 1e-6, 5, 10**6), []
        for blocked in (call(key=poor, asked=asked), call(key=poor, asked=asked)):
            with pytest.raises(ProblemError) as refused:
                await admission.read(blocked, BATCH_BYTES)
            assert refused.value.problem.status == 429
            assert blocked.release is not None
            blocked.release()
        held = [call(), call()]
        for one in held:
            await admission.read(one, BATCH_BYTES)
        before = await left(admission)
        for wanting, status in ((call(asked=asked), 429), (call(2 * LENGTH, poor, asked), 503)):
            with pytest.raises(ProblemError) as refused:
                await admission.read(wanting, BATCH_BYTES)
            assert (refused.value.problem.status, wanting.release) == (status, None)
        assert (await left(admission), asked, admission.room.in_use) == (before, [], 2 * LENGTH)
        for one in held:
            assert one.release is not None
            one.release()
            admission.throttle.enter(one)
        assert admission.room.in_use == 0
        with pytest.raises(ProblemError) as refused:
            await admission.read(call(asked=asked), BATCH_BYTES)
        assert (refused.value.problem.status, asked) == (503, [])

    asyncio.run(run())
