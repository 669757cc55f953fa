"""A partner's own file comes back whole, with the answers beside it."""

from __future__ import annotations

import io

import openpyxl
import pandas as pd
import pytest

from ui.batches.results import as_csv, as_excel, joined
from ui.batches.sheet import Sheet

SHEET = Sheet(("ref", "note"), (("a", "=1+1"), ("b", "x;y"), ("c", "")), (2, 3, 5))
ANSWERS = pd.DataFrame({"row": [2, 5], "customer_ref": [None, None], "score": [700, 10], "band": ["Standard", "Poor"]})
PROBLEMS = {3: "Annual income: a number is needed here."}


def test_every_row_keeps_its_place() -> None:
    """Rows without an answer stay, with the reason; the partner's own columns are as they came."""
    whole = joined(SHEET, ANSWERS, PROBLEMS)
    assert list(whole["ref"]) == ["a", "b", "c"] and list(whole["note"]) == ["=1+1", "x;y", ""]
    assert [None if pd.isna(score) else int(score) for score in whole["qf_score"]] == [700, None, 10]
    assert [None if pd.isna(said) else said for said in whole["qf_problem"]] == [None, PROBLEMS[3], None]
    assert "qf_customer_ref" not in whole


def test_without_problems_there_is_no_such_column() -> None:
    """A file that fits comes back without a column of problems."""
    assert "qf_problem" not in joined(SHEET, ANSWERS, {})


def test_a_workbook_runs_nothing() -> None:
    """A cell that begins with = is text in the workbook, as it was in the file."""
    page = openpyxl.load_workbook(io.BytesIO(as_excel(joined(SHEET, ANSWERS, PROBLEMS)))).active
    assert page["B2"].value == "=1+1" and page["B2"].data_type == "s"
    assert page["C2"].value == 700 and page["C3"].value is None


@pytest.mark.parametrize(("language", "first"), [("pt", "ref;note;qf_score"), ("en", "ref,note,qf_score")])
def test_csv_of_the_language(language: str, first: str) -> None:
    """Cut and marked as a spreadsheet of the language opens it."""
    assert as_csv(joined(SHEET, ANSWERS, {}), language).decode("utf-8-sig").splitlines()[0].startswith(first)


@pytest.mark.parametrize(("language", "lines"), [("pt", ["a;=1+1;700;", "c;;10;"]), ("en", ["a,=1+1,700,", "c,,10,"])])
def test_a_score_stays_an_integer_beside_a_row_without_one(language: str, lines: list[str]) -> None:
    """A row that was refused turns no other row's score into a fraction."""
    text = as_csv(joined(SHEET, ANSWERS, PROBLEMS), language).decode("utf-8-sig").splitlines()
    assert [line.startswith(start) for line, start in zip((text[1], text[3]), lines, strict=True)] == [True, True]
