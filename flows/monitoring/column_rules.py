"""The drift rule: what makes a column and a window green, amber, red or insufficient. Pure; frames in, verdict out.

Order matters. Data quality comes first: a broken column turns red and is skipped, so one bad column never hides the
others. Values are then compared column by column, the p-values corrected over all columns together, and the decision
follows from written rules with a reason for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from flows.monitoring import drift_statistics
from flows.monitoring.verdict_types import DATA_QUALITY, PROBLEMS, ColumnVerdict, DriftState, worst
from flows.monitoring.window_settings import Thresholds
from flows.predictions.columns import WatchedColumn, missing_share, present

# A missing share moves for real only when chance alone would move it so far once in a thousand windows.
MISSING_P_VALUE: Final = 1e-3


@dataclass(frozen=True)
class ColumnComparison:
    """The raw figures of one column before p-values are corrected."""

    column: WatchedColumn
    psi: float
    effect: float
    p_value: float
    record: Mapping[str, float]
    """Figures for the record that decide nothing, by the names of `drift_statistics.RECORDED`."""


def _broken(column: WatchedColumn, reference: pd.DataFrame, current: pd.DataFrame) -> str:
    """The problem (one of PROBLEMS) that makes the column impossible to compare; empty if there is none."""
    if column.name not in current:
        return "lost"
    if column.name not in reference:
        return "new"
    before, after = present(column, reference[column.name]), present(column, current[column.name])
    if column.kind == "list" and before.size == after.size == 0:
        return ""
    if before.size == 0:
        return "no_reference"
    if after.size == 0:
        return "all_missing"
    constant = len(set(after)) == 1 < min(len(set(before)), after.size)
    return "constant" if constant else ""


def _odd_values(column: WatchedColumn, values: Any) -> tuple[str, int]:
    """The problem of values outside the contract's range or levels, and their number; never a value."""
    if column.kind == "number":
        outside = int(np.sum((values < column.low) | (values > column.high)))
        return ("out_of_range" if outside else ""), outside
    unseen = int(np.sum(~np.isin(values, column.levels))) if column.levels else 0
    return ("unseen" if unseen else ""), unseen


def _missing_state(shares: tuple[float, float], rows: tuple[int, int], thresholds: Thresholds) -> DriftState:
    """State of a missing share against the reference's: only a rise beyond chance counts."""
    rise = shares[1] - shares[0]
    if rise < thresholds.missing_amber:
        return DriftState.GREEN
    counts = [np.array([share * n, (1 - share) * n]) for share, n in zip(shares, rows, strict=True)]
    if drift_statistics.homogeneity(counts[0], counts[1]).p_value >= MISSING_P_VALUE:
        return DriftState.GREEN
    return DriftState.RED if rise >= thresholds.missing_red else DriftState.AMBER


def _compare(column: WatchedColumn, before: Any, after: Any) -> ColumnComparison:
    """All distances of two samples of one column."""
    if column.kind == "number":
        edges = drift_statistics.decile_edges(before)
        counts = drift_statistics.bin_counts(before, edges), drift_statistics.bin_counts(after, edges)
        test = drift_statistics.kolmogorov_smirnov(before, after)
    else:
        _, *aligned = drift_statistics.category_counts(before, after)
        counts = aligned[0], aligned[1]
        test = drift_statistics.homogeneity(*counts)
    return ColumnComparison(
        column,
        drift_statistics.psi(*counts),
        test.statistic,
        test.p_value,
        {
            one.name: one.measure(*counts) if one.binned else one.measure(before, after)
            for one in drift_statistics.RECORDED
            if one.binned or column.kind == "number"
        },
    )


def _values_state(comparison: ColumnComparison, adjusted: float, thresholds: Thresholds) -> DriftState:
    """Decile PSI decides; a significant and large enough test warns."""
    red = thresholds.psi_red_key if comparison.column.key else thresholds.psi_red
    if comparison.psi >= red:
        return DriftState.RED
    significant = comparison.effect >= thresholds.effect_amber and adjusted < thresholds.p_value
    return DriftState.AMBER if comparison.psi >= thresholds.psi_amber or significant else DriftState.GREEN


def judge_columns(
    columns: Sequence[WatchedColumn], reference: pd.DataFrame, current: pd.DataFrame, thresholds: Thresholds
) -> list[ColumnVerdict]:
    """Every column's verdict, in the order given; both frames have rows."""
    broken = {column.name: _broken(column, reference, current) for column in columns}
    compared = [
        _compare(column, present(column, reference[column.name]), present(column, current[column.name]))
        for column in columns
        if not broken[column.name]
    ]
    adjusted = drift_statistics.benjamini_hochberg([comparison.p_value for comparison in compared])
    figures = {c.column.name: (c, p) for c, p in zip(compared, adjusted, strict=True)}
    return [
        _broken_verdict(column, broken[column.name])
        if broken[column.name]
        else _verdict(*figures[column.name], reference, current, thresholds)
        for column in columns
    ]


def _broken_verdict(column: WatchedColumn, problem: str) -> ColumnVerdict:
    return ColumnVerdict(
        name=column.name,
        state=DriftState.RED,
        values_state=DriftState.RED,
        missing_state=DriftState.RED if problem in ("all_missing", "lost") else DriftState.GREEN,
        key=column.key,
        method=DATA_QUALITY,
        problem=problem,
        note=PROBLEMS[problem],
    )


def _verdict(
    comparison: ColumnComparison,
    adjusted: float,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    thresholds: Thresholds,
) -> ColumnVerdict:
    column = comparison.column
    before, after = reference[column.name], current[column.name]
    missing = missing_share(column, before), missing_share(column, after)
    missing_state = _missing_state(missing, (len(before), len(after)), thresholds)
    problem, rows = _odd_values(column, present(column, after))
    values_state = DriftState.RED if problem else _values_state(comparison, adjusted, thresholds)
    return ColumnVerdict(
        name=column.name,
        state=worst([values_state, missing_state]),
        values_state=values_state,
        missing_state=missing_state,
        key=column.key,
        method="psi_decile" if column.kind == "number" else "psi",
        psi=comparison.psi,
        effect=comparison.effect,
        p_value=adjusted,
        missing_reference=missing[0],
        missing_current=missing[1],
        problem=problem,
        problem_rows=rows,
        note=PROBLEMS[problem].format(rows=rows) if problem else "",
        **comparison.record,
    )
