"""Tables as people have them: each read to the values of its plain twin, asked about, or refused with a next step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.lexicon.columns import unit_evidence
from service.lexicon.errors import TableRefused
from service.lexicon.limits import UPLOAD, ReadOptions
from service.lexicon.reading import read_table
from service.lexicon.understanding import TableRead
from tests.service.lexicon.tables import (
    HEADER,
    ROWS,
    SAME,
    brazilian,
    delimited,
    dressed,
    under_password,
    workbook,
    zipped,
)

NUMBERS = ("annual_income", "num_loans", "credit_history_months")
OPTIONS = ReadOptions(limits=UPLOAD)


def values(table: TableRead) -> dict[str, list[Any]]:
    """By field what its cells mean; None for not known."""
    found: dict[str, list[Any]] = {}
    for field in HEADER[1:]:
        column = table.plain[field]
        assert not column.unread.any(), (field, table.understanding.columns)
        cells = [None if pd.isna(cell) or cell == "" else cell for cell in column.cells]
        found[field] = [None if cell is None else float(cell) for cell in cells] if field in NUMBERS else cells
    return found


PLAIN = values(read_table(SAME["plain"][1], OPTIONS))


@pytest.mark.parametrize("way", SAME)
def test_the_same_values_however_written(way: str) -> None:
    """No option is needed, nothing stays open, and every value is that of the plain file."""
    name, content = SAME[way]
    table = read_table(content, OPTIONS, name=name)
    table.understanding.settled()
    assert values(table) == PLAIN
    assert table.understanding.rows == 3 and not table.understanding.faults


OPEN = {
    "comma, alone": (delimited([["C-1", "2,900", "0", "", "Bad", "12"]]), "2900", "2.900"),
    "point, alone": (delimited([["C-1", "2.900", "0", "", "Bad", "12"]], by=";"), "2.900", "2900"),
    "point in a semicolon file whose other numbers have a point": (
        delimited([["C-1", "2.900", "0", "", "Bad", "12"], ["C-2", "34.000", "0.5", "", "Bad", "12"]], by=";"),
        "2.900",
        "2900",
    ),
    "a column that contradicts itself": (
        delimited([["C", cell, "0", "", "Bad", "1"] for cell in ("2,900", "1,234.5", "1.234,5")]),
        "2900",
        "2.900",
    ),
}


@pytest.mark.parametrize("case", OPEN)
def test_what_two_readings_fit_is_asked(case: str) -> None:
    """No silent guess: the ambiguity names line, column, cell, both readings and the option; the option settles it."""
    text, with_point, with_comma = OPEN[case]
    table = read_table(text.encode(), OPTIONS, name="a.csv")
    (ambiguity,) = table.understanding.ambiguities
    assert (ambiguity.code, ambiguity.column, ambiguity.line, ambiguity.option) == (
        "decimal",
        "annual_income",
        2,
        "--decimal",
    )
    assert dict(ambiguity.readings) == {".": with_point, ",": with_comma}
    assert table.plain["annual_income"].unread[0]
    with pytest.raises(TableRefused, match="line 2, column annual_income: .* say which: --decimal"):
        table.understanding.settled()
    for decimal, meant in ambiguity.readings.items():
        told = read_table(text.encode(), replace(OPTIONS, decimal=decimal))  # type: ignore[arg-type]
        assert not told.understanding.ambiguities and told.plain["annual_income"].cells[0] == meant


@pytest.mark.parametrize(
    ("cell", "others", "by", "meant"),
    [
        ("34,000", "12.5", ",", "34000"),
        ("34.000", "12,5", ";", "34000"),
        ("34.000", "12.5", ",", "34.000"),
        ("2,900", "1,234,567", ",", "2900"),
    ],
    ids=["thousands by comma", "thousands by point", "three decimals", "a longer number of the column decides"],
)
def test_other_cells_decide(cell: str, others: str, by: str, meant: str) -> None:
    """What one cell leaves open the column's others tell, or those of the other columns."""
    field = "annual_income" if others.count(",") > 1 else "interest_rate"
    header = ["annual_income", "interest_rate", "num_loans"]
    rows = [[cell, "1", "1"], ["1", "1", "1"]]
    rows[1][header.index(field)] = others
    table = read_table(delimited(rows, header=header, by=by).encode(), OPTIONS)
    table.understanding.settled()
    assert table.plain["annual_income"].cells[0] == meant


REFUSED: dict[str, tuple[str, bytes, str, str]] = {
    "nothing": ("a.csv", b"", "empty", "expected a header"),
    "a header alone": ("a.csv", delimited([]).encode(), "no_rows", "line 1"),
    "no header": ("a.csv", b"1,2\n3,4\n", "no_header", "line 1: .* expected the names of the columns"),
    "one column": ("a.csv", b"income\n1\n", "one_column", "--delimiter"),
    "a column twice": (
        "a.csv",
        delimited(header=[*HEADER[:5], "num_loans"]).encode(),
        "column_twice",
        "line 1, column num_loans",
    ),
    "a stray quote": ("a.csv", delimited().replace("C-2", 'C"2').encode(), "broken_csv", "line 3: a quote"),
    "an open quote": ("a.csv", delimited().replace("C-2", '"C-2').encode(), "broken_csv", "line 3: the last quote"),
    "a page": ("a.csv", b"<html><table>a,b", "not_a_table", "line 1"),
    "a PDF": ("a.csv", b"%PDF-1.7 a,b", "not_a_table", "save it as"),
    "a broken line of JSON": ("a.jsonl", b'{"a": 1}\n{"a": \n', "not_a_table", "line 2"),
    "the wrong encoding": ("a.csv", "é,b\n1,2\n".encode("cp1252"), "encoding", "line 1: byte 0 .*--encoding"),
    "two tables in a zip": (
        "a.zip",
        zipped({"a.csv": b"a,b", "b.csv": b"a,b"}),
        "not_one_table",
        "a.csv, b.csv.*--member",
    ),
    "a zip under a password": ("a.zip", under_password(zipped({"a.csv": b"a,b"})), "damaged", "pack it without one"),
    "a zip of pictures": ("a.zip", zipped({"a.png": b"a"}), "not_one_table", "no table"),
    "a cut gzip": ("a.csv.gz", b"\x1f\x8b\x08\x00abc", "damaged", "fetch or pack it again"),
    "a cut parquet": ("a.parquet", b"PAR1abc", "damaged", "write it again"),
    "a cell under no name": ("a.csv", b"a,b,\n1,2,3\n", "ragged", "line 2"),
    "an old workbook": ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old_excel", "save it as .xlsx"),
    "an empty sheet": ("a.xlsx", workbook([]), "empty", "expected a header"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_says_where_and_what_next(case: str) -> None:
    """One sentence: the file, its line where one is to blame, what was expected or what to do; no exception's name."""
    name, content, code, told = REFUSED[case]
    options = replace(OPTIONS, encoding="utf-8") if code == "encoding" else OPTIONS
    with pytest.raises(TableRefused, match=told) as raised:
        read_table(content, options, name=name)
    assert raised.value.trouble.code == code
    assert str(raised.value).startswith(f"{name}: ") and "Error" not in str(raised.value)


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (["5.00", "5.03", "22.10"], 3),
        (["5,00", "", "5,11"], 4),
        (["14", "5.3", "NA"], 3),
        (["5.00", "12.00", ""], 2),
        (["5.00", "265.00", "5.03"], None),
        (["5.0", "12.0", "40.0"], None),
        (["5.50", "5.03", "7.00"], None),
        (["5", "12", "40"], None),
        (["", "NA", ""], None),
    ],
    ids=str,
)
def test_a_history_of_years_and_months_is_no_number_of_months(cells: list[str], line: int | None) -> None:
    """`5.00` beside `5.03` is five years, not five months: such a column is refused as text and as numbers."""
    rows = [[f"C-{place}", "34000", "0", "", "Bad", cell] for place, cell in enumerate(cells)]
    content = delimited(rows, by=";").encode()
    numbers = pd.to_numeric(pd.Series(cells).str.replace(",", "."), errors="coerce")
    assert unit_evidence(numbers, np.arange(2, 5)).open_line == (
        line if line and numbers.mod(1).gt(0).any() and "5.3" not in cells else 0
    )
    if line is None:
        assert read_table(content, OPTIONS).understanding.rows == len(cells)
        return
    with pytest.raises(
        TableRefused, match=f"line {line}, column credit_history_months: .*5 Years and 3 Months"
    ) as told:
        read_table(content, OPTIONS)
    assert told.value.trouble.code == "history_unit"


def test_a_row_of_another_width_is_set_aside() -> None:
    """With its line, both counts and its cells; the others are read, each with its own line."""
    text = delimited([ROWS[0], ("C-2", "5"), ROWS[1], (*ROWS[2], "more")])
    table = read_table(text.encode(), OPTIONS)
    assert list(table.lines) == [2, 4] and list(table.frame["client"]) == ["C-1", "C-2"]
    assert [(fault.line, fault.what) for fault in table.understanding.faults] == [
        (3, "2 cells, the header names 6 columns"),
        (5, "7 cells, the header names 6 columns"),
    ]
    assert table.understanding.faults[0].cells == ("C-2", "5")


def test_lines_count_breaks_in_cells() -> None:
    """A row after a cell of three lines has the number that an editor shows."""
    text = delimited([("C\n1\r\n2", *ROWS[0][1:]), ROWS[1]])
    table = read_table(text.encode(), OPTIONS)
    assert list(table.lines) == [2, 5] and table.frame["client"][0] == "C\n1\r\n2"


def test_what_was_understood_has_examples_and_unread_cells() -> None:
    """Cells as written and as meant; what has no meaning with count and first line; the layout in words."""
    rows = dressed(brazilian, [*ROWS, ("C-4", "7", "3", "boat", "superb", "1"), ("C-5", "8", "x", "", "superb", "1")])
    understood = read_table(delimited(rows, by=";").encode(), OPTIONS, name="a.csv").understanding
    income, loans, kinds, mix, _ = understood.columns
    assert [(one.line, one.text, one.meaning) for one in income.examples] == [
        (2, "34.000,5", "34000.5"),
        (3, "2.900", "2900"),
        (4, "1.234.567,25", "1234567.25"),
    ]
    assert [(one.text, one.cells, one.line) for one in mix.commonest_unread] == [("superb", 2, 5)]
    assert (loans.unread_cells, kinds.commonest_unread[0].text, income.form.decimal) == (1, "boat", ",")
    assert understood.passed_on == ("client",)
    assert understood.sentence() == (
        "a.csv: csv, utf-8, columns cut at semicolon, decimal comma, header on line 1; 5 rows, 5 columns understood"
    )


def test_two_columns_for_one_field() -> None:
    """Names that mean the same are asked about; a name that is exactly the field's beats the others."""
    twice = read_table(delimited([["1", "2", "3"]], header=["Renda", "income", "num_loans"]).encode(), OPTIONS)
    assert [one.code for one in twice.understanding.ambiguities] == ["field-twice"]
    exact = read_table(delimited([["1", "2", "3"]], header=["Renda", "annual_income", "num_loans"]).encode(), OPTIONS)
    assert not exact.understanding.ambiguities and exact.columns["annual_income"] == "annual_income"


DRESSES = {
    "plain": (lambda cell: cell, ","),
    "Brazilian": (brazilian, ";"),
    "thousands": (lambda cell: f"{float(cell):,.2f}", ","),
    "reais": (lambda cell: "R$ " + brazilian(f"{float(cell):.2f}"), "\t"),
}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 10**11), min_size=1, max_size=8),
    st.sampled_from(sorted(DRESSES)),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.text(st.characters(codec="cp1252", exclude_categories=["Cc", "Zs"]), max_size=5),
)
def test_a_written_table_reads_back(
    cents: list[int], dress: str, encoding: str, end: str, quoted: bool, client: str
) -> None:
    """Whatever form a program writes a table in, its values and texts come back, or the mark is asked for."""
    wear, by = DRESSES[dress]
    rows = [[client, f"{amount / 100:.2f}", "1", "auto", "Good", "5"] for amount in cents]
    text = delimited(dressed(wear, rows), by=by, end=end, quoted=quoted)
    told = encoding if encoding == "cp1252" else ""  # two letters of it may be one of UTF-8: only the caller knows
    table = read_table(text.encode(encoding), replace(OPTIONS, encoding=told))
    table.understanding.settled()
    assert [float(cell) for cell in table.plain["annual_income"].cells] == [float(row[1]) for row in rows]
    assert list(table.frame["client"]) == [client.strip()] * len(rows)


@pytest.mark.needs_data
@pytest.mark.parametrize("name", ["test_raw", "train_nearraw", "train", "train_august_raw"])
def test_kaggles_own_files_need_no_hint(shared_data: Path, name: str) -> None:
    """Every cell of the real files is read or known to be no value."""
    understood = read_table(shared_data / f"{name}.csv.gz").understanding
    understood.settled()
    assert {column.field: column.commonest_unread for column in understood.columns if column.unread_cells} == {}
