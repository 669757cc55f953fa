"""What is known of a recalibrated version: judged on the outcomes it was made for, beside the version it comes from.

The trees are the ones that were judged before, so what no calibration changes is taken over from that version: classes,
severe errors, fairness by class, stability, known customers. What it does change is measured again: on the outcomes of
the new quarter, each judged by the number fitted on other customers, and on the customers set aside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from flows.learning import grades
from flows.learning.model_metrics import (
    Figures,
    LabelledAnswers,
    calibration_noise,
    judge,
    poor_rate_by_band,
)
from flows.learning.recalibration import Calibrations
from flows.review.release_evidence import LATER, Evidence
from service.contract import PROBABILITY_COLUMNS, Basis
from service.score.manifest_parts import Reliability
from service.score.policy import CLASSES, GRADES

RECALIBRATED_FROM: Final = "recalibrated_from"
"""Tag of a recalibrated version: the number of the version whose trees it has."""
SETTLED: Final = "settled"
SETTLED_BEFORE: Final = "settled_before"
POOLED: Final = "pooled"


@dataclass(frozen=True)
class Recalibration:
    """One number fitted on one quarter's outcomes of a version's trees.

    `ours` are these outcomes' answers under numbers fitted on other customers, `theirs` what the version told before.
    Thresholds of prediction sets and reliability are of these outcomes too: other probabilities need others. A kind of
    customers without an outcome has none.
    """

    version: int
    quarter: str
    calibrations: Calibrations
    borders: grades.Borders
    ours: LabelledAnswers
    theirs: LabelledAnswers
    set_thresholds: dict[Basis, tuple[float, float, float]]
    reliability: dict[Basis, Reliability]

    @property
    def place(self) -> str:
        """The quarter as a slice is named."""
        return self.quarter.lower().replace("-", "_")


def figures_of(recalibration: Recalibration, unseen: LabelledAnswers) -> dict[str, Figures]:
    """Every figure by slice: customers set aside, the new quarter's outcomes, and those as they were told before."""
    return {
        POOLED: judge(unseen),
        recalibration.place: judge(recalibration.ours),
        f"{recalibration.place}_before": judge(recalibration.theirs),
    }


def evidence_of(
    before: Evidence, recalibration: Recalibration, unseen: LabelledAnswers, figures: dict[str, Figures]
) -> Evidence:
    """The recalibrated version's evidence, without any comparison: `before` with all that calibration changes."""
    ece = figures[recalibration.place]["ece"]
    slices = (
        {recalibration.place: recalibration.ours} if len(np.unique(recalibration.ours.grades)) == len(GRADES) else {}
    )
    changes = {
        "champion": 0,
        "pooled": figures[POOLED],
        "against": None,
        "out_of_time_against": None,
        "score_psi": None,
        "calibration_noise": calibration_noise(recalibration.ours),
        "ece": {recalibration.place: ece, LATER: ece},
        "set_thresholds": recalibration.set_thresholds,
        "reliability": recalibration.reliability,
        "poor_rate_by_band": poor_rate_by_band(unseen),
        "grades": {place: grades.by_grade(one) for place, one in ({POOLED: unseen} | slices).items()},
        "score_steps": {
            place: grades.by_score(one)
            for place, one in {POOLED: unseen, recalibration.place: recalibration.ours}.items()
        },
    }
    return before.model_copy(update=changes)


def set_aside(reference: pd.DataFrame, answers: LabelledAnswers, borders: tuple[float, ...]) -> LabelledAnswers | None:
    """The labelled rows of a reference as answers; None if `answers` are of other rows."""
    labelled = reference[reference["label"].notna()]
    names = {str(name): place for place, name in enumerate(CLASSES)}
    labels = np.array([names[str(name)] for name in labelled["label"]], np.int64)
    if not np.array_equal(labels, answers.labels):
        return None
    return LabelledAnswers(labels, labelled[list(PROBABILITY_COLUMNS)].to_numpy(np.float64), answers.customers, borders)


def summary(recalibration: Recalibration, figures: dict[str, Figures]) -> str:
    """What was done and found, as markdown."""
    quarter, version, power = recalibration.quarter, recalibration.version, recalibration.calibrations.power
    count = len(recalibration.ours.labels)
    now, before = (figures[place] for place in (recalibration.place, f"{recalibration.place}_before"))
    rows = [
        f"| {name} | {before[name].value:.4f} [{before[name].low:.4f}, {before[name].high:.4f}]"
        f" | {now[name].value:.4f} [{now[name].low:.4f}, {now[name].high:.4f}] |"
        for name in ("ece", "log_loss", "accuracy")
    ]
    return "\n".join(
        [
            f"The trees are those of version {version}. One number, a power of {power:.3f} on "
            f"the probabilities as its training calibrated them, was fitted on {count} outcomes of "
            f"{quarter}. No likeliest class changes. What is told below of fairness, stability, known customers "
            f"and certainty was measured on version {version}; each outcome is judged by a number fitted on other "
            "customers.",
            "",
            f"| {quarter} | version {version} | recalibrated |",
            "|---|---|---|",
            *rows,
        ]
    )
