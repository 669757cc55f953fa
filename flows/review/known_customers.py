"""Known customers, judged apart: by the age of the last observed class, beside the yardstick of repeating that class.

Knowing a class is another task than knowing none, so its figures never mix with those of unknown customers. Every
customer is judged by a model that never saw them: those learned from in folds, those set aside by the model itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from flows.learning.fit import Learned
from flows.learning.known_features import GROUPS, known_by, last_class
from flows.learning.model_metrics import Difference, Figures, LabelledAnswers, compare, judge
from flows.learning.rows import Rows
from service.score import policy

SHOWN: Final = ("accuracy", "macro_f1", "auc_ovr", "severe_error_rate", "gini_poor", "ece", "log_loss")
DRAWS: Final = 200
_CERTAIN: Final = 0.999


class KnownReport(BaseModel):
    """Known customers whose last class is of one age, and what repeating that class would have given."""

    model_config = ConfigDict(frozen=True)

    rows: int
    figures: Figures
    repeated: Figures = Field(description="Of the yardstick: the last class again.")
    gain: dict[str, Difference] = Field(description="The model less the yardstick, on the same drawn customers.")


def repeated(labels: NDArray[np.int64], last: NDArray[np.int64], customers: NDArray[np.int64]) -> LabelledAnswers:
    """The yardstick's answers: the last class, nearly for certain."""
    probabilities = np.full((len(labels), len(policy.CLASSES)), (1.0 - _CERTAIN) / (len(policy.CLASSES) - 1))
    probabilities[np.arange(len(labels)), last] = _CERTAIN
    return LabelledAnswers(labels, probabilities, customers)


def pairs(rows: Rows, unseen: Rows, learned: Learned, ages: Sequence[int]) -> tuple[LabelledAnswers, LabelledAnswers]:
    """The model's and the yardstick's answers to every customer's rows whose last class is of these ages."""
    ours, theirs = [], []
    offset = int(rows.customers.max()) + 1
    for age in ages:
        folds = learned.known[age]
        known, exact = known_by(unseen, age)
        aside = known.where(exact)
        labels = np.concatenate([rows.labels[folds.places], aside.labels])
        customers = np.concatenate([rows.customers[folds.places], aside.customers + offset])
        probabilities = np.concatenate(
            [
                policy.calibrated_many(folds.probabilities, learned.calibration_known),
                learned.probabilities(aside.features),
            ]
        )
        ours.append(LabelledAnswers(labels, probabilities, customers, learned.grade_borders))
        theirs.append(repeated(labels, np.concatenate([folds.last, last_class(aside)]), customers))
    return joined(ours), joined(theirs)


def joined(parts: Sequence[LabelledAnswers]) -> LabelledAnswers:
    """Answers to the same customers, one part after the other."""
    return LabelledAnswers(
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.customers for part in parts]),
        parts[0].borders,
    )


def answers_by_group(rows: Rows, unseen: Rows, learned: Learned) -> dict[str, tuple[LabelledAnswers, LabelledAnswers]]:
    """The model's and the yardstick's answers to each group of `GROUPS` that has rows."""
    result = {}
    for name, ages in GROUPS.items():
        present = [age for age in ages if len(learned.known[age].places)]
        if present:
            result[name] = pairs(rows, unseen, learned, present)
    return result


def report(ours: LabelledAnswers, theirs: LabelledAnswers) -> KnownReport:
    """The model's figures, the yardstick's, and the difference, paired."""
    gap = compare(ours, theirs, DRAWS)
    return KnownReport(
        rows=len(ours.labels),
        figures={name: figure for name, figure in judge(ours, DRAWS).items() if name in SHOWN},
        repeated={name: figure for name, figure in judge(theirs, DRAWS).items() if name in ("accuracy", "macro_f1")},
        gain={name: gap[name] for name in ("accuracy", "macro_f1")},
    )
