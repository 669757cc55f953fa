"""What stands beside or below the one table of a file: another sheet's table, totals, and files of other programs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl
import pytest

from service.lexicon.errors import TableRefused
from service.lexicon.limits import UPLOAD, ReadOptions
from service.lexicon.reading import read_table
from tests.service.lexicon.tables import HEADER, ROWS, delimited, zipped

OPTIONS = ReadOptions(limits=UPLOAD)
TABLE = [HEADER, *ROWS]
Rows = Sequence[Sequence[Any]]


def sheets(tables: Mapping[str, Rows], hidden: str = "") -> bytes:
    """An Excel file of several sheets; the one named `hidden` cannot be seen."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
        sheet.sheet_state = "hidden" if name == hidden else "visible"
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("tables", "place"),
    [
        ({"Janeiro": TABLE, "Fevereiro": TABLE}, 2),
        ({"Capa": [["Relatório"], ["de clientes", "2026"]], "Fevereiro": TABLE}, 2),
        ({"Janeiro": TABLE, "Notas": [["ver anexo"]], "Fevereiro": [["Clientes"], [None], *TABLE]}, 3),
    ],
    ids=["two months", "a cover before it", "a third sheet with a title"],
)
def test_a_second_table_is_not_lost_without_a_word(tables: dict[str, Rows], place: int) -> None:
    """The refusal counts the sheet and tells the way out; no cell of it, nor its name, which may be a person's."""
    with pytest.raises(TableRefused, match=f"visible sheet {place} holds .*; save each sheet as a file") as raised:
        read_table(sheets(tables), OPTIONS, name="a.xlsx")
    assert raised.value.trouble.code == "several_sheets"
    assert "Fevereiro" not in str(raised.value)


@pytest.mark.parametrize(
    ("tables", "hidden"),
    [
        ({"Clientes": TABLE, "Fevereiro": TABLE}, "Fevereiro"),
        ({"Antigo": TABLE[:2], "Clientes": TABLE}, "Antigo"),
        ({"Clientes": TABLE, "Legenda": [["annual_income", "por ano"], ["num_loans", "quantos"]]}, ""),
        ({"Clientes": TABLE, "Vazia": []}, ""),
    ],
    ids=["a hidden sheet", "a hidden sheet before it", "a legend", "an empty sheet"],
)
def test_what_is_no_second_table_is_let_be(tables: dict[str, Rows], hidden: str) -> None:
    """Hidden sheets, legends and empty sheets beside the table."""
    table = read_table(sheets(tables, hidden), OPTIONS, name="a.xlsx")
    assert list(table.frame["client"]) == [row[0] for row in ROWS] and not table.understanding.faults


@pytest.mark.parametrize("word", ["Summe", "GESAMT:", "Total général", "Suma", "Total (3)", "Total geral (3 clientes)"])
@pytest.mark.parametrize("numbered", [False, True], ids=["first", "behind a row's number"])
def test_a_row_of_totals_in_any_language_is_set_aside(word: str, *, numbered: bool) -> None:
    """Its amounts are nobody's; a count may stand behind the word, and a row's number before it."""
    rows = [*ROWS, (word, "1272167.75", "3", "", "", "")]
    lead: list[Sequence[str]] = [[str(place)] if numbered else [] for place in range(len(rows))]
    header = ["no", *HEADER] if numbered else HEADER
    text = delimited([[*first, *row] for first, row in zip(lead, rows, strict=True)], header=header)
    table = read_table(text.encode(), OPTIONS)
    assert [(one.line, one.code) for one in table.understanding.faults] == [(5, "totals")]
    assert list(table.frame["client"]) == [row[0] for row in ROWS]


@pytest.mark.parametrize("part", ["content.xml", "xl/workbook.bin", "Index/Document.iwa"])
def test_a_file_of_another_program_is_called_by_its_name(part: str) -> None:
    """Not a zip without a table: its owner never packed one."""
    with pytest.raises(TableRefused, match=r"this is .*; expected a table as CSV, .xlsx"):
        read_table(zipped({part: b"x", "mimetype": b"x"}), OPTIONS, name="a.ods")
