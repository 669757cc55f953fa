"""The benchmark of serving tells ratios round by round, with their spread and what was asked."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pytest

from tests.bench import serving
from tests.bench.load import Figures, Peer
from tests.bench.report import OURS, absolute, ratios, relative


def _peer(name: str, rps: list[float]) -> Peer:
    found = [Figures(rps=one, p50_ms=1e3 / one, p99_ms=4e3 / one, cpu_us=1e6 / one, bad=0) for one in rps]
    return Peer(name, [], 0, b"", found={16: found})


def test_a_ratio_is_of_the_same_round() -> None:
    """A machine that is twice as fast in the second round moves no ratio."""
    ours, peer = _peer(OURS, [100.0, 200.0]), _peer("fastapi_list", [40.0, 80.0])
    assert ratios(ours, peer, 16, lambda one: one.rps) == (2.5, 2.5, 2.5)


def test_the_tables_name_target_and_spread() -> None:
    """Requests, what was asked, processor time and latency, a line a peer."""
    ours, peer = _peer(OURS, [100.0, 200.0, 300.0]), _peer("fastapi_list", [40.0, 40.0, 40.0])
    assert "| fastapi_list | 5.00 (3.00–7.00) | 2.5 | 5.00 (3.00–7.00) | 0.200 (0.147–0.360) |" in relative(
        ours, [peer], 16
    )
    assert "| credit-score | 200 | 5.000 | 20.00 | 4.0 | 5000 | 0 |" in absolute([ours], 16, "One applicant")


def test_no_round_is_begun_that_would_end_too_late(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first round always runs, so there is something to tell; all servers have as many rounds."""
    peers = [Peer(name, [], 0, b"") for name in ("one", "other")]
    monkeypatch.setattr(serving, "visit", lambda *_: Figures(1.0, 1.0, 1.0, 1.0, 0))
    options = argparse.Namespace(rounds=9, seconds=1)

    serving.measure([(peer, 1) for peer in peers], options, tmp_path, time.monotonic() - 1.0)
    assert [len(peer.found[1]) for peer in peers] == [1, 1]
    serving.measure([(peer, 1) for peer in peers], options, tmp_path, time.monotonic() + 3600.0)
    assert [len(peer.found[1]) for peer in peers] == [10, 10]
