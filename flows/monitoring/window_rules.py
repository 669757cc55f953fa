"""The state of the whole window: checks over all columns at once, and the written rules that decide. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from flows.monitoring.verdict_types import SEVERITY, Cause, ColumnVerdict, DriftCheck, DriftRule, DriftState
from flows.monitoring.window_settings import Thresholds
from flows.predictions.columns import WatchedColumn, numbers_of


def volume_check(rows: int, days: int, usual: float | None, thresholds: Thresholds) -> DriftCheck:
    """The check that as many predictions came as usual: no distribution shows a partner that stopped sending.

    Args:
        rows: predictions of the window.
        days: its length.
        usual: predictions a day of earlier windows, None where there are too few.
        thresholds: the settings' thresholds.
    """
    a_day = rows / days
    if usual is None:
        return DriftCheck(
            name="traffic",
            state=DriftState.GREEN,
            value=a_day,
            explanation=f"{a_day:,.0f} predictions a day",
            rule=DriftRule.TRAFFIC_ALONE,
            figures={"a_day": round(a_day)},
        )
    return DriftCheck(
        name="traffic",
        state=DriftState.AMBER if a_day < thresholds.traffic_amber * usual else DriftState.GREEN,
        value=a_day,
        explanation=f"{a_day:,.0f} predictions a day, usually {usual:,.0f}",
        rule=DriftRule.TRAFFIC,
        figures={"a_day": round(a_day), "usual": round(usual)},
    )


def domain_classifier(
    columns: Sequence[WatchedColumn],
    reference: pd.DataFrame,
    current: pd.DataFrame,
    thresholds: Thresholds,
    seed: int = 0,
) -> DriftCheck:
    """Can a small model tell reference from current? One check for shifts that no single column shows.

    Cross-validated AUC of a CatBoost classifier over at most 5,000 rows of each side, missing values as they are.
    """
    from catboost import CatBoostClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict

    rows = min(5_000, len(reference), len(current))
    frame = _coded(columns, [side.sample(rows, random_state=seed) for side in (reference, current)])
    label = np.repeat([0, 1], rows)
    model = CatBoostClassifier(
        iterations=80, depth=4, random_seed=seed, thread_count=2, verbose=False, allow_writing_files=False
    )
    guess = cross_val_predict(model, frame, label, cv=5, method="predict_proba")[:, 1]
    auc = float(roc_auc_score(label, guess))
    state = (
        DriftState.RED
        if auc >= thresholds.domain_auc_red
        else DriftState.AMBER
        if auc >= thresholds.domain_auc_amber
        else DriftState.GREEN
    )
    return DriftCheck(
        name="domain classifier",
        state=state,
        value=auc,
        explanation=f"a model tells reference from current with AUC {auc:.3f} (0.5 is a coin)",
        rule=DriftRule.DOMAIN_CLASSIFIER,
        figures={"auc": auc},
    )


def _coded(columns: Sequence[WatchedColumn], sides: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Both sides, one under the other: numbers as they are, infinite ones missing, categories as codes."""
    together = pd.concat(sides, ignore_index=True)
    coded = {c.name: pd.factorize(together[c.name].astype(str), sort=True)[0] for c in columns if c.kind == "category"}
    numeric = {c.name: numbers_of(together[c.name]) for c in columns if c.kind == "number"}
    return pd.DataFrame(numeric | coded).replace([np.inf, -np.inf], np.nan)


@dataclass(frozen=True)
class WindowDecision:
    """The window's state, why, and whether the cause is the data's quality."""

    state: DriftState
    causes: tuple[Cause, ...]
    data_quality_red: bool
    performance_red: bool


def decide(
    verdicts: Sequence[ColumnVerdict],
    checks: Sequence[DriftCheck],
    performance: Sequence[DriftCheck],
    previous_amber: frozenset[str],
    thresholds: Thresholds,
) -> WindowDecision:
    """The written rules, worst first; every rule that spoke is named.

    Args:
        verdicts: the columns of data and answers.
        checks: whole-window checks that are no performance (domain classifier).
        performance: estimated and realised performance.
        previous_amber: columns that were amber in the window before.
        thresholds: the settings' thresholds.
    """
    quality = [
        v.name
        for v in verdicts
        if v.missing_state is DriftState.RED or (v.values_state is DriftState.RED and v.problem)
    ]
    moved = [v.name for v in verdicts if v.state in (DriftState.AMBER, DriftState.RED)]
    failed = [check.cause for check in performance if check.state is DriftState.RED]
    red = [
        *_columns_red(verdicts, quality, moved, previous_amber, thresholds),
        *failed,
        *(check.cause for check in checks if check.state is DriftState.RED),
    ]
    amber = [_cause(DriftRule.COLUMNS_MOVED, "columns moved", moved)] if moved and not red else []
    amber += [check.cause for check in [*checks, *performance] if check.state is DriftState.AMBER]
    state = DriftState.RED if red else DriftState.AMBER if amber else DriftState.GREEN
    return WindowDecision(state, tuple(red + amber), bool(quality), bool(failed))


def _columns_red(
    verdicts: Sequence[ColumnVerdict],
    quality: list[str],
    moved: list[str],
    previous_amber: frozenset[str],
    thresholds: Thresholds,
) -> list[Cause]:
    """The rules by which columns alone turn a window red."""
    drifted = [v.name for v in verdicts if v.key and v.values_state is DriftState.RED and not v.problem]
    again = sorted(previous_amber & {v.name for v in verdicts if v.state is DriftState.AMBER})
    red = []
    if quality:
        red.append(_cause(DriftRule.DATA_QUALITY, "data quality", quality))
    if drifted:
        red.append(_cause(DriftRule.KEY_COLUMNS, "key columns drifted", drifted))
    if len(moved) >= thresholds.amber_columns_red * max(len(verdicts), 1):
        counts = {"moved": len(moved), "all": len(verdicts)}
        red.append(
            Cause(rule=DriftRule.MANY_COLUMNS, text="{moved} of {all} columns moved".format(**counts), figures=counts)
        )
    if again:
        red.append(_cause(DriftRule.AMBER_AGAIN, "amber twice running", again))
    return red


def _cause(rule: DriftRule, title: str, columns: Sequence[str]) -> Cause:
    return Cause(rule=rule, text=f"{title}: {', '.join(columns)}", columns=tuple(columns))


def worst_columns(verdicts: Sequence[ColumnVerdict], count: int = 3) -> list[ColumnVerdict]:
    """The columns to look at first: by state, then by PSI; green ones are left out."""
    moved = [verdict for verdict in verdicts if verdict.state is not DriftState.GREEN]
    return sorted(moved, key=lambda v: (SEVERITY[v.state], v.psi or 0.0), reverse=True)[:count]
