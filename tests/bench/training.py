"""Training and features beside a plain `CatBoostClassifier().fit` on the same frame: `python -m tests.bench.training`.

Ratios are to the plain fit of the same machine and the same minute, so a slow or busy machine moves both sides. Our
training is the whole of `learn`: a fit for each fold, the calibration, and the fit that is served.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.baselines import default_catboost
from flows.learn import Parameters, Rows, columns, fit_model, learn, rows_of
from flows.prepared import NotPrepared, read_prepared
from service.features import matrix

FEATURE_ROWS = 1_000_000


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def repeated(values: dict[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
    """The same columns, row after row again until there are `count` rows."""
    return {name: np.resize(column, count) for name, column in values.items()}


def measure(rows: Rows, values: dict[str, NDArray[Any]], parameters: Parameters, feature_rows: int) -> dict[str, float]:
    """Seconds of each contender, the plain fit first; it takes as many threads as ours."""
    many = repeated(values, feature_rows)
    return {
        "plain CatBoostClassifier().fit": seconds(lambda: default_catboost(rows, parameters.threads)),
        "one fit of the default training": seconds(lambda: fit_model(rows, parameters)),
        "default training: folds, calibration, final fit": seconds(lambda: learn(rows, parameters)),
        f"features of {feature_rows:,} rows": seconds(lambda: matrix(many)),
    }


def report(found: dict[str, float], rows: int) -> str:
    """A table in Markdown; a ratio below one is less time than the plain fit."""
    plain = next(iter(found.values()))
    lines = [f"\n**Training** on {rows:,} rows\n", "| what | seconds | of the plain fit |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| {name} | {value:.2f} | {value / plain:.3f} |" for name, value in found.items())])


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 after one line if nothing is prepared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/processed"), help="prepared data")
    options = parser.parse_args(argv)
    try:
        data = read_prepared(options.data)
    except NotPrepared as error:
        print(f"tests.bench.training: {error}", file=sys.stderr)
        return 1
    rows = rows_of(data.train)
    print(report(measure(rows, columns(data.train), Parameters(), FEATURE_ROWS), len(rows.labels)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
