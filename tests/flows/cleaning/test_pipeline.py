"""Cleaning: each named rule, rows in = rows out + quarantine, and never a look into the future."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.cleaning.applicants import to_applicants
from flows.cleaning.cleaning_rules import MEANING, CleaningRule
from flows.cleaning.parsing import CATEGORIES
from flows.cleaning.pipeline import CLEAN_COLUMNS, CleanResult, clean_rows
from flows.cleaning.raw_table import MONTH_NUMBERS, NUMERIC, RAW_COLUMNS
from flows.cleaning.schemas import clean_schema, hold
from flows.data.raw_reading import read_raw
from flows.data.sample import generate
from service.contract import Applicant

REAL_FILES = ("train", "test_raw", "train_nearraw", "train_august_raw")


@lru_cache
def real(folder: Any, name: str) -> tuple[pd.DataFrame, CleanResult]:
    """A real raw file, every cell as text, and what cleaning makes of it."""
    raw = read_raw(folder / f"{name}.csv.gz", labelled=name != "test_raw")
    return raw, clean_rows(raw)


CELLS = [
    # raw column, raw cells by month, clean column, clean cells, rules that must have fired on the clean column
    ("Annual_Income", ["24000.0_", "24000.0", "24000.0"], "annual_income", [24_000.0] * 3, {"trailing_underscore"}),
    ("Annual_Income", ["24000.0", "19832211.0", "24000.0"], "annual_income", [24_000.0] * 3, {"out_of_range"}),
    (
        "Annual_Income",
        ["9999999.0", "24500.0", "24500.0"],
        "annual_income",
        [24_000.0, 24_500.0, 24_500.0],
        {"from_salary"},
    ),
    ("Annual_Income", ["24000.0", "150000.0", "24000.0"], "annual_income", [24_000.0] * 3, {"unlike_salary"}),
    ("Monthly_Inhand_Salary", ["2000.0", "", "2000.0"], "monthly_inhand_salary", [2_000.0] * 3, {"from_own_past"}),
    ("Monthly_Inhand_Salary", ["", "2000.0", ""], "monthly_inhand_salary", [2_000.0] * 3, {"from_identity"}),
    ("Monthly_Inhand_Salary", ["3093.745000000001", "", ""], "monthly_inhand_salary", [2_000.0] * 3, {"copy_fill"}),
    ("Age", ["30", "-500", "31_"], "age", [30, 30, 31], {"out_of_range", "trailing_underscore"}),
    ("Age", ["8688", "30", "30"], "age", [None, 30, 30], {"out_of_range"}),
    ("Occupation", ["_______", "Writer", "_______"], "occupation", [None, "Writer", "Writer"], {"masked"}),
    ("Occupation", ["Writer", "0", "Writer"], "occupation", ["Writer"] * 3, {"unknown_category"}),
    ("Num_Bank_Accounts", ["-1", "3", "1789"], "num_bank_accounts", [0, 3, 3], {"negative_to_zero", "out_of_range"}),
    ("Num_Credit_Card", ["4", "1499", "4"], "num_credit_cards", [4, 4, 4], {"out_of_range"}),
    ("Num_Credit_Card", ["4", "4.5", "4"], "num_credit_cards", [4, 4, 4], {"not_whole"}),
    ("Interest_Rate", ["7", "5789", "five"], "interest_rate", [7.0, 7.0, 7.0], {"out_of_range", "not_a_number"}),
    ("Num_of_Loan", ["-100", "3_", "1496"], "num_loans", [3, 3, 3], {"from_loan_names", "out_of_range"}),
    ("Num_of_Loan", ["2", "3", "3"], "num_loans", [3, 3, 3], {"from_loan_names"}),
    ("Type_of_Loan", ["Auto Loan, and Boat Loan"] * 3, "loan_types", ["auto|not_specified"] * 3, {"unknown_category"}),
    ("Delay_from_due_date", ["12", "", "-3"], "delay_from_due_date", [12.0, 12.0, -3.0], {"from_own_past"}),
    ("Num_of_Delayed_Payment", ["2", "-1", "8_"], "num_delayed_payments", [2, 0, 8], {"negative_to_zero"}),
    ("Num_of_Delayed_Payment", ["15", "-1", "4360"], "num_delayed_payments", [15, 15, 15], {"unlike_own_past"}),
    ("Num_of_Delayed_Payment", ["", "9", ""], "num_delayed_payments", [None, 9, 9], {"empty"}),
    ("Changed_Credit_Limit", ["8.25", "_", "13.25"], "changed_credit_limit", [8.25, 8.25, 13.25], {"masked"}),
    (
        "Changed_Credit_Limit",
        ["8.25", "10.06", "9.4"],
        "changed_credit_limit",
        [8.25] * 3,
        {"unlike_own_past", "copy_fill"},
    ),
    ("Num_Credit_Inquiries", ["4.0", "2593.0", "0.0"], "num_credit_inquiries", [4, 4, 4], {"unlike_own_past"}),
    ("Credit_Mix", ["_", "Good", "_"], "credit_mix", [None, "Good", "Good"], {"masked", "from_own_past"}),
    ("Payment_of_Min_Amount", ["NM", "Yes", "NM"], "payment_of_min_amount", [None, "Yes", "Yes"], {"masked"}),
    (
        "Credit_History_Age",
        ["NA", "10 Years and 2 Months", "NA"],
        "credit_history_months",
        [None, 122, 123],
        {"masked"},
    ),
    (
        "Credit_History_Age",
        ["10 Years and 1 Months", "x", "x"],
        "credit_history_months",
        [121, 122, 123],
        {"not_a_number"},
    ),
    ("Total_EMI_per_month", ["45.0", "71234.0", "45.0"], "total_emi_per_month", [45.0] * 3, {"from_own_past"}),
    ("Total_EMI_per_month", ["71234.0", "45.0", "45.0"], "total_emi_per_month", [45.0] * 3, {"from_identity"}),
    ("Amount_invested_monthly", ["__10000__", "", "0.0"], "amount_invested_monthly", [90.0] * 3, {"from_identity"}),
    (
        "Amount_invested_monthly",
        ["90.0", "135.92568154608836", "333.3"],
        "amount_invested_monthly",
        [90.0] * 3,
        {"copy_fill"},
    ),
    (
        "Payment_Behaviour",
        ["!@9#%8", "", "Low_spent_Small_value_payments"],
        "payment_behaviour",
        ["high_spent_small_value_payments"] * 3,
        {"masked", "empty", "from_identity"},
    ),
    (
        "Monthly_Balance",
        ["__-333333333333333333333333333__", "", "336.71918978926107"],
        "monthly_balance",
        [325.0] * 3,
        {"out_of_range", "empty", "copy_fill", "from_identity"},
    ),
]


@pytest.mark.parametrize(
    ("column", "cells", "target", "expected", "rules"),
    CELLS,
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:34],
)
def test_each_kind_of_dirt_has_its_rule(
    raw_customer: Any, column: str, cells: list[str], target: str, expected: list[Any], rules: set[str]
) -> None:
    """A dirty cell becomes what the customer's own row and past say, and the rule that did it is counted."""
    result = clean_rows(raw_customer(**{column: cells}))
    got = [None if pd.isna(value) else value for value in result.frame[target]]
    assert got == pytest.approx(expected, abs=1e-6) if isinstance(expected[-1], float) else got == expected
    assert result.quarantine.empty
    assert rules <= {rule for rule, where, _ in result.counts if where == target}


def test_shift_between_salary_and_instalments_is_booked_back(raw_customer: Any) -> None:
    """An amount booked from salary to instalments breaks the identity by 1.1 of it, and is found by that."""
    raw = raw_customer(Monthly_Inhand_Salary=["1750.0"] * 3, Total_EMI_per_month=["295.0"] * 3)
    result = clean_rows(raw)
    assert result.frame["monthly_inhand_salary"].tolist() == pytest.approx([2_000.0] * 3)
    assert result.frame["total_emi_per_month"].tolist() == pytest.approx([45.0] * 3)
    assert result.counts.count(CleaningRule.SHIFT_UNDONE, "total_emi_per_month") == 3


def test_a_row_as_served_keeps_what_it_told_and_nobodys_past(raw_customer: Any) -> None:
    """Nothing is booked back, an unknown amount is solved from the row, and what only the past tells is unknown."""
    shifted = raw_customer(Monthly_Inhand_Salary=["1750.0"] * 3, Total_EMI_per_month=["295.0"] * 3)
    gaps = raw_customer(
        Credit_Mix=["Good", "_", "Good"], Interest_Rate=["7", "7", "5789"], Monthly_Balance=["325.0", "", "325.0"]
    )
    told = clean_rows(shifted, as_served=True).frame
    alone, repaired = clean_rows(gaps, as_served=True), clean_rows(gaps)
    assert told["monthly_inhand_salary"].tolist() == [1_750.0] * 3
    assert told["total_emi_per_month"].tolist() == [295.0] * 3
    assert set(told["balance_identity"]) == {"broken"}
    assert alone.frame["monthly_balance"].tolist() == pytest.approx([325.0, 325.0])
    assert alone.frame["credit_mix"].isna().tolist() == [False, True]
    assert alone.quarantine["reason"].tolist() == ["unknown interest_rate"]
    assert len(repaired.frame) == 3 and not repaired.frame["credit_mix"].isna().any()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_row_as_served_is_cleaned_by_itself(seed: int) -> None:
    """Each row comes out as it does from a table of this row alone."""
    raw = generate(4, range(1, 4), seed)
    together = clean_rows(raw, as_served=True).frame.reset_index(drop=True)
    singly = [clean_rows(raw.iloc[[place]], as_served=True).frame for place in range(len(raw))]
    singly = pd.concat(singly).sort_values(["customer_id", "month"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(together, singly, check_dtype=False)


def test_instalments_without_a_loan_go_back_to_salary(raw_customer: Any) -> None:
    """Without a loan, what stands as instalments was booked away from salary."""
    raw = raw_customer(
        Type_of_Loan="",
        Num_of_Loan="0",
        Total_EMI_per_month="150.0",
        Monthly_Inhand_Salary="1850.0",
        Monthly_Balance="370.0",
    )
    frame = clean_rows(raw).frame
    assert frame["monthly_inhand_salary"].tolist() == [2_000.0] * 3
    assert frame["total_emi_per_month"].tolist() == [0.0] * 3
    assert set(frame["balance_identity"]) == {"repaired"}


def test_unrecoverable_amounts_are_flagged(raw_customer: Any) -> None:
    """A row whose amounts contradict each other beyond repair stays and says so."""
    raw = raw_customer(1, Monthly_Balance="20.0", Amount_invested_monthly="1990.0", Total_EMI_per_month="1700.0")
    result = clean_rows(raw)
    assert result.frame["balance_identity"].tolist() == ["broken"]
    assert result.counts.count(CleaningRule.IDENTITY_BROKEN) == 1


def test_the_identity_state_tells_holding_rows_from_unknown_ones(raw_customer: Any) -> None:
    """Untouched rows hold; a row with two unknowns cannot be checked."""
    clean = clean_rows(raw_customer())
    unknown = clean_rows(raw_customer(1, Payment_Behaviour="!@9#%8", Amount_invested_monthly="__10000__"))
    assert clean.frame["balance_identity"].tolist() == ["holds"] * 3
    assert unknown.frame["balance_identity"].tolist() == ["unknown"]
    assert unknown.frame["payment_behaviour"].isna().all()


QUARANTINED = [
    ({"Interest_Rate": ["5789", "7", "7"]}, "unknown interest_rate", 1),
    (
        {"Interest_Rate": ["5789", "7", "7"], "Num_Credit_Card": ["99", "4", "4"]},
        "unknown num_credit_cards, interest_rate",
        1,
    ),
    ({"Annual_Income": "9e9", "Monthly_Inhand_Salary": "", "Payment_Behaviour": ""}, "unknown annual_income", 3),
    ({"Month": ["January", "Brumaire", "March"]}, "unknown month", 1),
    ({"Month": ["January", "January", "March"]}, "same customer and month twice", 1),
    ({"Customer_ID": ["CUS_1", "", "CUS_1"]}, "no customer id", 1),
    ({"Credit_Score": ["Good", "Superb", "Poor"]}, "unknown label", 1),
    ({"Credit_Score": ["Good", "", "Poor"]}, "no label", 1),
]


@pytest.mark.parametrize(("columns", "reason", "rows"), QUARANTINED, ids=[case[1] for case in QUARANTINED])
def test_what_cannot_be_known_is_set_aside_with_its_reason(
    raw_customer: Any, columns: dict[str, Any], reason: str, rows: int
) -> None:
    """A required value that neither the row nor its past tells sets the row aside; nothing is guessed or lost."""
    result = clean_rows(raw_customer(**columns))
    assert result.quarantine["reason"].tolist() == [reason] * rows
    assert len(result.frame) == 3 - rows
    assert result.counts.count(CleaningRule.QUARANTINED) == rows
    assert not {"Name", "SSN"} & {*result.quarantine.columns, *result.frame.columns}


def test_an_unlabelled_table_needs_no_label(raw_customer: Any) -> None:
    """Production months come without the label; the clean frame keeps the column, empty."""
    frame = clean_rows(raw_customer().drop(columns="Credit_Score")).frame
    assert tuple(frame.columns) == CLEAN_COLUMNS
    assert frame["label"].isna().all()


def test_numbers_read_as_numbers_clean_the_same(sample: pd.DataFrame, tmp_path: Any) -> None:
    """A table that pandas typed by itself gives the rows of the table read as text."""
    sample.to_csv(tmp_path / "raw.csv", index=False)
    typed = pd.read_csv(tmp_path / "raw.csv", keep_default_na=False, low_memory=False)
    assert typed["Interest_Rate"].dtype == "int64"
    pd.testing.assert_frame_equal(clean_rows(typed).frame, clean_rows(sample).frame)


def test_an_empty_table_gives_no_row() -> None:
    """No row in, no row out, no error."""
    result = clean_rows(pd.DataFrame({name: pd.Series(dtype="str") for name in RAW_COLUMNS}))
    assert result.frame.empty and result.quarantine.empty


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), last=st.integers(1, 7))
def test_the_future_never_changes_the_past(seed: int, last: int) -> None:
    """Cleaning the months up to any month gives the rows that cleaning all of them gives for these months."""
    raw = generate(40, range(1, 9), seed)
    early = raw[raw["Month"].map(MONTH_NUMBERS) <= last]
    whole = clean_rows(raw).frame
    expected = whole[whole["month"] <= last].reset_index(drop=True)
    pd.testing.assert_frame_equal(clean_rows(early).frame.reset_index(drop=True), expected)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**31), shuffle=st.integers(0, 2**31))
def test_other_customers_and_row_order_change_nothing(seed: int, shuffle: int) -> None:
    """A customer's clean rows are the same alone, among others, and whatever the order of the file."""
    raw = generate(30, range(1, 9), seed)
    whole = clean_rows(raw).frame.reset_index(drop=True)
    mixed = clean_rows(raw.sample(frac=1, random_state=shuffle)).frame.reset_index(drop=True)
    pd.testing.assert_frame_equal(mixed, whole)
    one = raw["Customer_ID"].iloc[0]
    alone = clean_rows(raw[raw["Customer_ID"] == one]).frame
    pd.testing.assert_frame_equal(
        alone.reset_index(drop=True), whole[whole["customer_id"] == one].reset_index(drop=True)
    )


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_garbage_is_cleaned_or_set_aside(data: st.DataObject) -> None:
    """Whatever stands in the cells: no error, no row lost, and what comes out is valid by the contract."""
    raw = generate(3, range(1, 4), seed=data.draw(st.integers(0, 99)))
    garbage = st.one_of(
        st.sampled_from(
            ["", "_", "NM", "nan", "-1", "0", "1e400", "-1e9", "9_", "__1__", "inf", "Good", "4.5", "10000"]
        ),
        st.text(max_size=8),
        st.floats(allow_nan=True, allow_infinity=True).map(str),
    )
    for _ in range(data.draw(st.integers(1, 12))):
        row, column = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.sampled_from(list(raw.columns)))
        raw.loc[row, column] = data.draw(garbage)
    result = clean_rows(raw)
    assert len(result.frame) + len(result.quarantine) == len(raw)
    hold(clean_schema(labelled=True), result.frame)
    for applicant in to_applicants(result.frame, with_reference=False):
        Applicant.model_validate_json(json.dumps(applicant))


def test_every_rule_is_explained_and_reached() -> None:
    """Each rule has its meaning in words; the sample is dirty enough to fire those of the raw file."""
    assert set(MEANING) == set(CleaningRule)
    copies_only = {
        CleaningRule.NOT_A_NUMBER,
        CleaningRule.NOT_WHOLE,
        CleaningRule.UNKNOWN_CATEGORY,
        CleaningRule.UNLIKE_SALARY,
        CleaningRule.IDENTITY_BROKEN,
    }
    fired = {CleaningRule(rule) for rule, _, _ in clean_rows(generate(1_000, range(1, 9), seed=7)).counts}
    assert not set(CleaningRule) - copies_only - fired


@pytest.mark.needs_data
@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_clean_to_valid_applicants(shared_data: Any, name: str) -> None:
    """Every real row becomes a valid applicant or is set aside with a reason; no impossible value is left."""
    raw, result = real(shared_data, name)
    assert len(result.frame) + len(result.quarantine) == len(raw)
    assert len(result.quarantine) < (0.07 if name == "train_august_raw" else 0.02) * len(raw)
    assert (result.quarantine["reason"] != "").all()
    hold(clean_schema(labelled="Credit_Score" in raw.columns), result.frame)
    for column in NUMERIC.values():
        values = result.frame[column.name].dropna().astype("float64")
        # Counts end at zero; an income told by nothing but the salary may lie a little outside the range of incomes.
        low = 0 if column.name.startswith("num_") else column.low
        low, high = (3_600, 185_000) if column.name == "annual_income" else (low, column.high)
        assert values.between(low, high).all(), column.name
    some = result.frame if name == "test_raw" else result.frame.iloc[::7]
    for applicant in to_applicants(some):
        Applicant.model_validate_json(json.dumps(applicant))


@pytest.mark.needs_data
def test_recovered_amounts_agree_with_the_raw_truth(shared_data: Any) -> None:
    """Where a copy overwrote cells, what cleaning recovers is what the raw August file says."""
    truth = real(shared_data, "train_august_raw")[1].frame.set_index("customer_id")
    copy = real(shared_data, "train")[1].frame
    copy = copy[copy["month"] == 8].set_index("customer_id")
    both = truth.index.intersection(copy.index)
    for column in ("monthly_inhand_salary", "total_emi_per_month", "amount_invested_monthly", "monthly_balance"):
        apart = (truth.loc[both, column] - copy.loc[both, column]).abs().dropna()
        assert np.mean(apart < 0.02) > 0.98, column
    for column, _ in CATEGORIES.values():
        pairs = pd.DataFrame({"truth": truth.loc[both, column], "copy": copy.loc[both, column]}).dropna()
        assert (pairs["truth"] == pairs["copy"]).mean() > 0.98, column
