"""When a new slot is taken back."""

from __future__ import annotations

from bentos.deploying.proxy import LoggedRequest
from bentos.deploying.watch import WatchLimits, WatchVerdict, p99


def test_the_verdict_needs_more_than_one_odd_answer() -> None:
    """Three errors above the share, or two slow slices in a row."""
    limits = WatchLimits(error_share=0.005, p99_ms=50, slice_s=10)

    def seen(status: int = 200, s: str = "0.010") -> LoggedRequest:
        return LoggedRequest(at=0, method="POST", uri="/v1/score", status=status, s=s, slot="green")

    rare, often, slow = (WatchVerdict(limits, start=0) for _ in range(3))
    for index in range(1000):
        rare.add(seen(503 if index < 2 else 200))
        often.add(seen(503 if index % 100 == 0 else 200))
    assert rare.fault(1) == ""
    assert often.fault(1) == "10 of 1000 requests were answered with 5xx"
    for end, expected in ((10, ""), (20, "p99 is 90 ms, at most 50 ms are allowed")):
        for _ in range(30):
            slow.add(seen(s="0.090"))
        assert slow.fault(end) == expected
    hiccups = WatchVerdict(limits, start=0)  # of seventy answers a 99th percentile is the slowest one
    for end in (10, 20, 30):
        for index in range(70):
            hiccups.add(seen(s="2.000" if index < 2 else "0.010"))
        assert hiccups.fault(end) == ""
    crawling = WatchVerdict(limits, start=0)  # one after the other, so few are asked in a slice
    for end, expected in ((10, ""), (20, "p99 is 4000 ms, at most 50 ms are allowed")):
        for s in ("4.000", "4.000", "0.010", "4.000"):
            crawling.add(seen(s=s))
        assert crawling.fault(end) == expected
    assert [p99([]), p99([7]), p99(range(1, 201))] == [0.0, 7, 198]  # type: ignore[arg-type]
