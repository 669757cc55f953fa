"""Gates that stop: what a table must keep before anything learns from it, each with a bound, a reason and a next step.

Cleaning repairs cells and sets rows aside; a table of which too much is lost, unread or unlike a portfolio is no
training table, whatever figures a model of it shows. Bounds stand in `data/params.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from flows.cleaning.balance_identity import BROKEN, UNKNOWN
from flows.cleaning.cleaning_rules import CleaningRule
from flows.cleaning.pipeline import IDENTITY_COLUMN, CleanResult
from flows.errors import GateBreached
from service.contract import CATEGORY_FIELDS, DESCRIBING_FIELDS, CreditClass
from service.lexicon.headings import KAGGLE
from service.lexicon.understanding import Understanding

SHOWN: Final = 3
TABLE: Final = "(table)"
IDENTIFYING: Final = ["annual_income", "outstanding_debt", "interest_rate", "num_credit_cards"]
CONSTANTS: Final = (
    *("annual_income", "monthly_inhand_salary", "num_bank_accounts", "num_credit_cards", "num_loans", "interest_rate"),
    *("credit_mix", "outstanding_debt", "total_emi_per_month"),
)
UNREAD_RULES: Final = (CleaningRule.NOT_A_NUMBER, CleaningRule.UNKNOWN_CATEGORY)
GATES: Final = frozenset(
    {
        *("rows_set_aside", "unread_cells", "out_of_range", "missing_cells", "missing_in_a_month", "distinct_values"),
        *("commonest_value", "median", "same_columns", "label_share", "label_follows_mix", "label_lasts", "months"),
        *("smallest_month", "months_without_rows", "rows_a_customer", "one_person_two_ids", "constant_of_customer"),
        "identity_holds",
    }
)
NUMBERS: Final = tuple(name for name in DESCRIBING_FIELDS if name not in CATEGORY_FIELDS | {"loan_types"})


class Gate(BaseModel):
    """Bounds of one measure, its columns' own where they differ, and why they lie there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least: float | None = None
    most: float | None = None
    columns: dict[str, tuple[float, float]] = {}
    why: str = Field(min_length=20)

    def bounds(self, column: str) -> tuple[float, float]:
        """Least and most for a column."""
        whole = (-np.inf if self.least is None else self.least, np.inf if self.most is None else self.most)
        return self.columns.get(column, whole)


class GateOverride(BaseModel):
    """A person's word that one breach is meant: kept in the data's record, the model card and the release checks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: str
    column: str = TABLE
    by: str = Field(min_length=2)
    reason: str = Field(min_length=10)


class Measure(BaseModel):
    """One figure of a table and what a gate says of it."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    gate: str
    column: str
    value: float
    least: float | None
    most: float | None
    passed: bool
    overridden_by: str = ""
    reason: str = ""
    commonest_unread: list[str] = []

    @property
    def stops(self) -> bool:
        """True if the stage must end here."""
        return not self.passed and not self.overridden_by

    def sentence(self) -> str:
        """The breach in one line, with what to do."""
        limits = " and ".join(
            part
            for part in (
                f"at least {self.least:g}" if self.least is not None else "",
                f"at most {self.most:g}" if self.most is not None else "",
            )
            if part
        )
        text = f"{self.gate} of {self.column} is {self.value:.4g}, {limits} is allowed"
        unread = f"; commonest unread: {', '.join(map(repr, self.commonest_unread))}" if self.commonest_unread else ""
        return text + unread


def judged(
    result: CleanResult,
    understanding: Understanding | None,
    gates: Mapping[str, Gate],
    overrides: Sequence[GateOverride],
) -> list[Measure]:
    """Every figure that a gate bounds, the breaches first."""
    unread = _unread_texts(understanding)
    override_of = {(one.gate, one.column): one for one in overrides}
    figures = []
    for gate, column, value in measures(result):
        least, most = gates[gate].bounds(column)
        override = override_of.get((gate, column))
        figures.append(
            Measure(
                gate=gate,
                column=column,
                value=round(float(value), 6),
                least=None if np.isinf(least) else least,
                most=None if np.isinf(most) else most,
                passed=bool(least <= value <= most),  # NaN, where nothing can be measured, passes nothing
                overridden_by=override.by if override else "",
                reason=override.reason if override else "",
                commonest_unread=unread.get(column, [])
                if gate in ("unread_cells", "missing_cells", "rows_set_aside")
                else [],
            )
        )
    return sorted(figures, key=lambda one: (one.passed, one.gate, one.column))


def refuse(figures: Sequence[Measure]) -> None:
    """Make sure that no breach stops the stage.

    Raises:
        GateBreached: in one line the worst breaches, their commonest unread values, and what to do.
    """
    stops = [one for one in figures if one.stops]
    if not stops:
        return
    unread = [one for one in stops if one.commonest_unread] or stops
    breaches = "; ".join(
        one.sentence() for one in [*unread[:SHOWN], *[one for one in stops if one not in unread][:SHOWN]][:SHOWN]
    )
    more = f" (and {len(stops) - SHOWN} breaches more)" if len(stops) > SHOWN else ""
    raise GateBreached(
        f"the table is not fit to learn from: {breaches}{more}. Mend the source and fetch it again, or, if this is "
        "meant, say so by name and reason under prepare.overrides in data/params.yaml"
    )


def measures(result: CleanResult) -> Iterator[tuple[str, str, float]]:
    """Gate, column and value of every figure."""
    parsed, rows = result.parsed, max(len(result.parsed), 1)
    yield "rows_set_aside", TABLE, len(result.quarantine) / rows
    for column in DESCRIBING_FIELDS:
        yield "unread_cells", column, sum(result.counts.count(rule, column) for rule in UNREAD_RULES) / rows
        if column in NUMBERS:
            yield "out_of_range", column, result.counts.count(CleaningRule.OUT_OF_RANGE, column) / rows
    yield "unread_cells", "month", float(parsed["month"].isna().mean())
    yield "unread_cells", "label", float(parsed["label"].isna().mean()) if "label" in parsed else 1.0
    yield from _columns(parsed)
    yield from _labels(parsed)
    yield from _customers(parsed.dropna(subset=["customer_id", "month"]))
    identities = result.frame[IDENTITY_COLUMN][result.frame[IDENTITY_COLUMN] != UNKNOWN]
    yield "identity_holds", TABLE, float((identities != BROKEN).mean()) if len(identities) else 0.0


def _columns(parsed: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    by_month = parsed["month"]
    for column in DESCRIBING_FIELDS:
        cells = parsed[column]
        missing = cells.isna() if column != "loan_types" else cells == ""
        yield "missing_cells", column, float(missing.mean())
        yield (
            "missing_in_a_month",
            column,
            float(missing.groupby(by_month).mean().max()) if by_month.notna().any() else 1.0,
        )
        known = cells[~missing]
        shares = known.value_counts(normalize=True)
        yield "distinct_values", column, float(len(shares))
        yield "commonest_value", column, float(shares.iloc[0]) if len(shares) else 1.0
        if column in NUMBERS:
            yield "median", column, float(known.median()) if len(known) else np.nan
    arrays = {column: parsed[column].to_numpy("float64") for column in NUMBERS}
    for one, other in combinations(NUMBERS, 2):
        both = ~np.isnan(arrays[one]) & ~np.isnan(arrays[other])
        if both.any():
            same = float((arrays[one][both] == arrays[other][both]).mean())
            if same > 0.5:
                yield "same_columns", other, same


def _labels(parsed: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    if "label" not in parsed:
        return
    shares = parsed["label"].value_counts(normalize=True)
    for label in map(str, CreditClass):
        yield "label_share", label, float(shares.get(label, 0.0))
    poor = (parsed["label"] == "Poor").groupby(parsed["credit_mix"]).mean()
    yield "label_follows_mix", TABLE, float(poor.get("Bad", np.nan)) - float(poor.get("Good", np.nan))


def _customers(rows: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
    months = rows["month"].value_counts(normalize=True)
    yield "months", TABLE, float(len(months))
    yield "smallest_month", TABLE, float(months.min() * len(months)) if len(months) else 0.0
    span = float(months.index.max() - months.index.min() + 1) if len(months) else 0.0
    yield "months_without_rows", TABLE, span - len(months)
    yield "rows_a_customer", TABLE, len(rows) / max(rows["customer_id"].nunique(), 1)
    known = rows.dropna(subset=IDENTIFYING).drop_duplicates(["customer_id", *IDENTIFYING])
    ids = known.groupby(IDENTIFYING)["customer_id"].nunique()
    yield "one_person_two_ids", TABLE, float((ids > 1).sum() / max(rows["customer_id"].nunique(), 1))
    ordered = rows.sort_values(["customer_id", "month"], kind="stable")
    next_row = (ordered["customer_id"] == ordered["customer_id"].shift()).to_numpy()
    for column in CONSTANTS:
        yield "constant_of_customer", column, _repeats(ordered[column], next_row)
    if "label" in ordered:
        yield "label_lasts", TABLE, _repeats(ordered["label"], next_row)
    grown = ordered["credit_history_months"] - ordered["month"]
    yield "constant_of_customer", "credit_history_months", _repeats(grown, next_row)


def _repeats(cells: pd.Series, next_row: np.ndarray) -> float:
    """Share of rows that say what the customer's row before said, of those where both say something; 1 if none does."""
    before = cells.shift()
    both = next_row & cells.notna().to_numpy() & before.notna().to_numpy()
    return float((cells[both] == before[both]).mean()) if both.any() else 1.0


def unread_sentence(understanding: Understanding) -> str:
    """The commonest texts without a meaning, column by column; empty where all was read."""
    texts = _unread_texts(understanding)[TABLE]
    return f" Commonest unread: {', '.join(texts)}" if texts else ""


def _unread_texts(understanding: Understanding | None) -> dict[str, list[str]]:
    """By field the commonest texts without a meaning; of the table, those of the month and the label."""
    if understanding is None:
        return {}
    texts = {
        one.field: [f"{text.text} ({text.cells:,})" for text in one.commonest_unread]
        for one in understanding.columns
        if one.field in (*DESCRIBING_FIELDS, "month", "label")
    }
    texts[TABLE] = [f"{KAGGLE[field]}: {words[0]}" for field, words in texts.items() if words][:3]
    return texts
