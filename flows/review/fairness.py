"""How the model treats groups of people it knows nothing of: age group and occupation, audited on a frame of their own.

Neither is a feature. The audit asks four things of each group, with 95 % intervals by customer: the adverse impact
ratio (share that gets a favourable band, over that of the group that gets it most), the equal opportunity difference
(the same among truly Good customers), whether probabilities come true, and the gap of the mean score. The 0.8 rule is
a US screening rule for employment; below it a person looks for a less discriminatory alternative, nothing is decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from flows.learning.model_metrics import DRAWS, BootstrapDraws, Figure, LabelledAnswers, figure
from service.score import policy

LEAST_ROWS: Final = 200
AGE_EDGES: Final = (18, 25, 40, 62)  # 62+ is a group of its own in US law (Reg B): it may not be scored worse
AGE_GROUPS: Final = ("under 18", "18-24", "25-39", "40-61", "62+")
OTHERS: Final = "unknown"
_POOR, _GOOD = 0, len(policy.CLASSES) - 1
_Draw = NDArray[np.float64]


class GroupReport(BaseModel):
    """One group against the rest of its attribute. Ratios are to the best-treated group, gaps to everybody."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    attribute: str
    group: str
    rows: int
    impact_good: Figure = Field(description="Adverse impact ratio of reaching band Good.")
    impact_not_poor: Figure = Field(description="Adverse impact ratio of staying out of band Poor.")
    equal_opportunity: Figure = Field(description="Truly Good in band Good: share less that of everybody.")
    calibration_gap: Figure = Field(description="Mean probability of Poor less share of Poor; 0 comes true exactly.")
    score_gap: Figure = Field(description="Mean score less that of everybody, points.")

    @property
    def lowest_impact_ratio(self) -> Figure:
        """The less favourable of the two impact ratios, by the lower end of its interval."""
        return min(self.impact_good, self.impact_not_poor, key=lambda ratio: ratio.low)


class FairnessReport(BaseModel):
    """All groups large enough to audit, and how well the features betray the age group."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    groups: tuple[GroupReport, ...]
    too_small: tuple[str, ...] = Field(default=(), description="Groups under the least number of rows.")
    age_proxy_auc: float | None = Field(
        default=None, description="AUC of telling the age group from the features; 0.5 is chance."
    )


def age_group(ages: pd.Series) -> NDArray[np.object_]:
    """Name of each age's group; `unknown` where the age is."""
    numbers = ages.to_numpy(dtype="float64", na_value=np.nan)
    place = np.searchsorted(np.array(AGE_EDGES), np.nan_to_num(numbers), side="right")
    return np.where(np.isnan(numbers), OTHERS, np.array(AGE_GROUPS, dtype=object)[place])


def attributes(frame: pd.DataFrame) -> dict[str, NDArray[np.object_]]:
    """Group of each row of a prepared frame, by attribute."""
    return {
        "age": age_group(frame["age"]),
        "occupation": frame["occupation"].astype(object).where(frame["occupation"].notna(), OTHERS).to_numpy(),
    }


def audit(
    answers: LabelledAnswers, groups: Mapping[str, NDArray[Any]], draws: int = DRAWS, age_proxy_auc: float | None = None
) -> FairnessReport:
    """The report of every group of every attribute, on rows the model did not learn from.

    `groups` holds one array of names, as long as `answers`, for each attribute.
    """
    weights = BootstrapDraws.of(answers.customers, draws)
    reports: list[GroupReport] = []
    small: list[str] = []
    for attribute, names in groups.items():
        known = [str(name) for name in np.unique(names.astype(str)) if name != OTHERS]
        large = [name for name in known if np.sum(names == name) >= LEAST_ROWS]
        small += [f"{attribute} {name}" for name in known if name not in large]
        reports += _attribute(attribute, {name: names == name for name in large}, answers, weights)
    return FairnessReport(groups=tuple(reports), too_small=tuple(small), age_proxy_auc=age_proxy_auc)


def _attribute(
    attribute: str, members: Mapping[str, NDArray[np.bool_]], answers: LabelledAnswers, draws: BootstrapDraws
) -> list[GroupReport]:
    whole = _shares(np.ones(len(answers.labels), dtype=bool), answers, draws)
    parts = {name: _shares(chosen, answers, draws) for name, chosen in members.items()}
    if not parts:
        return []
    # The reference is the group treated best on the sample itself and stays so in every draw: the best of each draw
    # would push all ratios down.
    best = {
        key: max((part[key] for part in parts.values()), key=lambda values: float(values[0]))
        for key in ("band_good", "not_poor")
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        return [
            GroupReport(
                attribute=attribute,
                group=name,
                rows=int(members[name].sum()),
                impact_good=figure(part["band_good"] / best["band_good"]),
                impact_not_poor=figure(part["not_poor"] / best["not_poor"]),
                equal_opportunity=figure(part["good_found"] - whole["good_found"]),
                calibration_gap=figure(part["calibration"]),
                score_gap=figure(part["score"] - whole["score"]),
            )
            for name, part in parts.items()
        ]


def _shares(chosen: NDArray[np.bool_], answers: LabelledAnswers, draws: BootstrapDraws) -> dict[str, _Draw]:
    bands = policy.band_many(answers.scores)
    truly_good = answers.labels == _GOOD
    columns = [
        np.ones(len(bands)),
        bands == _GOOD,
        bands != _POOR,
        truly_good,
        truly_good & (bands == _GOOD),
        answers.probabilities[:, _POOR] - (answers.labels == _POOR),
        answers.scores,
    ]
    totals = draws.totals(np.column_stack(columns).astype(np.float64) * chosen[:, None]).T
    rows, good, not_poor, truly, hits, gap, points = totals
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "band_good": good / rows,
            "not_poor": not_poor / rows,
            "good_found": hits / truly,
            "calibration": gap / rows,
            "score": points / rows,
        }


def proxy_auc(features: NDArray[np.float64], names: NDArray[Any], customers: NDArray[np.int64], seed: int = 0) -> float:
    """How well the features tell the group: mean one-vs-rest AUC of a small model on unseen customers.

    NaN if fewer than two groups have enough rows.
    """
    from catboost import CatBoost
    from sklearn.metrics import roc_auc_score

    counts = {name: int(np.sum(names == name)) for name in np.unique(names.astype(str)) if name != OTHERS}
    large = sorted(name for name, count in counts.items() if count >= LEAST_ROWS)
    large_rows = np.isin(names.astype(str), large)
    test = (np.random.default_rng(seed).permutation(customers.max() + 1) % 3 == 0)[customers]
    if len(large) < 2 or not np.any(large_rows & test) or not np.any(large_rows & ~test):
        return float("nan")
    model = CatBoost(
        {
            "loss_function": "MultiClass",
            "iterations": 60,
            "depth": 4,
            "learning_rate": 0.1,
            "random_seed": seed,
            "thread_count": 2,
            "verbose": False,
            "allow_writing_files": False,
        }
    )
    target = np.searchsorted(np.array(large), names.astype(str))
    model.fit(features[large_rows & ~test], target[large_rows & ~test])
    probabilities = np.asarray(model.predict(features[large_rows & test], prediction_type="Probability"))
    truth = target[large_rows & test]
    areas = [
        roc_auc_score(truth == place, probabilities[:, place])
        for place in range(probabilities.shape[1])
        if 0 < np.mean(truth == place) < 1
    ]
    return float(np.mean(areas))
