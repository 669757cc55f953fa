"""Is the model still right? Outcomes joined as they arrive, estimates where they have not, and the gap of the two.

The estimate (CBPE: confidence-based performance estimation) reads accuracy off calibrated probabilities alone. It holds
while only the applicants change; when the meaning of the label changes it is blind, and that is its use: realised
minus estimated performance is the signal of concept drift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.monitor import Check, State
from flows.traffic import KNOWN, UNKNOWN
from flows.windows import DriftSettings, Thresholds

CLASSES = ("Poor", "Standard", "Good")
PROBABILITIES = ["p_poor", "p_standard", "p_good"]
# The alarm is one-sided: a false one in 1 of 200 cohorts.
CONCEPT_LEVEL = 0.99
CHUNKS = 20
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Settled:
    """Predictions with exactly one outcome, and what had to be set aside, by reason."""

    frame: pd.DataFrame
    quarantined: Mapping[str, int]


def settle(cohort: pd.DataFrame, outcomes: pd.DataFrame, today: date) -> Settled:
    """Join outcomes on the prediction; a repeat counts once, a contradiction not at all.

    Args:
        cohort: with `hash` (of the prediction's id).
        outcomes: with `hash`, `observed_class`, `observed_at` (date) and `standing`, as `flows.traffic` reads them.
        today: outcomes observed later are in the future and set aside.
    """
    future = ~(_dates(outcomes["observed_at"]) <= np.datetime64(today, "ns"))
    invalid = ~outcomes["observed_class"].isin(CLASSES).to_numpy()
    unknown = (outcomes["standing"] == UNKNOWN).to_numpy()
    known = (outcomes["standing"] == KNOWN).to_numpy()
    usable = pd.DataFrame(
        {
            "hash": outcomes["hash"].to_numpy(dtype="uint64"),
            "code": _codes(outcomes["observed_class"]),
        }
    )[known & ~future & ~invalid].sort_values(["hash", "code"], kind="stable")
    same = usable.groupby("hash", sort=False)["code"]
    conflicting = (same.transform("min") != same.transform("max")).to_numpy()
    once = usable[~conflicting].drop_duplicates("hash")
    quarantined = {
        "in the future or undated": int(future.sum()),
        "no such class": int((invalid & ~future).sum()),
        "unknown prediction": int((unknown & ~future & ~invalid).sum()),
        "contradicting": int(conflicting.sum()),
        "repeated": int((~conflicting).sum() - len(once)),
    }
    joined = cohort.merge(once, on="hash", how="inner")
    joined["observed_class"] = np.array(CLASSES, dtype=object)[joined.pop("code").to_numpy(dtype=int)]
    return Settled(joined, quarantined)


def _codes(classes: pd.Series) -> NDArray[np.int64]:
    """Position of each class in CLASSES, -1 where it is none of them; the few different texts are looked up once."""
    found = classes.astype("category").cat
    places = [CLASSES.index(text) if text in CLASSES else -1 for text in found.categories.astype(str)]
    return np.append(places, -1).astype(np.int64)[found.codes.to_numpy()]


def _dates(texts: pd.Series) -> NDArray[np.datetime64]:
    """Each text as a date, not-a-time where it is none; the few different texts are parsed once each."""
    categories = texts.astype("category").cat
    parsed = pd.to_datetime(pd.Series(categories.categories.astype(str)), format="ISO8601", errors="coerce", utc=True)
    days = np.append(parsed.dt.tz_localize(None).to_numpy("datetime64[ns]"), np.datetime64("NaT"))
    return np.asarray(days[categories.codes.to_numpy()])


@dataclass(frozen=True)
class Estimator:
    """CBPE fitted on the reference: one isotonic map per class, probabilities renormalised after it."""

    maps: tuple[tuple[Matrix, Matrix], ...]

    @classmethod
    def fit(cls, probabilities: Matrix, labels: NDArray[Any]) -> Estimator:
        """Fit on out-of-sample rows: probabilities (n, 3) in the order of CLASSES and their true labels (n,)."""
        from sklearn.isotonic import IsotonicRegression

        maps = []
        for column, name in enumerate(CLASSES):
            fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
            fitted.fit(probabilities[:, column], labels == name)
            maps.append((np.asarray(fitted.X_thresholds_, float), np.asarray(fitted.y_thresholds_, float)))
        return cls(tuple(maps))

    def calibrated(self, probabilities: Matrix) -> Matrix:
        """Probabilities (n, 3) as often true as they say on the reference."""
        mapped = np.column_stack([np.interp(probabilities[:, i], *self.maps[i]) for i in range(len(CLASSES))])
        total = mapped.sum(axis=1, keepdims=True)
        return np.where(total > 0, mapped / np.where(total > 0, total, 1), probabilities)

    def chance_of_being_right(self, probabilities: Matrix) -> Matrix:
        """Estimated probability (n,) that each row's predicted class is the true one."""
        predicted = probabilities.argmax(axis=1)
        return np.asarray(self.calibrated(probabilities)[np.arange(len(probabilities)), predicted])

    def macro_f1(self, probabilities: Matrix) -> float:
        """Macro-F1 expected from the expected confusion matrix."""
        predicted = probabilities.argmax(axis=1)
        calibrated = self.calibrated(probabilities)
        expected = np.vstack([calibrated[predicted == k].sum(axis=0) for k in range(len(CLASSES))])
        hits, claimed, true = np.diag(expected), expected.sum(axis=1), expected.sum(axis=0)
        return float(np.mean(2 * hits / np.maximum(claimed + true, 1e-12)))


def probabilities_of(frame: pd.DataFrame) -> Matrix:
    """The stored probabilities as (n, 3) in the order of CLASSES."""
    return frame[PROBABILITIES].to_numpy(dtype=float)


def interval(values: Matrix, level: float = 0.95, against: Matrix | None = None) -> tuple[float, float]:
    """Interval of the mean of `values` (n,) by the central limit theorem, which the minimum sizes allow.

    `against` (m,) are the values that the yardstick was fitted on: what chance did to their mean widens the interval.
    """
    variance = sum(float(one.var(ddof=1)) / len(one) for one in (values, against) if one is not None)
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance)
    middle = float(values.mean())
    return middle - reach, middle + reach


def estimated_check(
    estimator: Estimator, reference: pd.DataFrame, current: pd.DataFrame, thresholds: Thresholds
) -> Check:
    """Accuracy that the probabilities promise, against the reference's and its usual spread in chunks of this size."""
    usual = estimator.chance_of_being_right(probabilities_of(reference))
    now = float(estimator.chance_of_being_right(probabilities_of(current)).mean())
    size = min(len(current), len(reference))
    rng = np.random.default_rng(0)
    spread = float(np.std([rng.choice(usual, size).mean() for _ in range(CHUNKS)]))
    drop = float(usual.mean()) - now
    state = State.RED if drop > max(thresholds.accuracy_drop, 3 * spread) else State.GREEN
    return Check(
        name="estimated accuracy (CBPE)",
        state=state,
        value=now,
        explanation=f"estimated accuracy {now:.3f}, reference {usual.mean():.3f}; valid while only applicants change",
    )


def realised_checks(
    estimator: Estimator, reference: pd.DataFrame, settled: pd.DataFrame, cohort_rows: int, settings: DriftSettings
) -> list[Check]:
    """What the outcomes say of a cohort: coverage, accuracy, calibration by band, and the concept-drift signal.

    Args:
        estimator: fitted on the reference.
        reference: with stored probabilities and `label`.
        settled: the matured cohort's rows that have an outcome.
        cohort_rows: all matured predictions, with or without one.
        settings: minimum sizes and thresholds.
    """
    coverage = len(settled) / cohort_rows if cohort_rows else 0.0
    if len(settled) < settings.minimum_labels or coverage < settings.minimum_coverage:
        return [
            Check(
                name="realised accuracy",
                state=State.INSUFFICIENT,
                value=coverage,
                explanation=f"{len(settled)} outcomes for {cohort_rows} matured predictions"
                f" ({coverage:.0%}); too few to judge",
            )
        ]
    right = (settled["observed_class"] == settled["predicted_class"]).to_numpy(dtype=float)
    chance = estimator.chance_of_being_right(probabilities_of(settled))
    hits = (reference["label"].astype(str) == reference["predicted_class"].astype(str)).to_numpy(dtype=float)
    usual = float(hits.mean())
    return [
        _accuracy_check(right, usual, coverage, settings.thresholds),
        _concept_check(
            right - chance, hits - estimator.chance_of_being_right(probabilities_of(reference)), settings.thresholds
        ),
        _calibration_check(settled, settings.thresholds),
    ]


def _accuracy_check(right: NDArray[Any], usual: float, coverage: float, thresholds: Thresholds) -> Check:
    low, high = interval(right)
    lost = usual - high > 0 and usual - right.mean() > thresholds.accuracy_drop
    return Check(
        name="realised accuracy",
        state=State.RED if lost else State.GREEN,
        value=float(right.mean()),
        explanation=f"accuracy {right.mean():.3f} [{low:.3f}, {high:.3f}] on {len(right)} outcomes"
        f" ({coverage:.0%} of the cohort), reference {usual:.3f}",
    )


def _concept_check(gap: Matrix, reference_gap: Matrix, thresholds: Thresholds) -> Check:
    low, high = interval(gap, CONCEPT_LEVEL, against=reference_gap)
    fired = gap.mean() < -thresholds.concept_gap and high < 0
    return Check(
        name="concept drift",
        state=State.RED if fired else State.GREEN,
        value=float(gap.mean()),
        explanation=f"realised minus estimated accuracy {gap.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
    )


def _calibration_check(settled: pd.DataFrame, thresholds: Thresholds) -> Check:
    """Observed minus expected share of Poor by band; amber beyond the concept gap with its interval clear of zero."""
    poor = (settled["observed_class"] == "Poor").to_numpy(dtype=float)
    off, texts = [], []
    for band in CLASSES:
        rows = (settled["band"] == band).to_numpy()
        if rows.sum() < 50:
            continue
        gap = poor[rows] - settled.loc[rows, "p_poor"].to_numpy(dtype=float)
        low, high = interval(gap)
        texts.append(f"{band} {gap.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        off.append(abs(gap.mean()) > thresholds.concept_gap and (low > 0 or high < 0))
    return Check(
        name="calibration by band",
        state=State.AMBER if any(off) else State.GREEN,
        value=float(sum(off)),
        explanation=f"observed minus expected share of Poor: {'; '.join(texts) or 'too few rows in every band'}",
    )
