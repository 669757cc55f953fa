"""The three data contracts: raw violations are counted, clean and feature frames are promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from flows.cleaning.pipeline import clean_rows
from flows.cleaning.schemas import clean_schema, hold, raw_schema, raw_violations
from flows.errors import ContractBroken
from service.contract import REFERENCE_FIELDS, Applicant

BROKEN_CELLS = [
    ("Age", "24_", "a plain number"),
    ("Age", "8688", "14 to 56"),
    ("Monthly_Inhand_Salary", "", "told"),
    ("Credit_Mix", "_", "told"),
    ("Payment_Behaviour", "!@9#%8", "told"),
    ("Payment_Behaviour", "spends", "known"),
    ("Credit_History_Age", "10 years", "x Years and y Months"),
    ("Type_of_Loan", "Boat Loan", "known"),
    ("Month", "Brumaire", "known"),
    ("Credit_Score", "Superb", "known"),
]


def test_a_clean_table_breaks_no_rule(raw_customer: Any) -> None:
    """The table that the rules describe breaks none of them."""
    raw = raw_customer()
    assert raw_violations(raw).empty
    raw_schema(labelled=True).validate(raw)


@pytest.mark.parametrize(("column", "cell", "rule"), BROKEN_CELLS, ids=[f"{c[0]} {c[2]}" for c in BROKEN_CELLS])
def test_each_broken_rule_is_counted(raw_customer: Any, column: str, cell: str, rule: str) -> None:
    """A broken rule is reported with its column, its rows and their share; never a value."""
    values = raw_customer(4)[column].tolist()
    broken = raw_violations(raw_customer(4, **{column: [values[0], cell, values[2], cell]}))
    broken = broken[broken["column"] != "(table)"]
    assert broken.to_dict("records") == [{"column": column, "rule": rule, "rows": 2, "share": 0.5}]


def test_a_month_told_twice_breaks_the_table(raw_customer: Any) -> None:
    """Two rows of one customer and month are one violation of the table, counted once a row."""
    broken = raw_violations(raw_customer(3, Month=["May", "May", "June"]))
    assert broken[["column", "rule", "rows"]].values.tolist() == [["(table)", "one row a customer and month", 1]]


def test_an_unlabelled_table_needs_no_label(raw_customer: Any) -> None:
    """Production months are checked without the label."""
    assert raw_violations(raw_customer().drop(columns="Credit_Score")).empty


def test_the_clean_schema_has_the_contract_s_fields_and_ranges(sample: pd.DataFrame) -> None:
    """Every field of the public contract is a clean column; the ranges are the contract's own."""
    frame = clean_rows(sample).frame
    assert set(frame.columns) >= set(Applicant.model_fields) - set(REFERENCE_FIELDS)
    assert hold(clean_schema(labelled=True), frame) is frame


CLEAN_FAULTS = [
    ("interest_rate", 101.0),
    ("interest_rate", np.nan),
    ("monthly_balance", np.inf),
    ("num_loans", 51),
    ("credit_mix", "Fine"),
    ("loan_types", "auto|boat"),
    ("loan_types", "auto|auto"),
    ("label", None),
    ("balance_identity", "so-so"),
    ("month", 13),
]


@pytest.mark.parametrize(("column", "value"), CLEAN_FAULTS, ids=str)
def test_a_broken_promise_is_one_line_without_values(raw_customer: Any, column: str, value: Any) -> None:
    """A clean frame off its schema is refused, naming column and rule, never the value."""
    frame = clean_rows(raw_customer()).frame
    frame.loc[frame.index[1], column] = value
    with pytest.raises(ContractBroken, match="clean data breaks its schema") as caught:
        hold(clean_schema(labelled=True), frame)
    assert "\n" not in str(caught.value)
    assert "24000" not in str(caught.value)


def test_missing_columns_and_doubled_rows_break_the_clean_schema(raw_customer: Any) -> None:
    """Neither a lost column nor a doubled customer month passes."""
    frame = clean_rows(raw_customer()).frame
    for wrong in (
        frame.drop(columns="loan_types"),
        pd.concat([frame, frame], ignore_index=True),
        frame[frame.columns[::-1]],
    ):
        with pytest.raises(ContractBroken):
            hold(clean_schema(labelled=True), wrong)
