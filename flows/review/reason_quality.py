"""Two shares for the release checks: how many reasons of a packed model are true, and how many are stable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.review.stability import noisy, some_rows
from service.contract import Applicant
from service.score.features import matrix
from service.score.reasons import CATALOGUE, DIRECTIONS

if TYPE_CHECKING:
    from service.engine.packed_model import PackedModel

Columns = Mapping[str, NDArray[Any]]
REASON_ROWS: Final = 1_000
_LOANS: Final = ("num_loans", "loan_types")  # one without the other would be no valid applicant


@dataclass(frozen=True)
class ReasonReport:
    """Shares of all named reasons, and of all applicants with a reason, of a sample."""

    raises: float  # named fields that raise the score when moved to the reference
    stable: float  # applicants whose first reason names the same field under 1 % noise
    given: int  # reasons looked at


def judge_reasons(model: PackedModel, columns: Columns, rows: int = REASON_ROWS, seed: int = 0) -> ReasonReport:
    """How true and how stable the reasons are on clean rows of unseen customers; NaN where nobody got a reason."""
    sample = some_rows(columns, rows, seed)
    answers = model.assess_arrays(matrix(sample), reasons=True)
    numbers = np.asarray(answers.numbers)
    rises = np.concatenate([np.array([], dtype=bool), *_rises(model, sample, numbers, answers.score)])
    again = np.asarray(model.assess_arrays(matrix(noisy(sample, seed)), reasons=True).numbers)
    had = numbers[:, 0] >= 0
    # The family alone: noise may turn "too high" by a hair into "too low" only for the smallest of reasons.
    same = numbers[had, 0] // len(DIRECTIONS) == again[had, 0] // len(DIRECTIONS)
    return ReasonReport(
        raises=float(rises.mean()) if len(rises) else float("nan"),
        stable=float(same.mean()) if had.any() else float("nan"),
        given=len(rises),
    )


def _rises(model: PackedModel, sample: Columns, numbers: NDArray[Any], score: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """For each named field: whether the score of those it was named to is higher with the reference's value."""
    reference = model.manifest.reference.applicant
    fields = np.array([reason.feature for reason in CATALOGUE], dtype=object)
    result = []
    for field in sorted({str(fields[number]) for number in np.unique(numbers) if number >= 0}):
        rows = ((numbers >= 0) & (fields[np.maximum(numbers, 0)] == field)).any(axis=1)
        moved = {name: values[rows] for name, values in sample.items()}
        for name in _LOANS if field in _LOANS else (field,):
            moved[name] = _reference_values(reference, name, int(rows.sum()))
        result.append(np.asarray(model.assess_arrays(matrix(moved)).score > score[rows]))
    return result


def _reference_values(reference: Applicant, field: str, count: int) -> NDArray[Any]:
    value = getattr(reference, field)
    values = np.empty(count, dtype=object)
    values[:] = ["|".join(value) if isinstance(value, list) else value] * count
    return values
