"""One contract, four readers: what each does with every token, and with a table in every form that people send.

`service/lexicon/strictness.py` declares it, infra/docs/pages/reading-tables.md shows it; here the API's contract, the
demo, batch and training are asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.batch.errors import BatchRefused
from flows.cleaning.cleaning_rules import CleaningTally
from flows.cleaning.parsing import parse
from flows.data.raw_reading import read_raw_table
from flows.data.sample import generate
from flows.errors import SourceError
from infra.settings import ROOT
from service.contract import Applicant
from service.lexicon.headings import KAGGLE
from service.lexicon.strictness import STRICTNESS, Consequence, Reader, as_markdown
from tests.flows.batch.reading import read_file
from tests.service.lexicon.tables import workbook
from tests.table_forms import FORMS, REFUSED, Table, as_csv
from ui.applicant.fields import contract_fields
from ui.batches.mapping import CheckedSheet, check, propose
from ui.batches.sheet import read_sheet
from ui.errors import SheetRefused

FIELDS: Final = contract_fields()
SPELLINGS: Final = ("", "_", "_______", "__10000__", "!@9#%8", "#F%$D@*&8", "NM", "NA", "NULL", "\\N", "#N/A")
UNKNOWN_TOKENS: Final = (
    *("n/a", "N. A.", "NaN", "None", "(null)", "<NULL>", "-", "\u2212", "..", "?", "**", "unknown", "Not available"),
    *("não informado", "NAO INFORMADO", "não se aplica", "sem dados", "s/d", "#N/D", "(vazio)", "\u200bNA", "'NA"),
)
ROW: Final = 1  # of the table, whose cell is changed
CELLS: Final[dict[str, list[tuple[str, str, Any]]]] = {
    "spelling": [
        ("outstanding_debt", "1,234.56", 1234.56),
        ("outstanding_debt", "1.234,56", 1234.56),
        ("outstanding_debt", "R$ 1.234,56", 1234.56),
        ("outstanding_debt", "$1,234.56", 1234.56),
        ("outstanding_debt", " 1234.56_", 1234.56),
        ("outstanding_debt", "1 234,56", 1234.56),
        ("interest_rate", "12 %", 12),
        ("interest_rate", "12_", 12),
        ("interest_rate", "\uff11\uff12\uff05", 12),
        ("outstanding_debt", "\u0661\u0662\u0663\u066b\u0665", 123.5),
        ("outstanding_debt", "'1234.56", 1234.56),
        ("outstanding_debt", '="1234.56"', 1234.56),
        ("num_bank_accounts", "3.0", 3),
        ("credit_mix", "good", "Good"),
        ("credit_mix", "PADRÃO", "Standard"),
        ("payment_of_min_amount", "yes", "Yes"),
        ("payment_behaviour", "high spent large value payments", "high_spent_large_value_payments"),
        ("credit_history_months", "22 Years and 1 Months", 265),
        ("credit_history_months", "22 anos e 1 mês", 265),
    ],
    "not_known": [
        (field, token, None)
        for field in ("monthly_inhand_salary", "credit_mix", "num_credit_inquiries", "credit_history_months")
        for token in (*SPELLINGS, *UNKNOWN_TOKENS)
    ],
    "needed": [("outstanding_debt", token, None) for token in (*SPELLINGS, "nan", "inf"[:0])],
    "no_meaning": [
        ("outstanding_debt", "abc", None),
        ("outstanding_debt", "12 pigs", None),
        ("outstanding_debt", "12\u00b2", None),
        ("outstanding_debt", "=A1*2", None),
        ("interest_rate", "#DIV/0!", None),
        ("credit_mix", "superb", None),
        ("payment_of_min_amount", "perhaps", None),
        ("credit_history_months", "long", None),
        ("loan_types", "boat", None),
    ],
}
CASES: Final = [(kind, *cell) for kind, cells in CELLS.items() for cell in cells]


@lru_cache(maxsize=1)
def _clean() -> Table:
    """Rows of the sample that every reader takes as they are."""
    raw = generate(40, range(1, 9), seed=5)
    content = as_csv(raw)
    found = _demo("a.csv", content)
    parsed = _training("a.csv", content)
    whole = [line - 2 for line in found.numbers if parsed.iloc[line - 2].drop(["age", "occupation"]).notna().all()]
    clean = raw.iloc[whole].reset_index(drop=True)
    clean[KAGGLE["outstanding_debt"]] = clean[KAGGLE["outstanding_debt"]].str.strip("_")
    return clean.head(6)


def _demo(name: str, content: bytes) -> CheckedSheet:
    sheet = read_sheet(name, content)
    assert sheet.understanding is not None and not sheet.understanding.ambiguities
    return check(sheet, propose(sheet.columns, FIELDS), FIELDS)


def _training(name: str, content: bytes) -> pd.DataFrame:
    return parse(read_raw_table(content, labelled=True, name=name).frame, CleaningTally())


def _with_cell(field: str, text: str) -> bytes:
    table = _clean().copy()
    table.loc[ROW, KAGGLE[field]] = text
    return as_csv(table)


def _same(value: Any, meant: Any) -> bool:
    return bool(value == meant) if isinstance(meant, str) else float(value) == float(meant)


@lru_cache(maxsize=1)
def _applicant() -> dict[str, Any]:
    """The row as the API takes it."""
    (row, *_) = _demo("a.csv", as_csv(_clean())).applicants[ROW:]
    return dict(json.loads(row.model_dump_json(exclude={"customer_ref"})))


def _api_says(field: str, text: str, _: Any) -> Consequence:
    try:
        Applicant.model_validate_json(json.dumps(_applicant() | {field: [text] if field == "loan_types" else text}))
    except ValidationError:
        return Consequence.REQUEST
    return Consequence.READ


def _demo_says(field: str, text: str, meant: Any) -> Consequence:
    found = _demo("a.csv", _with_cell(field, text))
    if any(fault.row == ROW + 2 for fault in found.faults):
        return Consequence.ROW
    value = getattr(found.applicants[ROW], field)
    if value is None:
        return Consequence.UNKNOWN
    assert _same(value, meant)
    return Consequence.READ


def _batch_says(folder: Path, field: str, text: str, meant: Any) -> Consequence:
    (folder / "a.csv").write_bytes(_with_cell(field, text))
    found = read_file(folder / "a.csv")
    if found.problems[ROW]:
        assert found.problems[ROW] == field
        return Consequence.ROW
    held = found.held[0].columns[field]
    value = held.values[held.codes[ROW]] if hasattr(held, "codes") else held[ROW]
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return Consequence.UNKNOWN
    assert _same(value, meant)
    return Consequence.READ


def _training_says(field: str, text: str, meant: Any) -> Consequence:
    table = read_raw_table(_with_cell(field, text), labelled=True, name="a.csv")
    unread = {one.field: one.unread_cells for one in table.understanding.columns}[field]
    value = parse(table.frame, CleaningTally())[field].iloc[ROW]
    if unread:
        return Consequence.GAP
    if pd.isna(value):
        return Consequence.UNKNOWN
    assert _same(value, meant)
    return Consequence.READ


@pytest.mark.parametrize(("kind", "field", "text", "meant"), CASES)
def test_each_token_has_its_reply(tmp_path: Path, kind: str, field: str, text: str, meant: Any) -> None:
    """As declared, by each of the four; a value that is read is the one that is meant."""
    found = {
        Reader.API: _api_says(field, text, meant),
        Reader.DEMO: _demo_says(field, text, meant),
        Reader.BATCH: _batch_says(tmp_path, field, text, meant),
        Reader.TRAINING: _training_says(field, text, meant),
    }
    assert found == {reader: getattr(STRICTNESS[reader], kind) for reader in Reader}


def _refused(folder: Path, content: bytes) -> tuple[str, str]:
    """How batch and training refuse a file."""
    (folder / "a.csv").write_bytes(content)
    with pytest.raises(BatchRefused) as batch:
        read_file(folder / "a.csv")
    with pytest.raises(SourceError) as training:
        read_raw_table(content, labelled=True, name="a.csv")
    return str(batch.value), str(training.value)


def test_a_number_that_two_marks_fit_has_its_reply(tmp_path: Path) -> None:
    """Where no cell of the file decides: asked in the demo, refused by file elsewhere, with the option."""
    table = _clean().copy()
    for field in (one for one in KAGGLE if one not in ("id", "customer_ref", "name", "ssn")):
        table[KAGGLE[field]] = table[KAGGLE[field]].str.replace(r"^(-?[0-9]+)\.[0-9]+$", r"\1", regex=True)
    table.loc[ROW, KAGGLE["annual_income"]] = "29,000"
    content = as_csv(table)

    understanding = read_sheet("a.csv", content).understanding
    assert understanding is not None
    assert [one.option for one in understanding.ambiguities] == ["--decimal"]
    assert STRICTNESS[Reader.DEMO].two_readings is Consequence.ASKED
    for told in _refused(tmp_path, content):
        assert told.startswith("a.csv: line 3, column Annual_Income: ") and "--decimal" in told
    assert {STRICTNESS[reader].two_readings for reader in (Reader.BATCH, Reader.TRAINING)} == {Consequence.FILE}


def test_a_row_of_another_width_has_its_reply(tmp_path: Path) -> None:
    """Demo and batch give the row back; training refuses the file, with the line."""
    lines = as_csv(_clean()).decode().split("\n")
    lines[ROW + 1] = lines[ROW + 1].rpartition(",")[0]
    content = "\n".join(lines).encode()

    assert [fault.row for fault in _demo("a.csv", content).faults] == [ROW + 2]
    (tmp_path / "a.csv").write_bytes(content)
    assert read_file(tmp_path / "a.csv").problems == ["", "(row)", "", "", "", ""]
    with pytest.raises(SourceError, match=f"line {ROW + 2}: 27 cells, the header names 28 columns"):
        read_raw_table(content, labelled=True)
    declared = {reader: STRICTNESS[reader].ragged for reader in (Reader.DEMO, Reader.BATCH, Reader.TRAINING)}
    assert declared == {Reader.DEMO: Consequence.ROW, Reader.BATCH: Consequence.ROW, Reader.TRAINING: Consequence.FILE}


@pytest.mark.parametrize("word", ["Total", "TOTAIS", "grand total:", "Média"])
def test_a_row_that_adds_up_others_is_no_customers(tmp_path: Path, word: str) -> None:
    """Whatever its amounts: demo and batch give the row back, training refuses the file with the line."""
    table = _clean().copy()
    table.loc[len(table)] = table.loc[0]
    table.iloc[-1, 0] = word
    content, line = as_csv(table), len(table) + 1

    assert [(fault.row, fault.fault.code) for fault in _demo("a.csv", content).faults] == [(line, "totals")]
    (tmp_path / "a.csv").write_bytes(content)
    assert read_file(tmp_path / "a.csv").problems == [""] * len(_clean()) + ["(row)"]
    with pytest.raises(SourceError, match=f"line {line}: a row that adds up others.*expected a row a customer"):
        read_raw_table(content, labelled=True)


def test_a_formula_that_is_not_computed_is_no_gap(tmp_path: Path) -> None:
    """What a program wrote and no spreadsheet has opened yet has no values: the rows come back."""
    table = _clean().copy()
    table[KAGGLE["monthly_inhand_salary"]] = "=1000+1"
    sheet = workbook([[*table.columns], *table.to_numpy().tolist()])

    assert {fault.fault.field for fault in _demo("a.xlsx", sheet).faults} == {"monthly_inhand_salary"}
    (tmp_path / "a.xlsx").write_bytes(sheet)
    assert read_file(tmp_path / "a.xlsx").problems == ["monthly_inhand_salary"] * len(table)
    found = read_raw_table(sheet, labelled=True, name="a.xlsx").understanding.columns
    assert {one.field: one.unread_cells for one in found}["monthly_inhand_salary"] == len(table)


def test_the_page_shows_the_table() -> None:
    """Word for word."""
    assert as_markdown() in (ROOT / "infra/docs/pages/reading-tables.md").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _dirty() -> Table:
    """Rows of the sample as they are, masks and outliers among them."""
    return generate(2, range(1, 9), seed=7)


def _everything(folder: Path, name: str, content: bytes) -> tuple[Any, ...]:
    """What demo, batch and training make of a file, but for lines."""
    demo = _demo(name, content)
    (folder / name).write_bytes(content)
    batch = read_file(folder / name)
    kinds = [fault.fault.code for fault in demo.faults]
    return demo.applicants, kinds, batch.features, batch.problems, _training(name, content).to_csv(index=False)


def _equal(left: Sequence[Any], right: Sequence[Any]) -> None:
    for one, other in zip(left, right, strict=True):
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other


@pytest.fixture(name="plain", scope="module")
def _plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """What the three make of the plain file."""
    return _everything(tmp_path_factory.mktemp("plain"), "plain.csv", as_csv(_dirty()))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_reads_as_its_plain_twin(tmp_path: Path, plain: tuple[Any, ...], form: str) -> None:
    """By demo, batch and training: the same applicants, features, faults and training rows."""
    name, content = FORMS[form](_dirty())

    _equal(_everything(tmp_path, name, content), plain)


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_reader_can_read_is_refused_with_a_next_step(tmp_path: Path, case: str) -> None:
    """By all three, naming line or column where one is to blame; no exception's name is a reason."""
    name, content, said = REFUSED[case](_dirty())
    (tmp_path / name).write_bytes(content)

    with pytest.raises(SheetRefused):
        read_sheet(name, content)
    with pytest.raises(BatchRefused, match=said) as batch:
        read_file(tmp_path / name)
    with pytest.raises(SourceError, match=said) as training:
        read_raw_table(content, labelled=True, name=name)
    for refused in (batch, training):
        assert "Error" not in str(refused.value) and "Arrow" not in str(refused.value)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=6),
    st.sampled_from(sorted(FORMS)),
    st.integers(0, 2**32 - 1),
)
def test_any_amounts_read_back_from_any_form(
    tmp_path_factory: pytest.TempPathFactory, cents: list[int], form: str, seed: int
) -> None:
    """A frame written in any supported form has the features that it was written with."""
    assume(len(cents) > 1 or form != "R's index")  # of one row nothing tells that its first cell is a number of its own
    table = _clean().head(len(cents)).copy()
    debts = [cents[place] / 100 for place in range(len(table))]
    table[KAGGLE["outstanding_debt"]] = [f"{debt:.2f}" for debt in debts]
    table = table.sample(frac=1, random_state=seed % 2**31)
    name, content = FORMS[form](table.reset_index(drop=True))
    path = tmp_path_factory.mktemp("form") / name
    path.write_bytes(content)

    found = read_file(path)

    told = pd.to_numeric(table[KAGGLE["outstanding_debt"]]).tolist()
    assert found.held[0].columns["outstanding_debt"].tolist() == [debt if debt <= 1e7 else None for debt in told]
