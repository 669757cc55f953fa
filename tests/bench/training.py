"""Training and data beside a plain `CatBoostClassifier().fit` on the same frame: `python -m tests.bench.training`.

Ratios are to the plain fit of the same machine and the same minute, so a slow or busy machine moves both sides. Our
training is the whole of `learn`: a fit for each fold, the calibration, and the fit that is served. The search is timed
with few and with twice as many trials, on an eighth of the customers: its cost shall grow with their number alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.cleaning.pipeline import clean_rows
from flows.cleaning.quality import suspect_repeats
from flows.data.raw_reading import read_raw
from flows.learning.baselines import default_catboost
from flows.learning.fit import Parameters, fit_model, learn
from flows.learning.prepared_data import NotPrepared, read_prepared
from flows.learning.rows import Rows, columns, rows_of
from flows.learning.search import search
from service.score.features import matrix

MANY_ROWS = 1_000_000
TRIALS = 6
SEARCHED = 8  # one customer in so many


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def repeated(values: dict[str, NDArray[Any]], count: int) -> dict[str, NDArray[Any]]:
    """The same columns, row after row again until there are `count` rows."""
    return {name: np.resize(column, count) for name, column in values.items()}


def measure(
    rows: Rows, values: dict[str, NDArray[Any]], parameters: Parameters, many_rows: int, trials: int
) -> dict[str, float]:
    """Seconds of each contender, the plain fit first; it takes as many threads as ours."""
    many = repeated(values, many_rows)
    some = rows.where(rows.customers % SEARCHED == 0)
    return {
        "plain CatBoostClassifier().fit": seconds(lambda: default_catboost(rows, parameters.threads)),
        "one fit of the default training": seconds(lambda: fit_model(rows, parameters)),
        "default training: folds, calibration, final fit": seconds(lambda: learn(rows, parameters)),
        f"features of {many_rows:,} rows": seconds(lambda: matrix(many)),
        f"search, {trials} trials": seconds(lambda: search(some, parameters, inf, most_trials=trials)),
        f"search, {2 * trials} trials": seconds(lambda: search(some, parameters, inf, most_trials=2 * trials)),
    }


def cleaning(raw: pd.DataFrame, many_rows: int) -> dict[str, float]:
    """Seconds to clean so many rows: the raw file's customers again and again, each time as other people."""
    copies = range(-(-many_rows // len(raw)))
    many = pd.concat([raw.assign(Customer_ID=raw["Customer_ID"] + f"-{number}") for number in copies])[:many_rows]
    many = many.reset_index(drop=True)
    return {f"cleaning of {many_rows:,} rows": seconds(lambda: clean_rows(many, suspect_repeats(raw)))}


def report(found: dict[str, float], rows: int) -> str:
    """A table in Markdown; a ratio below one is less time than the plain fit."""
    plain = next(iter(found.values()))
    lines = [f"\n**Training** on {rows:,} rows\n", "| what | seconds | of the plain fit |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| {name} | {value:.2f} | {value / plain:.3f} |" for name, value in found.items())])


def main(argv: list[str] | None = None) -> int:
    """Print the table; 1 after one line if nothing is prepared."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/processed"), help="prepared data")
    parser.add_argument("--raw", type=Path, default=Path("data/raw/train.csv"), help="raw file; none: no cleaning")
    options = parser.parse_args(argv)
    try:
        data = read_prepared(options.data)
    except NotPrepared as error:
        print(f"tests.bench.training: {error}", file=sys.stderr)
        return 1
    rows = rows_of(data.train)
    found = measure(rows, columns(data.train), Parameters(), MANY_ROWS, TRIALS)
    if options.raw.is_file():
        found |= cleaning(read_raw(options.raw, labelled=True), MANY_ROWS)
    print(report(found, len(rows.labels)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
