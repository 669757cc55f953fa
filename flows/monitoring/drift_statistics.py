"""How far one sample lies from another: the statistics that decide about drift, each checked by hand calculation.

Evidently's own PSI, Wasserstein and Jensen-Shannon barely move on outlier-heavy columns, because they bin reference and
current together in equal widths, and its chi-square treats the reference as exact and so raises false alarms. These
use the reference's own deciles, clip outliers at its percentiles and compare two samples as two samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Values = NDArray[np.float64]
# Half a row: keeps the logarithm finite in an empty cell and vanishes as samples grow.
EMPTY_CELL_COUNT = 0.5
DECILES = np.linspace(0.1, 0.9, 9)


def decile_edges(reference: Values) -> Values:
    """Inner bin edges at the reference's deciles, shape (<= 9,); ties are merged: discrete columns get fewer bins."""
    return np.unique(np.quantile(reference, DECILES))


def bin_counts(values: Values, edges: Values) -> Values:
    """Rows in each of the len(edges) + 1 bins; a value on an edge belongs to the bin below it."""
    bins = np.searchsorted(edges, values, side="left")
    return np.bincount(bins, minlength=len(edges) + 1).astype(float)


def shares(counts: Values) -> Values:
    """Shares that add up to one, with empty cells lifted to half a row."""
    lifted = np.where(counts > 0, counts, EMPTY_CELL_COUNT)
    return np.asarray(lifted / lifted.sum(), dtype=float)


def psi(reference_counts: Values, current_counts: Values) -> float:
    """Population stability index over aligned cells: sum of (c - r) ln(c / r); 0 is equal, 0.25 the usual alarm."""
    r, c = shares(reference_counts), shares(current_counts)
    return float(np.sum((c - r) * np.log(c / r)))


def kullback_leibler(reference_counts: Values, current_counts: Values) -> float:
    """KL(current || reference) in nats; unbounded and asymmetric, so reported and never decisive."""
    r, c = shares(reference_counts), shares(current_counts)
    return float(np.sum(c * np.log(c / r)))


def jensen_shannon(reference_counts: Values, current_counts: Values) -> float:
    """Jensen-Shannon distance (square root of the divergence in nats), 0 to sqrt(ln 2)."""
    r, c = shares(reference_counts), shares(current_counts)
    middle = (r + c) / 2
    divergence = np.sum(r * np.log(r / middle)) / 2 + np.sum(c * np.log(c / middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def psi_decile(reference: Values, current: Values) -> float:
    """PSI of numbers over the reference's deciles, which no outlier can stretch."""
    edges = decile_edges(reference)
    return psi(bin_counts(reference, edges), bin_counts(current, edges))


def wasserstein_clipped(reference: Values, current: Values, low: float = 0.01, high: float = 0.99) -> float:
    """Wasserstein distance in reference standard deviations, both samples clipped at the reference's percentiles."""
    bottom, top = np.quantile(reference, [low, high])
    r, c = np.clip(reference, bottom, top), np.clip(current, bottom, top)
    spread = float(r.std())
    return float(stats.wasserstein_distance(r, c)) / spread if spread > 0 else float(bool(np.any(r[0] != c)))


@dataclass(frozen=True)
class RecordedStatistic:
    """A statistic that is kept for the record and decides nothing; `name` is its field of `ColumnVerdict`.

    `binned`: it compares the counts of bins or categories, and otherwise the numbers themselves.
    """

    name: str
    title: str
    measure: Callable[[Values, Values], float]
    binned: bool


RECORDED: Final = (
    RecordedStatistic("wasserstein", "Wasserstein, clipped at reference p1 and p99", wasserstein_clipped, binned=False),
    RecordedStatistic("jensen_shannon", "Jensen-Shannon", jensen_shannon, binned=True),
    RecordedStatistic("kullback_leibler", "Kullback-Leibler", kullback_leibler, binned=True),
)
"""Verdict and report compute and show what stands here."""


@dataclass(frozen=True)
class Test:
    """A two-sample test: its statistic (an effect size) and the p-value under no difference."""

    statistic: float
    p_value: float


def kolmogorov_smirnov(reference: Values, current: Values) -> Test:
    """Two-sample KS with the asymptotic p-value; the statistic D is the largest gap of the distributions."""
    answer = stats.ks_2samp(reference, current, method="asymp")
    return Test(float(answer.statistic), float(answer.pvalue))


def homogeneity(reference_counts: Values, current_counts: Values) -> Test:
    """Chi-square test of homogeneity of two samples of categories; the statistic is Cramer's V (0 to 1)."""
    table = np.vstack([reference_counts, current_counts])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return Test(0.0, 1.0)
    answer = stats.chi2_contingency(table, correction=False)
    return Test(float(np.sqrt(answer.statistic / table.sum())), float(answer.pvalue))


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that hold the false discovery rate over all columns (Benjamini and Hochberg, 1995)."""
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(np.asarray(p_values, dtype=float), method="bh")]


def category_counts(reference: Sequence[Any], current: Sequence[Any]) -> tuple[list[str], Values, Values]:
    """Aligned counts of every category seen in either sample, in sorted order."""
    levels = sorted({str(value) for value in reference} | {str(value) for value in current})
    position = {level: i for i, level in enumerate(levels)}
    counts = [
        np.bincount([position[str(value)] for value in sample], minlength=len(levels)).astype(float)
        for sample in (reference, current)
    ]
    return levels, counts[0], counts[1]
