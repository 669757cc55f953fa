"""Is the model still right? Outcomes joined as they arrive, estimates where they have not, and the gap of the two.

The estimate (CBPE: confidence-based performance estimation) reads accuracy off calibrated probabilities alone. It holds
while only the applicants change; when the meaning of the label changes it is blind, and that is its use: realised
minus estimated performance is the signal of concept drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.monitoring import partners
from flows.monitoring.outcomes import CLASSES
from flows.monitoring.partners import PartnerGap
from flows.monitoring.verdict_types import DriftCheck, DriftRule, DriftState
from flows.monitoring.window_settings import DriftSettings, Thresholds
from service.contract import PROBABILITY_COLUMNS

PROBABILITIES = list(PROBABILITY_COLUMNS)
# The alarm is one-sided: a false one in 1 of 200 cohorts.
CONCEPT_LEVEL = 0.99
CHUNKS = 20
BAND_ROWS = 50  # below this a band says nothing
LEAST_CUSTOMERS = 30  # below this nobody knows how customers differ, however many rows each has
Matrix = NDArray[np.float64]
Map = tuple[Matrix, Matrix]


@dataclass(frozen=True)
class Estimator:
    """CBPE fitted on the reference: what the stored probabilities are worth, by isotonic maps.

    `tops` calibrate the predicted class among the rows that were predicted so (top-label calibration, Gupta and Ramdas
    2022), so on the reference the estimate is the truth, class by class; one-vs-rest maps brought to a sum of one, as
    CBPE is usually told, promise half a point too much on the real data, which is a false signal of concept drift.
    `maps` share what is left among the other classes.
    """

    maps: tuple[Map, ...]
    tops: tuple[Map, ...]

    @classmethod
    def fit(cls, probabilities: Matrix, labels: NDArray[Any]) -> Estimator:
        """Fit on out-of-sample rows: probabilities (n, 3) in the order of CLASSES and their true labels (n,)."""
        predicted = probabilities.argmax(axis=1)
        maps = tuple(_isotonic(probabilities[:, k], labels == name) for k, name in enumerate(CLASSES))
        tops = []
        for k, name in enumerate(CLASSES):
            rows = predicted == k
            tops.append(_isotonic(probabilities[rows, k], labels[rows] == name) if rows.any() else maps[k])
        return cls(maps, tuple(tops))

    def chance_of_being_right(self, probabilities: Matrix) -> Matrix:
        """Estimated probability (n,) that each row's predicted class is the true one."""
        predicted = probabilities.argmax(axis=1)
        chances = [np.interp(probabilities[:, k], *self.tops[k]) for k in range(len(CLASSES))]
        return np.asarray(np.choose(predicted, chances), dtype=np.float64)

    def calibrated(self, probabilities: Matrix) -> Matrix:
        """Probabilities (n, 3) as often true as they say on the reference."""
        place = np.arange(len(probabilities)), probabilities.argmax(axis=1)
        chance = self.chance_of_being_right(probabilities)
        mapped = np.column_stack([np.interp(probabilities[:, k], *self.maps[k]) for k in range(len(CLASSES))])
        others = mapped + np.finfo(float).tiny  # where no other class is likely they share evenly
        others[place] = 0
        result = others * ((1 - chance) / others.sum(axis=1))[:, None]
        result[place] = chance
        return np.asarray(result, dtype=np.float64)

    def macro_f1(self, probabilities: Matrix) -> float:
        """Macro-F1 expected from the expected confusion matrix."""
        predicted = probabilities.argmax(axis=1)
        calibrated = self.calibrated(probabilities)
        expected = np.vstack([calibrated[predicted == k].sum(axis=0) for k in range(len(CLASSES))])
        hits, claims, true = np.diag(expected), expected.sum(axis=1), expected.sum(axis=0)
        return float(np.mean(2 * hits / np.maximum(claims + true, 1e-12)))


def _isotonic(probabilities: Matrix, true: NDArray[Any]) -> Map:
    """The rising map from a probability (n,) to how often it was true: its knots."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(probabilities, true)
    return np.asarray(fitted.X_thresholds_, float), np.asarray(fitted.y_thresholds_, float)


def probabilities_of(frame: pd.DataFrame) -> Matrix:
    """The stored probabilities as (n, 3) in the order of CLASSES."""
    return frame[PROBABILITIES].to_numpy(dtype=float)


def variance_of_mean(values: Matrix, customers: NDArray[Any], weights: Matrix | None = None) -> float:
    """Variance of the mean of `values` (n,) whose rows depend on each other where `customers` (n,) are equal.

    `weights` (n,), 1 on average, say how much each row counts; all the same if there are none.

    The cluster-robust estimate (Liang and Zeger 1986) with the small-sample factor G / (G - 1) for G customers (Cameron
    and Miller 2015); with one row a customer it is the usual variance / n. Needs two customers; 0 for one.
    """
    groups = np.unique(customers, return_inverse=True)[1]
    weight = np.ones(len(values)) if weights is None else weights
    sums = np.bincount(groups, weights=weight * (values - np.average(values, weights=weight)))
    count = len(sums)
    return float(count / (count - 1) * np.sum(sums**2)) / len(values) ** 2 if count > 1 else 0.0


def interval(
    values: Matrix,
    customers: NDArray[Any],
    level: float = 0.95,
    yardstick: float = 0.0,
    weights: Matrix | None = None,
) -> tuple[float, float]:
    """Interval of the mean of `values` (n,) by the central limit theorem, which the minimum sizes allow.

    Rows of a few customers say nothing of others: their interval reaches as far as a share can.

    Args:
        values: one a row.
        customers: whose row it is (n,); rows of one customer are not independent.
        level: how often the interval holds the true mean.
        yardstick: variance of what the values are measured against, where that was estimated too.
        weights: how much each row counts (n,), 1 on average.
    """
    variance = variance_of_mean(values, customers, weights) + yardstick
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(variance)
    if len(np.unique(customers)) < LEAST_CUSTOMERS:
        reach = max(reach, 1.0)
    middle = float(np.average(values, weights=weights))
    return middle - reach, middle + reach


def customers_of(frame: pd.DataFrame) -> NDArray[Any]:
    """Whose row each is (n,), as numbers; a frame that does not tell (an older reference) has one customer a row."""
    return frame["customer"].to_numpy() if "customer" in frame else np.arange(len(frame))


def right(frame: pd.DataFrame, column: str) -> Matrix:
    """1 where the predicted class is the one in `column`, else 0 (n,)."""
    hits = frame[column].astype(str) == frame["predicted_class"].astype(str)
    return np.asarray(hits, dtype=np.float64)


def estimated_check(
    estimator: Estimator, reference: pd.DataFrame, current: pd.DataFrame, thresholds: Thresholds
) -> DriftCheck:
    """Accuracy that the probabilities promise, against the reference's and its usual spread in chunks of this size."""
    usual = estimator.chance_of_being_right(probabilities_of(reference))
    now = float(estimator.chance_of_being_right(probabilities_of(current)).mean())
    size = min(len(current), len(reference))
    rng = np.random.default_rng(0)
    spread = float(np.std([rng.choice(usual, size).mean() for _ in range(CHUNKS)]))
    drop = float(usual.mean()) - now
    state = DriftState.RED if drop > max(thresholds.accuracy_drop, 3 * spread) else DriftState.GREEN
    return DriftCheck(
        name="estimated accuracy (CBPE)",
        state=state,
        value=now,
        explanation=f"estimated accuracy {now:.3f}, reference {usual.mean():.3f}; valid while only applicants change",
        rule=DriftRule.ESTIMATED_ACCURACY,
        figures={"now": now, "reference": float(usual.mean())},
    )


def realised_checks(
    estimator: Estimator, reference: pd.DataFrame, settled: pd.DataFrame, cohort_rows: int, settings: DriftSettings
) -> list[DriftCheck]:
    """What the outcomes say of a cohort: coverage, accuracy, calibration by band, and the concept-drift signal.

    One partner's outcomes weigh no more than a share of all; those that disagree far beyond the others' are named and
    set aside where enough is left.

    Args:
        estimator: fitted on the reference.
        reference: with stored probabilities, `label` and, where known, `customer`.
        settled: the matured cohort's rows that have an outcome, with `customer` and `partner` where known.
        cohort_rows: all matured predictions, with or without one.
        settings: minimum sizes and thresholds.
    """
    coverage = len(settled) / cohort_rows if cohort_rows else 0.0
    if len(settled) < settings.minimum_labels or coverage < settings.minimum_coverage:
        return [_too_few(len(settled), cohort_rows, coverage)]
    thresholds = settings.thresholds
    gaps = _partner_gaps(estimator, settled)
    apart = partners.outliers(gaps, thresholds.partner_gap)
    others = settled[~np.isin(partners.partners_of(settled), [one.partner for one in apart])]
    aside = bool(apart) and len(others) >= settings.minimum_labels
    rows = others if aside else settled
    weights = partners.weights(partners.partners_of(rows), thresholds.partner_share, settings.minimum_labels)
    return [
        _accuracy_check(reference, rows, weights, coverage, thresholds),
        _concept_check(estimator, reference, rows, weights, thresholds),
        _calibration_check(rows, thresholds),
        *([_partner_check(gaps, apart, aside)] if len(gaps) > 1 else []),
    ]


def _partner_gaps(estimator: Estimator, settled: pd.DataFrame) -> list[PartnerGap]:
    """Each partner's own gap; the intervals hold all together as often as the concept check's does (Bonferroni)."""
    senders, customers = partners.partners_of(settled), customers_of(settled)
    gaps = right(settled, "observed_class") - estimator.chance_of_being_right(probabilities_of(settled))
    names = sorted(set(senders))
    level = 1 - (1 - CONCEPT_LEVEL) / len(names)
    result = []
    for name in names:
        rows = senders == name
        low, high = interval(gaps[rows], customers[rows], level)
        result.append(PartnerGap(name, int(rows.sum()), float(gaps[rows].mean()), low, high))
    return result


def _partner_check(gaps: list[PartnerGap], apart: list[PartnerGap], aside: bool) -> DriftCheck:
    """Amber where a partner's outcomes disagree far beyond the others': its name and its gap, for a person to ask."""
    names = "; ".join(f"{one.partner or 'unnamed'} {one.gap:+.3f} on {one.outcomes} outcomes" for one in apart)
    means = "set aside until somebody asked" if aside else "too few others to judge without them"
    widest = max(apart or gaps, key=lambda one: abs(one.gap))
    return DriftCheck(
        name="outcomes by partner",
        state=DriftState.AMBER if apart else DriftState.GREEN,
        value=widest.gap,
        explanation=f"outcomes disagree far beyond other partners': {names}; {means}"
        if apart
        else f"no partner's outcomes disagree far beyond the others' ({len(gaps)} partners)",
        rule=DriftRule.PARTNERS,
        figures={"apart": len(apart), "partners": len(gaps), "gap": widest.gap},
    )


def _too_few(outcomes: int, cohort_rows: int, coverage: float) -> DriftCheck:
    return DriftCheck(
        name="realised accuracy",
        state=DriftState.INSUFFICIENT,
        value=coverage,
        explanation=f"{outcomes} outcomes for {cohort_rows} matured predictions ({coverage:.0%}); too few to judge",
        rule=DriftRule.TOO_FEW_OUTCOMES,
        figures={"outcomes": outcomes, "predictions": cohort_rows, "coverage": coverage},
    )


def _accuracy_check(
    reference: pd.DataFrame, settled: pd.DataFrame, weights: Matrix, coverage: float, thresholds: Thresholds
) -> DriftCheck:
    hits, usual = right(settled, "observed_class"), float(right(reference, "label").mean())
    now = float(np.average(hits, weights=weights))
    low, high = interval(hits, customers_of(settled), weights=weights)
    fell = usual - high > 0 and usual - now > thresholds.accuracy_drop
    return DriftCheck(
        name="realised accuracy",
        state=DriftState.RED if fell else DriftState.GREEN,
        value=now,
        explanation=f"accuracy {now:.3f} [{low:.3f}, {high:.3f}] on {len(settled)} outcomes"
        f" ({coverage:.0%} of the cohort), reference {usual:.3f}",
        rule=DriftRule.REALISED_ACCURACY,
        figures={
            "now": now,
            "low": low,
            "high": high,
            "outcomes": len(settled),
            "coverage": coverage,
            "reference": usual,
        },
    )


def _concept_check(
    estimator: Estimator, reference: pd.DataFrame, settled: pd.DataFrame, weights: Matrix, thresholds: Thresholds
) -> DriftCheck:
    """Realised minus estimated accuracy: red beyond the threshold with the interval below zero.

    The interval counts rows by customer, and what chance did to the reference that the estimate was fitted on.
    """
    fitted = right(reference, "label") - estimator.chance_of_being_right(probabilities_of(reference))
    gaps = right(settled, "observed_class") - estimator.chance_of_being_right(probabilities_of(settled))
    yardstick = variance_of_mean(fitted, customers_of(reference))
    gap = float(np.average(gaps, weights=weights))
    low, high = interval(gaps, customers_of(settled), CONCEPT_LEVEL, yardstick, weights)
    return DriftCheck(
        name="concept drift",
        state=DriftState.RED if gap < -thresholds.concept_gap and high < 0 else DriftState.GREEN,
        value=gap,
        explanation=f"realised minus estimated accuracy {gap:+.3f} [{low:+.3f}, {high:+.3f}]",
        rule=DriftRule.CONCEPT_DRIFT,
        figures={"gap": gap, "low": low, "high": high},
    )


def _calibration_check(settled: pd.DataFrame, thresholds: Thresholds) -> DriftCheck:
    """Observed minus expected share of Poor by band; amber beyond the concept gap with its interval clear of zero."""
    poor = (settled["observed_class"] == CLASSES[0]).to_numpy(dtype=float)
    off, texts = 0, []
    figures: dict[str, float] = {}
    for band in CLASSES:
        rows = (settled["band"] == band).to_numpy()
        if rows.sum() < BAND_ROWS:
            continue
        gaps = poor[rows] - settled.loc[rows, PROBABILITIES[0]].to_numpy(dtype=float)
        gap = float(gaps.mean())
        low, high = interval(gaps, customers_of(settled)[rows])
        texts.append(f"{band} {gap:+.3f} [{low:+.3f}, {high:+.3f}]")
        figures |= {band: gap, f"{band}_low": low, f"{band}_high": high}
        off += abs(gap) > thresholds.concept_gap and (low > 0 or high < 0)
    return DriftCheck(
        name="calibration by band",
        state=DriftState.AMBER if off else DriftState.GREEN,
        value=float(off),
        explanation=f"observed minus expected share of Poor: {'; '.join(texts) or 'too few rows in every band'}",
        rule=DriftRule.CALIBRATION,
        figures=figures,
    )
