"""The record of experiments: what was tried before the defaults were chosen, made anew from data, seed and protocol.

Each variant learns on the same folds of the training customers as the kept parameters and is judged on the same rows,
so differences are paired. Customers set aside to judge releases take no part: whoever chooses on them judges nothing
with them any more. The file says which data it was made of; a card of other data says so and shows none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.learning.fit import (
    Parameters,
    Progress,
    RawModel,
    fit_curves_apart,
    fit_each,
    fit_model,
    folds,
    out_of_fold,
)
from flows.learning.known_features import AGES, doubled, known_by
from flows.learning.model_metrics import Difference, Figure, LabelledAnswers, compare, judge
from flows.learning.rows import Rows

PROTOCOL: Final = 2  # raised when the same data and seed would give another record
FILE: Final = Path("data/evaluation/tried.json")
METRICS: Final = ("accuracy", "macro_f1", "auc_ovr", "log_loss", "severe_error_rate")
DRAWS: Final = 200
KEPT: Final = "kept"


@dataclass(frozen=True)
class Variant:
    """What differs from the kept learning: parameters, or the learner itself."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    fit: Callable[[Rows, Parameters], RawModel] = fit_model


VARIANTS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        KEPT: Variant(),
        "three classes at once": Variant({"objective": "MultiClass"}),
        "labels settled within a quarter": Variant({"settle_labels": True}),
        "later quarters weigh double": Variant({"recency": 2.0}),
        "known customers weigh as much as unknown ones": Variant({"known_weight": 1.0}),
        "known customers weigh a quarter": Variant({"known_weight": 0.25}),
        "half the trees": Variant({"iterations": 150}),
        "trees of four questions": Variant({"depth": 4}),
        "classes weighed alike": Variant({"balance_classes": 1.0}),
        "each curve a model of its own": Variant(fit=partial(fit_curves_apart, declared_directions=False)),
        "the same, monotone in the declared directions": Variant(
            fit=partial(fit_curves_apart, declared_directions=True)
        ),
    }
)


class Attempt(BaseModel):
    """One variant: its figures on unknown customers and on those whose class is a month old, beside the kept one's."""

    model_config = ConfigDict(frozen=True)

    what: str
    changes: dict[str, Any] = Field(description="Parameters that differ from the kept ones.")
    unknown: dict[str, Figure]
    known: dict[str, Figure]
    against_kept: dict[str, Difference] = Field(description="Unknown customers, paired; empty for the kept one itself.")


class ExperimentRecord(BaseModel):
    """Everything that was tried, and of what."""

    model_config = ConfigDict(frozen=True)

    protocol: int = PROTOCOL
    data_sha256: str
    seed: int
    folds: int
    rows: int
    customers: int
    attempts: tuple[Attempt, ...]

    @classmethod
    def read(cls, path: Path) -> ExperimentRecord | None:
        """The record in a file; None where there is none, or one of another protocol."""
        try:
            record = cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
        return record if record.protocol == PROTOCOL else None


def run(
    rows: Rows,
    data_sha256: str,
    defaults: Parameters,
    progress: Progress | None = None,
    variants: Mapping[str, Variant] = VARIANTS,
) -> ExperimentRecord:
    """Try every variant on the same folds of these customers."""
    attempts: list[Attempt] = []
    baseline: LabelledAnswers | None = None
    for number, (what, variant) in enumerate(variants.items()):
        if progress:
            progress(number / len(variants), what)
        unknown, known = _judged(rows, defaults.model_copy(update=dict(variant.changes)), variant.fit)
        baseline = baseline or unknown
        gap = {} if unknown is baseline else compare(unknown, baseline, DRAWS)
        attempts.append(
            Attempt(
                what=what,
                changes=dict(variant.changes),
                unknown=_figures_of(unknown),
                known=_figures_of(known),
                against_kept={name: gap[name] for name in METRICS if name in gap},
            )
        )
    return ExperimentRecord(
        data_sha256=data_sha256,
        seed=defaults.seed,
        folds=defaults.folds,
        rows=len(rows.labels),
        customers=len(np.unique(rows.customers)),
        attempts=tuple(attempts),
    )


def _judged(
    rows: Rows, parameters: Parameters, fit: Callable[[Rows, Parameters], RawModel]
) -> tuple[LabelledAnswers, LabelledAnswers]:
    """Answers before calibration, each by a model that never saw the customer: to unknown customers, to known ones."""
    parts = tuple(folds(rows.customers, parameters.folds, parameters.seed))
    models = fit_each(
        fit, [doubled(rows.where(learning_places), parameters.seed) for learning_places, _ in parts], parameters
    )
    fold_models = [(places, model) for (_, places), model in zip(parts, models, strict=True)]
    known, exact = known_by(rows, AGES[0])
    probabilities = out_of_fold(known, fold_models, parameters)
    return (
        LabelledAnswers(rows.labels, out_of_fold(rows, fold_models, parameters), rows.customers),
        LabelledAnswers(rows.labels[exact], probabilities[exact], rows.customers[exact]),
    )


def _figures_of(answers: LabelledAnswers) -> dict[str, Figure]:
    figures = judge(answers, DRAWS)
    return {name: figures[name] for name in METRICS}
