"""Microseconds a row of both engines beside CatBoost's own prediction and SHAP values, in one run, as ratios.

`python -m tests.bench.engine [PACKAGE]`: the packed model in PACKAGE, or a small one of 500 trees trained here. Times
are this thread's processor time, so other load moves them less; figures are medians over rounds in which all
contenders take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from catboost import CatBoost, Pool

from service.engine.check import output_order
from service.engine.packed_model import PackedModel
from service.score import features
from service.score.manifest import MODEL_FILE, Manifest
from tests.factories import applicant_columns, pack_small_model

ROUNDS = 9
ROWS = 2000


def _microseconds(run: Callable[[], object], rows: int) -> float:
    start = time.thread_time()
    run()
    return (time.thread_time() - start) / rows * 1e6


def contenders(package: Path) -> dict[str, tuple[Callable[[], object], int]]:
    """What is timed: a call and how many rows it answers."""
    matrix = features.matrix(applicant_columns(ROWS, seed=99)[0])
    rows = matrix.tolist()
    model = CatBoost()
    model.load_model(blob=(package / MODEL_FILE).read_bytes())
    output_order([str(name) for name in model.classes_], Manifest.read(package).objective)
    few = rows[:20]
    found: dict[str, tuple[Callable[[], object], int]] = {
        "CatBoost, one row": (lambda: [model.predict([row], thread_count=1) for row in rows[:100]], 100),
        "CatBoost with SHAP values, one row": (
            lambda: [
                model.get_feature_importance(Pool(np.array([row])), type="ShapValues", thread_count=1) for row in few
            ],
            len(few),
        ),
    }
    for choice in ("portable", "compiled"):
        engine = PackedModel.load(package, engine=choice)
        some = rows[:200] if choice == "portable" else rows
        found |= {
            f"{choice}, one row with reasons": (lambda e=engine, r=some: [e.assess(row) for row in r], len(some)),
            f"{choice}, many rows with reasons": (
                lambda e=engine, r=len(some): e.assess_arrays(matrix[:r], True),
                len(some),
            ),
            f"{choice}, many rows": (lambda e=engine: e.assess_arrays(matrix), ROWS),
        }
    return found


def medians(package: Path) -> dict[str, float]:
    """Microseconds a row of every contender."""
    timed = contenders(package)
    rounds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(ROUNDS):
        for name, (run, rows) in timed.items():
            rounds[name].append(_microseconds(run, rows))
    return {name: median(values) for name, values in rounds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine", description=__doc__)
    parser.add_argument("package", nargs="?", type=Path, help="a packed model; else one is trained here")
    package = parser.parse_args().package
    with tempfile.TemporaryDirectory() as folder:
        if package is None:
            package = Path(folder) / "model"
            pack_small_model(package, rows=20_000, trees=500)
        found = medians(package)
    base = found["CatBoost, one row"]
    print(f"{'':38}{'us a row':>10}{'CatBoost / it':>15}")
    for name, value in found.items():
        print(f"{name:38}{value:>10.2f}{base / value:>15.2f}")


if __name__ == "__main__":
    main()
