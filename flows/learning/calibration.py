"""Calibration: from what a model says to how often it comes true, in the quarter that comes.

The label is set anew each quarter and a model grows too sure of itself as it ages, so the latest quarter is the best
guess of the next. One number is fitted on it, the sharpness: the power that is put on all three probabilities before
they are made to add up (one over the temperature of temperature scaling). It changes no order and no likeliest class,
and 500
outcomes of a new quarter are enough to fit it anew. Curves of more freedom (isotonic, bent towards other aims) bought
nothing on this data and were honest on the average of the quarters only.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.model_metrics import expected_error
from flows.learning.rows import Rows
from service.score import policy

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARPNESS: Final = (0.3, 3.0)  # what is fitted lies between these
LEAST_ROWS: Final = 500  # of the latest quarter; with fewer all rows are fitted on
_SMALLEST: Final = 1e-4  # no class is ever said to be impossible: a table of 60,000 rows cannot know that

__all__ = ["Array", "Ints", "calibrate", "expected_error", "fit_sharpness", "latest", "table"]


def table(sharpness: float) -> policy.Calibration:
    """The calibration table that puts this power on every probability."""
    knots = np.maximum(np.linspace(0.0, 1.0, policy.CELLS + 1), _SMALLEST) ** sharpness
    rising = np.minimum(np.maximum.accumulate(knots), 1.0)  # rounding may dip by an ulp
    return policy.Calibration((tuple(rising.tolist()),) * len(policy.CLASSES))


def fit_sharpness(probabilities: Array, labels: Ints) -> float:
    """The power under which the probabilities (n, 3) come true best, by log loss."""
    from scipy.optimize import minimize_scalar

    logs = np.log(np.maximum(probabilities, _SMALLEST))
    rows = np.arange(len(labels))

    def loss(sharpness: float) -> float:
        powers = sharpness * logs
        return float((np.logaddexp.reduce(powers, axis=1) - powers[rows, labels]).mean())

    return float(minimize_scalar(loss, bounds=SHARPNESS, method="bounded", options={"xatol": 1e-4}).x)


def latest(rows: Rows) -> NDArray[np.bool_]:
    """The rows of the latest quarter, all where it has too few."""
    chosen: NDArray[np.bool_] = rows.quarters == rows.quarters.max()
    return chosen if chosen.sum() >= LEAST_ROWS else np.ones(len(chosen), np.bool_)


def calibrate(probabilities: Array, rows: Rows) -> float:
    """The sharpness of the latest quarter.

    Args:
        probabilities: of the rows, uncalibrated, each by a model that never saw the row's customer.
        rows: what they were said of.
    """
    chosen = latest(rows)
    return fit_sharpness(probabilities[chosen], rows.labels[chosen])
