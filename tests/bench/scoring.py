"""Batch scoring by size, format and workers: `python -m tests.bench.scoring [--model DIR] [--rows N ...] [--reasons]`.

Every run is a job in processes of its own on a file made from a seed. Rows a second and core are rows over the workers'
own processor time for reading, checking, scoring and writing, so other load moves them less; wall is from the first
part to the last, without the seconds that processes and model need to start. Memory is the most that all processes of
the job held together, pages they share counted in each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

import psutil

from tests.bench.applicants import write_applicants
from tests.factories import pack_small_model

SAMPLE_S: Final = 0.5
GIB: Final = 1 << 30


class Memory(threading.Thread):
    """The most bytes that a process and its children held at once."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self.most = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Look twice a second until told to end."""
        while not self.ended.wait(SAMPLE_S):
            self.most = max(self.most, self._now())

    def _now(self) -> int:
        try:
            family = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        return sum(_held(one) for one in family)


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0  # it ended meanwhile


def measure(source: Path, package: Path, *, chunk_rows: int, processes: int, reasons: bool) -> dict[str, float]:
    """Figures of one job: rows, rows_a_core_s, rows_wall_s, gib, start_s."""
    target = source.with_name(f"{source.name}.scored")
    shutil.rmtree(target, ignore_errors=True)  # of a measurement that was cut off: found parts cost nothing
    told = {"source": str(source), "target": str(target), "package": str(package), "chunk_rows": chunk_rows}
    command = [
        sys.executable,
        "-m",
        "tests.flows.scoring_job",
        json.dumps({**told, "processes": processes, "reasons": reasons}),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        memory = Memory(running.pid)
        memory.start()
        assert running.stdout is not None
        tallies: list[dict[str, Any]] = [json.loads(line) for line in running.stdout]
        memory.ended.set()
        memory.join()
    if running.returncode:
        raise SystemExit(f"the job ended with {running.returncode}")
    shutil.rmtree(target)
    first, last = tallies[0], tallies[-1]
    seconds = last["at_s"] - first["at_s"]
    return {
        "rows": last["rows"],
        "rows_a_core_s": last["rows"] / last["cpu_s"],
        "rows_wall_s": (last["rows"] - first["rows"]) / seconds if len(tallies) > 2 else float("nan"),
        "gib": memory.most / GIB,
        "start_s": first["at_s"],
    }


def _applicants(path: Path, rows: int) -> Path:
    """A file of applicants, made whole if it is not there."""
    if not path.exists():
        draft = path.with_stem(f"{path.stem}.draft")
        write_applicants(draft, rows, seed=1)
        draft.replace(path)
    return path


def main() -> None:
    """Print the table, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scoring", description=__doc__)
    parser.add_argument("--model", type=Path, help="package; a small one of 500 trees is trained if left out")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--formats", nargs="+", default=["csv", "parquet"], choices=["csv", "parquet"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--chunk-rows", type=int, default=100_000)
    parser.add_argument("--reasons", action="store_true")
    parser.add_argument(
        "--folder", type=Path, help="where the files stay, to be used again; a temporary folder if left out"
    )
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        package, folder = told.model or Path(scratch) / "model", told.folder or Path(scratch)
        if told.model is None:
            pack_small_model(package, rows=20_000, trees=500)
        print("| file | rows | workers | reasons | rows/s and core | rows/s wall | GiB | start s |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        for kind in told.formats:
            for rows in told.rows:
                source = _applicants(folder / f"applicants-{rows}.{kind}", rows)
                for processes in told.processes:
                    found = measure(
                        source, package, chunk_rows=told.chunk_rows, processes=processes, reasons=told.reasons
                    )
                    asked = "yes" if told.reasons else "no"
                    print(
                        f"| {kind} | {rows:,} | {processes} | {asked} | {found['rows_a_core_s']:,.0f} "
                        f"| {found['rows_wall_s']:,.0f} | {found['gib']:.2f} | {found['start_s']:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
