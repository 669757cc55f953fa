"""Runs of the benchmark of serving, a line of JSON each, and the bands between them: `python -m tests.bench.runs FILE`.

Rounds of one run share the machine and its mood, so their spread says little of the next day's. What may be quoted is
the median of the runs with the least and the greatest, over five runs at least.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.load import Figures, Load, Peer
from tests.bench.report import OURS, ratios

MANY: Final = "batch"
ENOUGH: Final = 5
_OF: Final[dict[str, Callable[[Figures], float]]] = {
    "rps": lambda one: one.rps,
    "cpu": lambda one: 1 / max(one.cpu_us, 1e-9),
    "p50": lambda one: one.p50_ms,
}


class Ratios(msgspec.Struct):
    """Ours over a peer's, medians over the rounds: requests a second, the same by server CPU, median latency."""

    rps: float
    cpu: float
    p50: float


class Absolute(msgspec.Struct):
    """What a server did, medians over the rounds; `failed` is a sum."""

    rps: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    client_share: float
    failed: int


class Run(msgspec.Struct):
    """One run: when, on what, and by load and peer what was found."""

    date: str
    cores: int
    cpu: str
    load_average: float
    """Of the minute before it ended, all its servers included."""
    data: str
    rounds: int
    ratios: dict[str, dict[str, Ratios]]
    servers: dict[str, dict[str, Absolute]]

    @classmethod
    def of(cls, singles: Sequence[Peer], many: Sequence[Peer], loads: Sequence[Load], *, data: str) -> Run:
        """What the servers of this run found; the first of each list is ours."""
        groups = [*((str(load), load, singles) for load in loads), (MANY, Load(1), many)]
        return cls(
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            cores=os.cpu_count() or 1,
            cpu=_processor(),
            load_average=round(os.getloadavg()[0], 1),
            data=data,
            rounds=len(singles[0].found[loads[0]]),
            ratios={
                name: {peer.name: _ratios(peers[0], peer, load) for peer in peers[1:] if peer.answered(load)}
                for name, load, peers in groups
            },
            servers={name: {peer.name: _absolute(peer.found[load]) for peer in peers} for name, load, peers in groups},
        )


@dataclass(frozen=True)
class Band:
    """A figure between runs."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Band:
        """Median, least and greatest."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1])

    def __str__(self) -> str:
        return f"{_short(self.middle)} ({_short(self.low)}–{_short(self.high)})"


def add(path: Path, run: Run) -> None:
    """Append a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")


def read(path: Path) -> list[Run]:
    """All runs of a file, in its order."""
    return [msgspec.json.decode(line, type=Run) for line in path.read_bytes().splitlines()]


def band(found: Sequence[Run], load: str, peer: str, of: str = "rps") -> Band:
    """Ours over a peer's between runs; `of` is a field of `Ratios`."""
    return Band.of(
        getattr(run.ratios[load][peer], of) for run in found if load in run.ratios and peer in run.ratios[load]
    )


def bands(found: Sequence[Run]) -> str:
    """A table a load: ours over each peer's, between runs."""
    days = sorted({run.date[:10] for run in found})
    few = "" if len(found) >= ENOUGH else f"; fewer than the {ENOUGH} that may be quoted"
    lines = [f"\n**Between {len(found)} runs**, {days[0]} to {days[-1]}: median (least–greatest){few}"]
    for load in dict.fromkeys(load for run in found for load in run.ratios):
        lines += [
            f"\n{OURS} over each, {load}\n",
            "| peer | requests/s × | by server CPU × | p50 × |",
            "|---|---:|---:|---:|",
        ]
        for peer in dict.fromkeys(peer for run in found for peer in run.ratios.get(load, {})):
            figures = " | ".join(str(band(found, load, peer, of)) for of in _OF)
            lines.append(f"| {peer} | {figures} |")
    return "\n".join(lines)


def _ratios(ours: Peer, peer: Peer, load: Load) -> Ratios:
    return Ratios(**{name: round(ratios(ours, peer, load, of)[0], 4) for name, of in _OF.items()})


def _absolute(found: Sequence[Figures]) -> Absolute:
    middles = {
        name: round(statistics.median(getattr(one, name) for one in found), 3)
        for name in ("rps", "p50_ms", "p99_ms", "cpu_us", "client_share")
    }
    return Absolute(**middles, failed=sum(one.bad for one in found))


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}" if value >= 1 else f"{value:.2f}"


def _processor() -> str:
    """The processor's name as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    """Print the bands of the runs of a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.runs", description=__doc__)
    parser.add_argument("file", type=Path, help="runs, a line of JSON each")
    print(bands(read(parser.parse_args().file)))


if __name__ == "__main__":
    main()
