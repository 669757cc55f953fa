"""Columns found by name, cells understood by field, rows judged by the contract."""

from __future__ import annotations

import csv
import gzip
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.batches.mapping import check, meaning, propose, template
from ui.batches.sheet import OPTIONS, Sheet, read_sheet

FIELDS = {field.name: field for field in contract_fields()}
ALL = contract_fields()


def sheet_of(rows: list[dict[str, Any]]) -> Sheet:
    """Rows as an uploaded CSV file."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return read_sheet("a.csv", buffer.getvalue().encode())


@pytest.mark.parametrize(
    ("field", "cell", "value"),
    [
        ("annual_income", "1234.5", 1234.5),
        ("annual_income", "1.234,56", 1234.56),
        ("annual_income", "1,234.56", 1234.56),
        ("annual_income", "1,234,567", 1234567.0),
        ("annual_income", "1.234.567", 1234567.0),
        ("annual_income", "12,5", 12.5),
        ("annual_income", "R$ 1.234,56", 1234.56),
        ("annual_income", "52312.68_", 52312.68),
        ("monthly_balance", "−12.5", -12.5),
        ("interest_rate", "12%", 12.0),
        ("annual_income", "much", "much"),
        ("annual_income", "inf", "inf"),
        ("annual_income", "1e999", "1e999"),
        ("num_loans", "3", 3),
        ("num_loans", "3.0", 3),
        ("num_loans", "3.5", "3.5"),
        ("num_loans", "-100", -100),
        ("num_delayed_payments", "", None),
        ("num_delayed_payments", "NA", None),
        ("changed_credit_limit", "_", None),
        ("credit_mix", "good", "Good"),
        ("credit_mix", "_", None),
        ("credit_mix", "Boa", "Good"),
        ("credit_mix", "superb", "superb"),
        ("payment_behaviour", "!@9#%8", None),
        ("payment_behaviour", "High_spent_Small_value_payments", "high_spent_small_value_payments"),
        ("payment_of_min_amount", "NM", None),
        ("credit_history_months", "10 Years and 9 Months", 129),
        ("credit_history_months", "1 Year", 12),
        ("credit_history_months", "129", 129),
        (
            "loan_types",
            "Auto Loan, Credit-Builder Loan, and Home Equity Loan",
            ("auto", "credit_builder", "home_equity"),
        ),
        ("loan_types", "auto|auto|payday", ("auto", "auto", "payday")),
        ("loan_types", "Empréstimo pessoal", ("personal",)),
        ("loan_types", "", ()),
        ("loan_types", "boat", ("boat",)),
        ("customer_ref", "CUS_0x1", "CUS_0x1"),
        ("customer_ref", "", None),
        ("as_of", "2026-08-01 00:00:00", "2026-08-01"),
    ],
)
def test_meaning(field: str, cell: str, value: Any) -> None:
    """What a cell means for a field; what cannot be understood stays for the contract to refuse."""
    assert meaning(FIELDS[field], cell) == value


@given(st.sampled_from(ALL), st.text(max_size=30))
def test_no_cell_breaks_it(field: Any, cell: str) -> None:
    """Whatever stands in a cell, reading it raises nothing."""
    meaning(field, cell)


@pytest.mark.parametrize("language", ["contract", "kaggle", "portuguese"])
def test_columns_are_found(language: str) -> None:
    """The contract's names, Kaggle's and the labels of the page are all known."""
    names = {
        "contract": [field.name for field in ALL],
        "kaggle": [
            "Customer_ID",
            "Name",
            "SSN",
            "Num_of_Loan",
            "Type_of_Loan",
            "Credit_History_Age",
            "Num_Credit_Card",
        ],
        "portuguese": ["Renda anual", "salário líquido", "Dívida a pagar"],
    }[language]
    found = propose(names, ALL)
    assert len(found) == {"contract": len(ALL), "kaggle": 5, "portuguese": 3}[language]
    assert not {"Name", "SSN"} & set(found.values())


def test_the_template_is_valid() -> None:
    """What we offer for download comes back as the very applicants it was made of."""
    sheet = sheet_of(template(ALL, list(EXAMPLES.values())))
    checked = check(sheet, propose(sheet.columns, ALL), ALL)
    assert list(checked.applicants) == list(EXAMPLES.values()) and checked.numbers == (2, 3, 4)


def test_faults_name_row_and_field() -> None:
    """A bad row is left out with every rule it broke; good rows go on."""
    rows = template(ALL, list(EXAMPLES.values()))
    rows[1] |= {"num_loans": 99, "annual_income": "much", "loan_types": ""}
    sheet = sheet_of(rows)
    checked = check(sheet, propose(sheet.columns, ALL), ALL)
    assert checked.numbers == (2, 4)
    assert {(each.row, each.fault.field, each.fault.code) for each in checked.faults} == {
        (3, "num_loans", "too-large"),
        (3, "annual_income", "type"),
    }


def test_columns_that_are_not_there() -> None:
    """A nullable field without a column is not known, a list empty; a required one is missing."""
    rows = template(ALL, [EXAMPLES["ordinary"]])
    for name in ("credit_mix", "loan_types", "interest_rate"):
        del rows[0][name]
    sheet = sheet_of(rows)
    checked = check(sheet, propose(sheet.columns, ALL), ALL)
    assert [(each.fault.field, each.fault.code) for each in checked.faults] == [("interest_rate", "missing")]


@pytest.mark.parametrize(
    ("cells", "by", "read"),
    [
        (("34,000", "2,800", "2,900"), ",", "asked"),
        (("34.000", "2.800", "2.900"), ";", "asked"),
        (("34,000.00", "2,800.00", "2,900.00"), ",", (34000.0, 2800.0, 2900.0)),
        (("34.000,00", "2.800,00", "2.900,00"), ";", (34000.0, 2800.0, 2900.0)),
    ],
    ids=["thousands alone", "thousands alone, Brazil", "with cents", "with centavos"],
)
def test_thousands_are_never_guessed(cells: tuple[str, ...], by: str, read: Any) -> None:
    """Amounts whose mark could be either are no applicants until the mark is told; with cents they are read."""
    names = ("annual_income", "monthly_inhand_salary", "outstanding_debt")
    whole = {"interest_rate": 12, "delay_from_due_date": 3, "changed_credit_limit": 5, "credit_utilization_ratio": 30}
    whole |= {"total_emi_per_month": 80, "amount_invested_monthly": 90, "monthly_balance": 300}
    row = template(ALL, [EXAMPLES["ordinary"]])[0] | whole | dict(zip(names, cells, strict=True))
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=by).writerows([row.keys(), row.values()])
    sheet = read_sheet("a.csv", buffer.getvalue().encode())
    checked = check(sheet, propose(sheet.columns, ALL), ALL)
    if read == "asked":
        assert not checked.applicants and {each.fault.code for each in checked.faults} == {"type"}
        assert sheet.understanding is not None and {one.column for one in sheet.understanding.ambiguities} == {*names}
        told = read_sheet("a.csv", buffer.getvalue().encode(), replace(OPTIONS, decimal="." if by == "," else ","))
        checked, read = check(told, propose(told.columns, ALL), ALL), (34000.0, 2800.0, 2900.0)
    (applicant,) = checked.applicants
    assert tuple(getattr(applicant, name) for name in names) == read


def test_a_walled_number_is_a_mask() -> None:
    """`__10000__` stands for an amount that is not known, as training takes it."""
    assert meaning(FIELDS["amount_invested_monthly"], "__10000__") is None


def test_a_row_cut_short_is_a_fault_of_its_line() -> None:
    """A row two cells short is not filled up and scored: it is listed with its line."""
    rows = template(ALL, list(EXAMPLES.values()))
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([rows[0].keys(), rows[0].values(), list(rows[1].values())[:-2], rows[2].values()])
    sheet = read_sheet("a.csv", buffer.getvalue().encode())
    checked = check(sheet, propose(sheet.columns, ALL), ALL)
    assert checked.numbers == (2, 4) and [(each.row, each.fault.code) for each in checked.faults] == [(3, "ragged")]


@pytest.mark.needs_data
def test_kaggles_own_file(shared_data: Path) -> None:
    """Kaggle's raw file is understood as it is; only impossible values are refused."""
    content = gzip.decompress((shared_data / "train_august_raw.csv.gz").read_bytes())
    sheet = read_sheet("train.csv", b"\n".join(content.split(b"\n")[:2001]))
    checked = check(sheet, propose(sheet.columns, ALL), ALL)
    assert len(checked.applicants) > 0.8 * len(sheet.rows)
    assert {each.fault.code for each in checked.faults} <= {"too-small", "too-large", "loan-types-count"}
