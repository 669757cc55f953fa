"""The RateLimit headers read, and what follows from them."""

from __future__ import annotations

import pytest

from ui.api.limits import Limit, largest_batch, read_limits, wait_for

HEADERS = {
    "ratelimit-policy": '"burst";q=20;w=2, "daily";q=10000;w=86400',
    "ratelimit": '"burst";r=7;t=1, "daily";r=9123;t=40211',
}
BURST, DAILY = read_limits(HEADERS)


def test_read() -> None:
    """Both policies with what is left of each."""
    assert BURST == Limit("burst", 7, 20, 2, 1) and BURST.rate == 10
    assert DAILY == Limit("daily", 9123, 10000, 86400, 40211)


@pytest.mark.parametrize(
    "headers",
    [{}, {"ratelimit": "nonsense"}, {"ratelimit": '"x";t=3'}, {"ratelimit-policy": '"x";q=1;w=1'}],
    ids=["none", "nonsense", "no remaining", "policy alone"],
)
def test_nothing_to_read(headers: dict[str, str]) -> None:
    """Absent or odd headers are no limits and no error."""
    assert not read_limits(headers)


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [(5, 0), (7, 0), (12, 0.5), (20, 1.0), (9500, 40211)],
    ids=["there are more", "just enough", "half a second's worth", "no longer than the reset", "a new day"],
)
def test_wait(tokens: int, seconds: float) -> None:
    """A short window refills steadily, the day's quota all at once."""
    assert wait_for(tokens, (BURST, DAILY)) == pytest.approx(seconds)


def test_wait_without_a_policy() -> None:
    """Where only the reset is told, it is waited for."""
    assert wait_for(5, read_limits({"ratelimit": '"a";r=1;t=9'})) == 9


def test_largest_batch() -> None:
    """No request is larger than the smallest limit could ever allow."""
    assert largest_batch((BURST, DAILY), 1000) == 20
    assert largest_batch((), 1000) == 1000
