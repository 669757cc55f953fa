"""The same bytes to us and to h11: every disagreement has a reason, and none is a request that h11 did not read.

The quick form draws its requests from one seed; the full form draws many times as many.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from urllib.parse import unquote

import httptools
import pytest

from tests.service.protocol.grammar import Read, by_h11, message
from tests.service.protocol.talk import cut, talk


def _as_ours(read: Read) -> tuple[str, str, bytes]:
    """h11 leaves the target as it came."""
    method, target, body = read
    path = (httptools.parse_url(target).path or b"/").decode()
    return method, unquote(path), body


async def _differ(draw: random.Random, explained: Counter[str]) -> None:
    drawn = [message(draw) for _ in range(draw.choice((1, 1, 2, 3)))]
    data = b"".join(one for one, _ in drawn)
    places = sorted(draw.randrange(len(data)) for _ in range(draw.choice((0, 0, 1, 1, 3, 8))))
    ours = await talk(cut(data, places))
    theirs, end = by_h11(data)
    told = (data, places, ours.statuses, end)
    count = len(ours.echo.asked)
    assert ours.echo.asked == [_as_ours(one) for one in theirs[:count]], told
    refusals = ours.statuses[count:]
    assert set(ours.statuses[:count]) <= {200}, told
    assert len(refusals) <= 1 and all(status >= 400 for status in refusals), told
    assert ours.ended or not refusals, told
    if count == len(theirs) and bool(refusals) == (end == "error"):
        assert ours.ended or end in ("open", "short"), told
        return
    reasons = drawn[count][1] if count < len(drawn) else set()
    assert reasons, told
    explained.update(reasons)


def _run(seed: int, requests: int) -> Counter[str]:
    explained: Counter[str] = Counter()

    async def work() -> None:
        draw = random.Random(seed)
        for _ in range(requests):
            await _differ(draw, explained)

    asyncio.run(work())
    return explained


REASONS = {
    "a control character",
    "a field that says one thing is there twice",
    "a folded line",
    "a length in a trailer",
    "a line that ends in a line feed alone",
    "a method that no standard names",
    "a target that is no path",
    "HTTP/1.0 knows no Transfer-Encoding",
    "no proxy: CONNECT is refused",
    "not HTTP/1",
    "two ways to tell the length",
}


def test_five_thousand_requests_read_as_h11_reads_them() -> None:
    """We refuse more, for named reasons; what we read is what h11 reads, to the byte, in whatever pieces it comes."""
    assert set(_run(11, 5000)) <= REASONS


@pytest.mark.full
@pytest.mark.parametrize("seed", range(20))
def test_a_hundred_thousand_requests_read_as_h11_reads_them(seed: int) -> None:
    """As above, from twenty seeds."""
    assert set(_run(1000 + seed, 5000)) <= REASONS
