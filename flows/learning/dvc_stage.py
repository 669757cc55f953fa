"""The stage `evaluate`: learn as the training flow does, judge on unseen customers, write what DVC compares and draws.

Nothing is registered here: this is the model that a revision of code, data and parameters gives, so `dvc metrics diff`
and `dvc plots diff` answer what a change does before anybody trains for approval.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve

from flows.learning.fit import Parameters, Progress, learn
from flows.learning.model_metrics import Figures, LabelledAnswers, by_slice, judge
from flows.learning.prepared_data import PreparedData
from flows.learning.rows import Rows, rows_of
from service.score import policy

METRICS_FILE: Final = "metrics.json"
PLOTS: Final = ("confusion.csv", "reliability.csv", "months.csv")
RELIABILITY_BINS: Final = 10
DIGITS: Final = 6  # what two machines agree on
MONTHLY: Final = ("macro_f1", "accuracy", "log_loss")


def evaluate(data: PreparedData, parameters: Parameters, folder: Path, progress: Progress | None = None) -> Figures:
    """Write `metrics.json` and the plots' tables into `folder`; every metric of the unseen customers."""
    learned = learn(rows_of(data.train), parameters, progress)
    unseen = rows_of(data.unseen)
    answers = LabelledAnswers(unseen.labels, learned.probabilities(unseen.features), unseen.customers)
    figures = judge(answers)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS_FILE).write_text(json.dumps(_plain(figures), indent=2) + "\n", encoding="utf-8")
    for name, table in zip(PLOTS, (_confusion(answers), _reliability(answers), _months(answers, unseen)), strict=True):
        table.to_csv(folder / name, index=False)
    return figures


def _plain(figures: Figures) -> dict[str, dict[str, float | None]]:
    """Value and interval of each metric; JSON knows no NaN."""
    return {name: {part: _rounded(value) for part, value in one.model_dump().items()} for name, one in figures.items()}


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)


def _confusion(answers: LabelledAnswers) -> pd.DataFrame:
    """One row an answer, as DVC's own template counts them: `actual`, `predicted`."""
    names = np.array([str(name) for name in policy.CLASSES])
    return pd.DataFrame({"actual": names[answers.labels], "predicted": names[answers.classes]})


def _reliability(answers: LabelledAnswers) -> pd.DataFrame:
    """Per class and bin of equal width: `said` probability, `seen` share."""
    return pd.DataFrame(_bins(answers), columns=["class", "said", "seen"])


def _bins(answers: LabelledAnswers) -> Iterable[tuple[str, float, float]]:
    for kind, name in enumerate(policy.CLASSES):
        shares, probabilities = calibration_curve(
            answers.labels == kind, answers.probabilities[:, kind], n_bins=RELIABILITY_BINS
        )
        yield from (
            (str(name), round(float(x), DIGITS), round(float(y), DIGITS)) for x, y in zip(probabilities, shares)
        )


def _months(answers: LabelledAnswers, unseen: Rows) -> pd.DataFrame:
    """Some metrics by month of the year: whether the model ages within the data."""
    months = {str(month): unseen.months == month for month in np.unique(unseen.months).tolist()}
    rows = [
        {"month": int(month), **{name: _rounded(figures[name].value) for name in MONTHLY}}
        for month, figures in by_slice(answers, months, draws=1).items()
    ]
    return pd.DataFrame(rows)
