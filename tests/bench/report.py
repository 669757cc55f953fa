"""What a benchmark of serving found, as tables in Markdown: medians over rounds, ratios with their spread, targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Final

from tests.bench.load import Client, Figures, Load, Peer

OURS: Final = "credit-score"
PORTABLE: Final = "credit-score, portable"
DATABASE: Final = "credit-score, database"
TARGETS: Final[dict[Load, dict[str, dict[str, float]]]] = {
    Load(16): {
        OURS: {
            "fastapi_df_shap": 90,
            "mlflow": 30,
            "fastapi_frame": 28,
            "fastapi_df": 15,
            "fastapi_list": 3.0,
            "raw_asgi": 1.5,
            "echo": 0.42,
        },
        PORTABLE: {"fastapi_df_shap": 45, "fastapi_df": 6, "mlflow": 6},
    },
    Load(16, Client.NEW): {OURS: {"raw_asgi": 1.0}},
    Load(64): {DATABASE: {"fastapi_df_insert": 15}},
}
"""At least so many times the peer's requests a second."""


def ratios(ours: Peer, peer: Peer, load: Load, of: Callable[[Figures], float]) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile of ours over the peer's, round by round."""
    pairs = zip(ours.found[load], peer.found[load], strict=True)
    values = sorted(of(one) / max(of(other), 1e-9) for one, other in pairs)
    spread = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return statistics.median(values), spread[0], spread[-1]


def _middle(found: Iterable[Figures], of: Callable[[Figures], float]) -> float:
    return statistics.median(of(one) for one in found)


def absolute(peers: Iterable[Peer], load: Load, title: str) -> str:
    """What each server did by itself."""
    lines = [
        f"\n**{title}**, medians over {{rounds}} rounds\n",
        "| server | requests/s | p50 ms | p99 ms | p99 ÷ p50 | server CPU µs | client, of a core | failed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rounds = 0
    for peer in peers:
        found = peer.found[load]
        rounds = len(found)
        if not peer.answered(load):
            lines.append(f"| {peer.name} | no answer within a visit ||||||")
            continue
        rps, cpu = _middle(found, lambda one: one.rps), _middle(found, lambda one: one.cpu_us)
        p50, p99 = _middle(found, lambda one: one.p50_ms), _middle(found, lambda one: one.p99_ms)
        failed, client = sum(one.bad for one in found), _middle(found, lambda one: one.client_share)
        lines.append(
            f"| {peer.name} | {rps:.0f} | {p50:.3f} | {p99:.2f} | {p99 / p50:.1f} "
            f"| {cpu:.0f} | {client:.2f} | {failed} |"
        )
    return "\n".join(lines).format(rounds=rounds)


def relative(ours: Peer, peers: Iterable[Peer], load: Load) -> str:
    """Ours over each peer's: times its requests, times its processor time saved, share of its median latency."""
    lines = [
        f"\n**{ours.name}** over each, {load}: median (10th to 90th percentile of the rounds)\n",
        "| peer | requests/s × | target | by server CPU × | p50 × |",
        "|---|---:|---:|---:|---:|",
    ]
    targets = TARGETS.get(load, {}).get(ours.name, {})
    for peer in filter(lambda one: one.answered(load), peers):
        speed, low, high = ratios(ours, peer, load, lambda one: one.rps)
        work, least, most = ratios(ours, peer, load, lambda one: 1 / one.cpu_us)
        wait, soon, late = ratios(ours, peer, load, lambda one: one.p50_ms)
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
