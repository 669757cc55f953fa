"""The drift rule: what makes a column and a window green, amber, red or insufficient. Pure; frames in, verdict out.

Order matters. Data quality comes first: a broken column turns red and is skipped, so one bad column never hides the
others. Values are then compared column by column, the p-values corrected over all columns together, and the decision
follows from written rules with a reason for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from flows import divergence
from flows.windows import Thresholds
from service.contract import Applicant

# A missing share moves for real only when chance alone would move it so far once in a thousand windows.
MISSING_P_VALUE = 1e-3
LIST_SEPARATOR = "|"
DATA_QUALITY = "data quality"


class State(StrEnum):
    """The four answers of the monitor, best first; `insufficient` is no verdict and never reads as green."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    INSUFFICIENT = "insufficient"


SEVERITY = {State.GREEN: 0, State.INSUFFICIENT: 1, State.AMBER: 2, State.RED: 3}


def worst(states: Iterable[State]) -> State:
    """The most severe of the states; green if there are none."""
    return max(states, key=SEVERITY.__getitem__, default=State.GREEN)


@dataclass(frozen=True)
class Column:
    """A column to watch: its kind, its allowed range or levels, and whether the model leans on it."""

    name: str
    kind: Literal["number", "category", "list"]
    low: float = -np.inf
    high: float = np.inf
    levels: tuple[str, ...] = ()
    key: bool = False


class ColumnVerdict(BaseModel):
    """What one column shows: states of its values and of its missing share, and the figures behind them."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    values_state: State
    missing_state: State
    key: bool = False
    method: str = ""
    psi: float | None = None
    effect: float | None = Field(None, description="KS distance of numbers, Cramer's V of categories")
    p_value: float | None = Field(None, description="adjusted by Benjamini-Hochberg over all columns")
    wasserstein: float | None = None
    jensen_shannon: float | None = None
    kullback_leibler: float | None = None
    missing_reference: float | None = None
    missing_current: float | None = None
    note: str = ""

    @property
    def broken(self) -> bool:
        """Whether the column could not be compared at all."""
        return self.method == DATA_QUALITY


class Check(BaseModel):
    """One check of the whole window."""

    model_config = ConfigDict(frozen=True)

    name: str
    state: State
    value: float | None = None
    explanation: str


@dataclass(frozen=True)
class Comparison:
    """The raw figures of one column before p-values are corrected."""

    column: Column
    psi: float
    effect: float
    p_value: float
    jensen_shannon: float
    kullback_leibler: float
    wasserstein: float | None


def contract_columns(key: Sequence[str] = ()) -> list[Column]:
    """The applicant's fields as columns, ranges and levels from the contract; `key` names the model's main ones."""
    schema = Applicant.model_json_schema()
    columns = []
    for name, field in schema["properties"].items():
        if name in ("customer_ref", "as_of"):
            continue
        options = field.get("anyOf", [field])
        first = options[0]
        levels = schema["$defs"].get(first.get("items", first).get("$ref", "").rsplit("/", 1)[-1], {}).get("enum", ())
        kind: Literal["number", "category", "list"] = (
            "list" if first.get("type") == "array" else "category" if levels else "number"
        )
        columns.append(
            Column(
                name,
                kind,
                low=first.get("minimum", -np.inf),
                high=first.get("maximum", np.inf),
                levels=tuple(levels),
                key=name in key,
            )
        )
    return columns


def prediction_columns(reasons: bool = True) -> list[Column]:
    """The answer's own columns: the score (always key), the class and, where they were stored, the reasons."""
    columns = [
        Column("score", "number", 0, 1000, key=True),
        Column("predicted_class", "category", levels=("Poor", "Standard", "Good")),
    ]
    return columns + ([Column("reasons", "list")] if reasons else [])


def _numbers(values: pd.Series) -> np.ndarray[Any, np.dtype[np.float64]]:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _present(column: Column, values: pd.Series) -> Any:
    """The usable values: finite numbers, or texts (the items of a list column)."""
    if column.kind == "number":
        numbers = _numbers(values)
        return numbers[np.isfinite(numbers)]
    texts = values.dropna().astype(str)
    if column.kind == "category":
        return texts[texts != ""].to_numpy()
    return texts.str.split(LIST_SEPARATOR, regex=False).explode().loc[lambda items: items != ""].to_numpy()


def _missing_share(column: Column, values: pd.Series) -> float:
    """Share of rows without a usable value; an empty list is a value."""
    if values.empty:
        return 0.0
    if column.kind == "number":
        return float(np.mean(~np.isfinite(_numbers(values))))
    empty = values.isna() if column.kind == "list" else values.isna() | (values.astype(str) == "")
    return float(empty.mean())


def _broken(column: Column, reference: pd.DataFrame, current: pd.DataFrame) -> str:
    """Why the column cannot be compared, or an empty string."""
    if column.name not in current:
        return "the column is lost"
    if column.name not in reference:
        return "the column is new: the reference does not know it"
    before, after = _present(column, reference[column.name]), _present(column, current[column.name])
    if column.kind == "list" and before.size == after.size == 0:
        return ""
    if before.size == 0:
        return "the reference holds no value"
    if after.size == 0:
        return "every value is missing"
    constant = len(set(after)) == 1 < min(len(set(before)), after.size)
    return "every value is the same" if constant else ""


def _odd_values(column: Column, values: Any) -> str:
    """Values outside the contract's range or levels, as a note with counts and never a value."""
    if column.kind == "number":
        outside = int(np.sum((values < column.low) | (values > column.high)))
        return f"{outside} values out of range" if outside else ""
    unseen = int(np.sum(~np.isin(values, column.levels))) if column.levels else 0
    return f"{unseen} values of unseen categories" if unseen else ""


def _missing_state(shares: tuple[float, float], rows: tuple[int, int], thresholds: Thresholds) -> State:
    """State of a missing share against the reference's: only a rise beyond chance counts."""
    rise = shares[1] - shares[0]
    if rise < thresholds.missing_amber:
        return State.GREEN
    counts = [np.array([share * n, (1 - share) * n]) for share, n in zip(shares, rows, strict=True)]
    if divergence.homogeneity(counts[0], counts[1]).p_value >= MISSING_P_VALUE:
        return State.GREEN
    return State.RED if rise >= thresholds.missing_red else State.AMBER


def _compare(column: Column, before: Any, after: Any) -> Comparison:
    """All distances of two samples of one column."""
    if column.kind == "number":
        edges = divergence.decile_edges(before)
        counts = divergence.bin_counts(before, edges), divergence.bin_counts(after, edges)
        test = divergence.kolmogorov_smirnov(before, after)
        moved = divergence.wasserstein_clipped(before, after)
    else:
        _, *aligned = divergence.category_counts(before, after)
        counts = aligned[0], aligned[1]
        test = divergence.homogeneity(*counts)
        moved = None
    return Comparison(
        column,
        divergence.psi(*counts),
        test.statistic,
        test.p_value,
        divergence.jensen_shannon(*counts),
        divergence.kullback_leibler(*counts),
        moved,
    )


def _values_state(comparison: Comparison, adjusted: float, thresholds: Thresholds) -> State:
    """Decile PSI decides; a significant and large enough test warns."""
    red = thresholds.psi_red_key if comparison.column.key else thresholds.psi_red
    if comparison.psi >= red:
        return State.RED
    significant = comparison.effect >= thresholds.effect_amber and adjusted < thresholds.p_value
    return State.AMBER if comparison.psi >= thresholds.psi_amber or significant else State.GREEN


def judge_columns(
    columns: Sequence[Column], reference: pd.DataFrame, current: pd.DataFrame, thresholds: Thresholds
) -> list[ColumnVerdict]:
    """Every column's verdict, in the order given; both frames have rows."""
    broken = {column.name: _broken(column, reference, current) for column in columns}
    compared = [
        _compare(column, _present(column, reference[column.name]), _present(column, current[column.name]))
        for column in columns
        if not broken[column.name]
    ]
    adjusted = divergence.benjamini_hochberg([comparison.p_value for comparison in compared])
    figures = {c.column.name: (c, p) for c, p in zip(compared, adjusted, strict=True)}
    return [
        _broken_verdict(column, broken[column.name])
        if broken[column.name]
        else _verdict(*figures[column.name], reference, current, thresholds)
        for column in columns
    ]


def _broken_verdict(column: Column, why: str) -> ColumnVerdict:
    return ColumnVerdict(
        name=column.name,
        state=State.RED,
        values_state=State.RED,
        missing_state=State.RED if "missing" in why or "lost" in why else State.GREEN,
        key=column.key,
        method=DATA_QUALITY,
        note=why,
    )


def _verdict(
    comparison: Comparison, adjusted: float, reference: pd.DataFrame, current: pd.DataFrame, thresholds: Thresholds
) -> ColumnVerdict:
    column = comparison.column
    before, after = reference[column.name], current[column.name]
    missing = _missing_share(column, before), _missing_share(column, after)
    missing_state = _missing_state(missing, (len(before), len(after)), thresholds)
    note = _odd_values(column, _present(column, after))
    values_state = State.RED if note else _values_state(comparison, adjusted, thresholds)
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
        wasserstein=comparison.wasserstein,
        jensen_shannon=comparison.jensen_shannon,
        kullback_leibler=comparison.kullback_leibler,
        missing_reference=missing[0],
        missing_current=missing[1],
        note=note,
    )


def volume_check(rows: int, days: int, usual: float | None, thresholds: Thresholds) -> Check:
    """Whether as many predictions came as usual: a partner that stopped sending shows in no distribution.

    Args:
        rows: predictions of the window.
        days: its length.
        usual: predictions a day of earlier windows, None where there are too few.
        thresholds: the settings' thresholds.
    """
    a_day = rows / days
    if usual is None:
        return Check(name="traffic", state=State.GREEN, value=a_day, explanation=f"{a_day:,.0f} predictions a day")
    state = State.AMBER if a_day < thresholds.traffic_amber * usual else State.GREEN
    return Check(
        name="traffic", state=state, value=a_day, explanation=f"{a_day:,.0f} predictions a day, usually {usual:,.0f}"
    )


def domain_classifier(
    columns: Sequence[Column], reference: pd.DataFrame, current: pd.DataFrame, thresholds: Thresholds, seed: int = 0
) -> Check:
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
        State.RED
        if auc >= thresholds.domain_auc_red
        else State.AMBER
        if auc >= thresholds.domain_auc_amber
        else State.GREEN
    )
    return Check(
        name="domain classifier",
        state=state,
        value=auc,
        explanation=f"a model tells reference from current with AUC {auc:.3f} (0.5 is a coin)",
    )


def _coded(columns: Sequence[Column], sides: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Both sides, one under the other: numbers as they are, infinite ones missing, categories as codes."""
    together = pd.concat(sides, ignore_index=True)
    coded = {c.name: pd.factorize(together[c.name].astype(str), sort=True)[0] for c in columns if c.kind == "category"}
    numeric = {c.name: _numbers(together[c.name]) for c in columns if c.kind == "number"}
    return pd.DataFrame(numeric | coded).replace([np.inf, -np.inf], np.nan)


@dataclass(frozen=True)
class Decision:
    """The window's state, why, and whether the cause is the data's quality."""

    state: State
    reasons: tuple[str, ...]
    data_quality_red: bool
    performance_red: bool


def decide(
    verdicts: Sequence[ColumnVerdict],
    checks: Sequence[Check],
    performance: Sequence[Check],
    previous_amber: frozenset[str],
    thresholds: Thresholds,
) -> Decision:
    """The written rules, worst first; every rule that spoke is named.

    Args:
        verdicts: the columns of data and answers.
        checks: whole-window checks that are no performance (domain classifier).
        performance: estimated and realised performance.
        previous_amber: columns that were amber in the window before.
        thresholds: the settings' thresholds.
    """
    red, amber = [], []
    quality = [v.name for v in verdicts if v.missing_state is State.RED or (v.values_state is State.RED and v.note)]
    if quality:
        red.append(f"data quality: {', '.join(quality)}")
    drifted = [v.name for v in verdicts if v.key and v.values_state is State.RED and not v.note]
    if drifted:
        red.append(f"key columns drifted: {', '.join(drifted)}")
    moved = [v.name for v in verdicts if v.state in (State.AMBER, State.RED)]
    if len(moved) >= thresholds.amber_columns_red * max(len(verdicts), 1):
        red.append(f"{len(moved)} of {len(verdicts)} columns moved")
    again = sorted(previous_amber & {v.name for v in verdicts if v.state is State.AMBER})
    if again:
        red.append(f"amber twice running: {', '.join(again)}")
    failed = [check for check in performance if check.state is State.RED]
    red += [check.explanation for check in [*failed, *(c for c in checks if c.state is State.RED)]]
    if moved and not red:
        amber.append(f"columns moved: {', '.join(moved)}")
    amber += [check.explanation for check in [*checks, *performance] if check.state is State.AMBER]
    state = State.RED if red else State.AMBER if amber else State.GREEN
    return Decision(state, tuple(red + amber), bool(quality), bool(failed))


def worst_columns(verdicts: Sequence[ColumnVerdict], count: int = 3) -> list[ColumnVerdict]:
    """The columns to look at first: by state, then by PSI; green ones are left out."""
    moved = [verdict for verdict in verdicts if verdict.state is not State.GREEN]
    return sorted(moved, key=lambda v: (SEVERITY[v.state], v.psi or 0.0), reverse=True)[:count]
