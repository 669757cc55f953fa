"""What a benchmark of serving found, as tables in Markdown: medians over rounds, ratios with their spread, targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Final

from tests.bench.load import Figures, Peer

OURS: Final = "credit-score"
PORTABLE: Final = "credit-score, portable"
DATABASE: Final = "credit-score, database"
TARGETS: Final[dict[str, dict[str, float]]] = {
    OURS: {"fastapi_df_shap": 75, "fastapi_df": 15, "mlflow": 15, "fastapi_list": 2.5},
    DATABASE: {"fastapi_df_insert": 15},
    PORTABLE: {"fastapi_df_shap": 45, "fastapi_df": 6, "mlflow": 6},
}
"""At least so many times the peer's requests a second at 16 connections (issue: the scoring API)."""


def ratios(ours: Peer, peer: Peer, connections: int, of: Callable[[Figures], float]) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile of ours over the peer's, round by round."""
    pairs = zip(ours.found[connections], peer.found[connections], strict=True)
    values = sorted(of(one) / max(of(other), 1e-9) for one, other in pairs)
    spread = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return statistics.median(values), spread[0], spread[-1]


def _middle(found: Iterable[Figures], of: Callable[[Figures], float]) -> float:
    return statistics.median(of(one) for one in found)


def absolute(peers: Iterable[Peer], connections: int, title: str) -> str:
    """What each server did by itself."""
    lines = [
        f"\n**{title}**, medians over {{rounds}} rounds\n",
        "| server | requests/s | p50 ms | p99 ms | p99 ÷ p50 | server CPU µs | failed |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    rounds = 0
    for peer in peers:
        found = peer.found[connections]
        rounds = len(found)
        rps, cpu = _middle(found, lambda one: one.rps), _middle(found, lambda one: one.cpu_us)
        p50, p99 = _middle(found, lambda one: one.p50_ms), _middle(found, lambda one: one.p99_ms)
        failed = sum(one.bad for one in found)
        lines.append(f"| {peer.name} | {rps:.0f} | {p50:.3f} | {p99:.2f} | {p99 / p50:.1f} | {cpu:.0f} | {failed} |")
    return "\n".join(lines).format(rounds=rounds)


def relative(ours: Peer, peers: Iterable[Peer], connections: int) -> str:
    """Ours over each peer's: times its requests, times its processor time saved, share of its median latency."""
    lines = [
        f"\n**{ours.name}** over each, {connections} connections: median (10th to 90th percentile of the rounds)\n",
        "| peer | requests/s × | target | by server CPU × | p50 × |",
        "|---|---:|---:|---:|---:|",
    ]
    targets = TARGETS[ours.name] if connections > 1 else {}
    for peer in peers:
        speed, low, high = ratios(ours, peer, connections, lambda one: one.rps)
        work, least, most = ratios(ours, peer, connections, lambda one: 1 / one.cpu_us)
        wait, soon, late = ratios(ours, peer, connections, lambda one: one.p50_ms)
        target = f"{targets[peer.name]:g}" if peer.name in targets else ""
        lines.append(
            f"| {peer.name} | {speed:.2f} ({low:.2f}–{high:.2f}) | {target} "
            f"| {work:.2f} ({least:.2f}–{most:.2f}) | {wait:.3f} ({soon:.3f}–{late:.3f}) |"
        )
    return "\n".join(lines)


def parts(title: str, costs: dict[str, float], unit: str = "µs") -> str:
    """A line a cost."""
    lines = [f"\n**{title}**\n", f"| what | {unit} |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {name} | {value:.2f} |" for name, value in costs.items())])
