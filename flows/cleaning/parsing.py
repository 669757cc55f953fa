"""From raw text to typed cells, one cell at a time: nothing here looks at another row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from flows.cleaning.cleaning_rules import CleaningRule, CleaningTally
from flows.cleaning.raw_table import (
    BEHAVIOUR_SUMS,
    CREDIT_MIXES,
    LABEL_COLUMN,
    LABELS,
    LOAN_TYPES,
    MASKS,
    MINIMUM_PAYMENTS,
    MONTH_NUMBERS,
    NUMERIC,
    OCCUPATIONS,
    RawColumn,
    spelling,
)
from service.contract import DESCRIBING_FIELDS, WHOLE_FIELDS

WHOLE: Final = frozenset({"age"}) | WHOLE_FIELDS.intersection(DESCRIBING_FIELDS)
"""Columns that hold whole numbers alone."""
FILL_TOLERANCE: Final = 1e-6  # copies round to nine digits
CATEGORIES: Final = {
    "Occupation": ("occupation", {name: name for name in OCCUPATIONS}),
    "Credit_Mix": ("credit_mix", {name: name for name in CREDIT_MIXES}),
    "Payment_of_Min_Amount": ("payment_of_min_amount", {name: name for name in MINIMUM_PAYMENTS}),
    "Payment_Behaviour": ("payment_behaviour", {spelling(name): name for name in BEHAVIOUR_SUMS}),
}
Fills = Mapping[str, tuple[float, ...]]


def parse(raw: pd.DataFrame, tally: CleaningTally, extra_fills: Fills | None = None) -> pd.DataFrame:
    """The contract's columns, typed, NaN where a cell says nothing believable; same rows, same index.

    `extra_fills` names further constants per raw column that count as missing
    (see `flows.cleaning.quality.suspect_repeats`).
    """
    parsed: dict[str, pd.Series] = {
        "customer_id": text(raw["Customer_ID"]).replace("", None),
        "month": text(raw["Month"]).map(MONTH_NUMBERS).astype("float64"),
    }
    if LABEL_COLUMN in raw.columns:
        parsed["label"] = text(raw[LABEL_COLUMN]).map({name: name for name in LABELS}).astype("str")
    for name, column in NUMERIC.items():
        fills = column.fills + tuple((extra_fills or {}).get(name, ()))
        parsed[column.name] = _number(raw[name], column, fills, tally)
    for name, (target, known) in CATEGORIES.items():
        parsed[target] = _category(raw[name], target, known, tally)
    parsed["credit_history_months"] = _history(raw["Credit_History_Age"], tally)
    parsed["loan_types"] = _loan_types(raw["Type_of_Loan"], tally)
    return pd.DataFrame(parsed, index=raw.index)


def text(cells: pd.Series) -> pd.Series:
    """The cells as stripped text, empty where missing."""
    return cells.astype("str").fillna("").str.strip()


def _unmasked(cells: pd.Series, name: str, tally: CleaningTally) -> pd.Series:
    """The cells as text, empty where empty or masked; both counted."""
    words = text(cells)
    empty = words == ""
    masked = words.isin(MASKS)
    tally.add(CleaningRule.EMPTY, name, empty)
    tally.add(CleaningRule.MASKED, name, masked)
    return words.mask(masked, "")


def _number(cells: pd.Series, column: RawColumn, fills: tuple[float, ...], tally: CleaningTally) -> pd.Series:
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.astype("float64")
        present = values.notna()
        tally.add(CleaningRule.EMPTY, column.name, ~present)
    else:
        words = _unmasked(cells, column.name, tally)
        bare = words.str.strip("_")
        tally.add(CleaningRule.TRAILING_UNDERSCORE, column.name, words != bare)
        present = words != ""
        codes, distinct = pd.factorize(bare)  # each text is parsed once: most columns have few
        numbers = pd.to_numeric(pd.Series(distinct), errors="coerce").to_numpy("float64")
        values = pd.Series(numbers[codes], index=cells.index)
    tally.add(CleaningRule.NOT_A_NUMBER, column.name, present & values.isna())
    outside = values.notna() & ~values.between(column.low, column.high)
    tally.add(CleaningRule.OUT_OF_RANGE, column.name, outside)
    values = values.mask(outside)
    if column.name in WHOLE:
        broken = values.notna() & (values % 1 != 0)
        tally.add(CleaningRule.NOT_WHOLE, column.name, broken)
        values = values.mask(broken)
    copies = np.zeros(len(values), dtype=bool)
    for fill in fills:
        copies |= np.abs(values.to_numpy() - fill) < FILL_TOLERANCE
    tally.add(CleaningRule.COPY_FILL, column.name, copies)
    return values.mask(copies)


def _category(cells: pd.Series, name: str, known: Mapping[str, str], tally: CleaningTally) -> pd.Series:
    words = _unmasked(cells, name, tally)
    values = words.map(known).astype("str")
    tally.add(CleaningRule.UNKNOWN_CATEGORY, name, (words != "") & values.isna())
    return values


def _history(cells: pd.Series, tally: CleaningTally) -> pd.Series:
    """Months out of "22 Years and 1 Months"; at most a few hundred spellings, so each is read once."""
    name = "credit_history_months"
    words = _unmasked(cells, name, tally)
    spellings = pd.Series(words.unique(), dtype="str")
    parts = spellings.str.extract(r"^(\d{1,2}) Years? and (\d{1,2}) Months?$").astype("float64")
    months = words.map(dict(zip(spellings, parts[0] * 12 + parts[1], strict=True))).astype("float64")
    tally.add(CleaningRule.NOT_A_NUMBER, name, (words != "") & months.isna())
    return months


def _loan_types(cells: pd.Series, tally: CleaningTally) -> pd.Series:
    """ "Auto Loan, Payday Loan, and Auto Loan" as "auto|payday|auto"; empty text where no loan is named."""
    words = _unmasked(cells, "loan_types", tally)
    joined: dict[str, str] = {}
    strange: dict[str, bool] = {}
    for phrase in words.unique():
        names = [part.strip().removeprefix("and ").strip() for part in phrase.split(",")]
        names = [name for name in names if name]
        joined[phrase] = "|".join(LOAN_TYPES.get(name, "not_specified") for name in names)
        strange[phrase] = any(name not in LOAN_TYPES for name in names)
    tally.add(CleaningRule.UNKNOWN_CATEGORY, "loan_types", words.map(strange).astype(bool))
    return words.map(joined).astype("str")
