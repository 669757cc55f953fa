"""Borders of the risk grades, and how rows stand by step of the score and by grade: shares of the classes, told with
their uncertainty.

The score is a standing on the whole and ranks neither end; the grade ranks the risk of Poor alone. Both are told side
by side, so that whoever cuts on one sees what it takes and what it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.model_metrics import BootstrapDraws, LabelledAnswers, figure
from service.contract import SCORE_MAX
from service.score import policy
from service.score.manifest_parts import Estimate, Standing

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Borders = tuple[float, float, float, float]

SMALLEST_SHARE: Final = 0.10  # of rows in the first and the last grade; the check asks for less, on other rows
BEST_POOR: Final = 0.02  # share of Poor aimed at in grade A
WORST_POOR: Final = 0.72  # and in grade E
STEP_POINTS: Final = 50
DRAWS: Final = 500
_DIGITS: Final = 4  # of a border
_DOUBT: Final = 1e-3  # keeps log-odds finite


def fit_borders(poor: Array, labels: Ints) -> Borders:
    """Borders from calibrated probabilities of Poor, each by a model that never saw the row's customer.

    A is as large as its share of Poor allows, and so is E. B, C and D lie between in equal steps of log-odds: equal
    numbers of rows would part those that hardly differ. No grade is smaller than SMALLEST_SHARE.
    """
    order = np.argsort(poor, kind="stable")
    risks, outcomes = poor[order], (labels[order] == 0).astype(np.float64)
    count = np.arange(1, len(risks) + 1)
    least = max(1, int(np.ceil(SMALLEST_SHARE * len(risks))))
    best = _last(np.cumsum(outcomes) / count <= BEST_POOR, least)
    worst = len(risks) - _last(np.cumsum(outcomes[::-1]) / count >= WORST_POOR, least)
    best, worst = min(best, len(risks) // 3), max(worst, 2 * len(risks) // 3)  # the grades between need rows too
    ends = np.clip([risks[best - 1], risks[worst - 1]], _DOUBT, 1.0 - _DOUBT)
    low, high = np.log(ends / (1.0 - ends)).tolist()
    odds = np.linspace(low, high, 4)[1:-1]
    first, second = np.searchsorted(risks, 1.0 / (1.0 + np.exp(-odds)), side="right").tolist()
    first = min(max(first, best + least), worst - 2 * least)
    second = min(max(second, first + least), worst - least)
    borders = [float(np.round(risks[max(place, 1) - 1], _DIGITS)) for place in (best, first, second, worst)]
    return _rising(borders)


def _last(holds: NDArray[np.bool_], least: int) -> int:
    """Number of rows in the longest run that does, `least` if none does."""
    places = np.flatnonzero(holds)
    return max(least, int(places[-1]) + 1) if len(places) else least


def _rising(borders: Sequence[float]) -> Borders:
    """The borders, a step apart at least: a model of few distinct answers may put two on one value."""
    step = 10.0**-_DIGITS
    result: list[float] = []
    for number, border in enumerate(borders):
        low, high = (result[-1] if result else 0.0) + step, 1.0 - (len(borders) - number) * step
        result.append(round(min(max(border, low), high), _DIGITS))
    return result[0], result[1], result[2], result[3]


def carried_over(borders: Sequence[float], before: Array, after: Array) -> Borders:
    """The borders on another scale of the probability of Poor, such that each grade keeps its share of these rows.

    Args:
        borders: on the scale of `before`.
        before: probability of Poor of some rows (n,).
        after: of the same rows, after a recalibration, which hardly changes their order.
    """
    risks = np.sort(after)
    counts = [int((before <= border).sum()) for border in borders]
    return _rising([float(np.round(risks[count - 1], _DIGITS)) if count else 0.0 for count in counts])


def by_grade(answers: LabelledAnswers) -> tuple[Standing, ...]:
    """Rows by risk grade, least risk first; grades without rows are left out."""
    return standings(answers, answers.grades, [str(grade) for grade in policy.GRADES])


def by_score(answers: LabelledAnswers) -> tuple[Standing, ...]:
    """Rows by step of the score, lowest first; steps without rows are left out."""
    top = SCORE_MAX // STEP_POINTS
    names = [f"{low}-{low + STEP_POINTS - 1}" for low in range(0, SCORE_MAX - STEP_POINTS, STEP_POINTS)]
    names.append(f"{SCORE_MAX - STEP_POINTS}-{SCORE_MAX}")
    return standings(answers, np.minimum(answers.scores // STEP_POINTS, top - 1), names)


def standings(answers: LabelledAnswers, place: Ints, names: Sequence[str]) -> tuple[Standing, ...]:
    """Rows, share of all rows and shares of the classes at each place that has rows; the bootstrap draws customers."""
    numbers = [number for number in range(len(names)) if np.any(place == number)]
    draws = BootstrapDraws.of(answers.customers, DRAWS)
    rows = draws.totals((place[:, None] == numbers).astype(np.float64))
    shares = []
    for kind in range(len(policy.CLASSES)):
        hits = draws.totals(((place[:, None] == numbers) & (answers.labels == kind)[:, None]).astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):
            shares.append(hits / rows)
    rises = [
        None,
        *(Estimate(**figure(shares[0][:, b] - shares[0][:, a]).model_dump()) for a, b in pairwise(range(len(numbers)))),
    ]
    return tuple(
        Standing(
            name=names[number],
            rows=int(rows[0, column]),
            share=float(rows[0, column] / len(place)),
            classes={
                str(name): Estimate(**figure(share[:, column]).model_dump())
                for name, share in zip(policy.CLASSES, shares, strict=True)
            },
            rise=rises[column],
        )
        for column, number in enumerate(numbers)
    )


def by_slice(
    answers: LabelledAnswers, slices: Mapping[str, NDArray[np.bool_]], names: str = "grade"
) -> dict[str, tuple[Standing, ...]]:
    """`by_grade` (or `by_score`) of all rows and of each named choice of rows."""
    table = by_grade if names == "grade" else by_score
    return {"pooled": table(answers)} | {
        name: table(answers.where(rows)) for name, rows in slices.items() if rows.any()
    }
