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


def figures_of(made: Recalibration, unseen: LabelledAnswers) -> dict[str, Figures]:
    """Every figure by slice: customers set aside, the new quarter's outcomes, and those as they were told before."""
    return {POOLED: judge(unseen), made.place: judge(made.ours), f"{made.place}_before": judge(made.theirs)}


def evidence_of(
    before: Evidence, made: Recalibration, unseen: LabelledAnswers, figures: dict[str, Figures]
) -> Evidence:
    """The recalibrated version's evidence, without any comparison: `before` with all that calibration changes."""
    ece = figures[made.place]["ece"]
    slices = {made.place: made.ours} if len(np.unique(made.ours.grades)) == len(GRADES) else {}
    changes = {
        "champion": 0,
        "pooled": figures[POOLED],
        "against": None,
        "out_of_time_against": None,
        "score_psi": None,
        "calibration_noise": calibration_noise(made.ours),
        "ece": {made.place: ece, LATER: ece},
        "set_thresholds": made.set_thresholds,
        "reliability": made.reliability,
        "poor_rate_by_band": poor_rate_by_band(unseen),
        "grades": {place: grades.by_grade(one) for place, one in ({POOLED: unseen} | slices).items()},
        "score_steps": {place: grades.by_score(one) for place, one in {POOLED: unseen, made.place: made.ours}.items()},
    }
    return before.model_copy(update=changes)


def set_aside(reference: pd.DataFrame, kept: LabelledAnswers, borders: tuple[float, ...]) -> LabelledAnswers | None:
    """The labelled rows of a reference as answers; None if they are not the rows that `kept` answers."""
    labelled = reference[reference["label"].notna()]
    names = {str(name): place for place, name in enumerate(CLASSES)}
    labels = np.array([names[str(name)] for name in labelled["label"]], np.int64)
    if not np.array_equal(labels, kept.labels):
        return None
    return LabelledAnswers(labels, labelled[list(PROBABILITY_COLUMNS)].to_numpy(np.float64), kept.customers, borders)


def told(made: Recalibration, figures: dict[str, Figures]) -> str:
    """What was done and found, as markdown."""
    now, before = (figures[place] for place in (made.place, f"{made.place}_before"))
    rows = [
        f"| {name} | {before[name].value:.4f} [{before[name].low:.4f}, {before[name].high:.4f}]"
        f" | {now[name].value:.4f} [{now[name].low:.4f}, {now[name].high:.4f}] |"
        for name in ("ece", "log_loss", "accuracy")
    ]
    return "\n".join(
        [
            f"The trees are those of version {made.version}. One number, a power of {made.calibrations.power:.3f} on "
            f"the probabilities as its training calibrated them, was fitted on {len(made.ours.labels)} outcomes of "
            f"{made.quarter}. No likeliest class changes. What is told below of fairness, stability, known customers "
            f"and certainty was measured on version {made.version}; each outcome is judged by a number fitted on other "
            "customers.",
            "",
            f"| {made.quarter} | version {made.version} | recalibrated |",
            "|---|---|---|",
            *rows,
        ]
    )
