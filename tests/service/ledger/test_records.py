"""The rows of bucket `predictions`: columns, bytes, guards and the way back."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import REFERENCE_FIELDS, Applicant
from service.ledger import records
from service.ledger.records import OutcomeRow, PredictionLines, RecordKind, ReviewRow
from tests.service.rows import DECISION, INPUTS, LINES, line

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def one(kind: RecordKind, row: bytes) -> dict[str, str]:
    """The only row of an object made of this line."""
    (found,) = records.read(records.header(kind) + row)
    return found


def test_columns_follow_the_contract() -> None:
    """Every field of the applicant but the two that only identify has its column, between the model and the score."""
    assert set(records.INPUT_COLUMNS) == set(Applicant.model_fields) - set(REFERENCE_FIELDS)
    assert records.PREDICTION_COLUMNS[9:29] == records.INPUT_COLUMNS
    assert [kind.folder for kind in RecordKind if kind.shipped] == ["predictions", "outcomes", "reviews"]


def test_a_prediction_comes_back_as_it_was_written() -> None:
    """Numbers to the last bit, null as empty, categories and truth as text."""
    row = one(RecordKind.PREDICTION, line("id-1"))
    values = [row[name] for name in records.INPUT_COLUMNS]
    assert [
        float(cell) if isinstance(was, int | float) else cell for cell, was in zip(values, INPUTS, strict=True)
    ] == ["" if was is None else was for was in INPUTS]
    assert (row["schema_version"], row["prediction_id"], row["model_version"]) == ("2", "id-1", "7")
    assert (row["score"], row["borderline"], float(row["p_good"])) == ("712", "true", DECISION[5])


def test_equal_records_give_equal_bytes_in_one_line() -> None:
    """A retry of a segment is byte for byte what was sent before."""
    assert line("id-1") == line("id-1")
    assert line("id-1").count(b"\n") == 1 and line("id-1").endswith(b"\r\n")


@pytest.mark.parametrize("start", list("=+-@\t\r\0'"), ids=repr)
def test_no_cell_starts_a_formula(start: str) -> None:
    """Text that a spreadsheet would run is guarded in the file and whole again when read (ASVS 1.2.10)."""
    comment = start + "cmd|' /C calc'!A0"
    raw = ReviewRow("r", "t", start + "p", "", "id", start + "x", "upheld", comment).line()
    cells = next(csv.reader(io.StringIO(raw.decode(), newline="")))
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r\0")]
    row = one(RecordKind.REVIEW, raw)
    assert (row["comment"], row["partner"], row["reviewer"]) == (comment, start + "p", start + "x")


def test_the_fast_row_guards_its_texts_too() -> None:
    """Partner and model are guarded on the request's path as well."""
    lines = PredictionLines("=name", "+1", "@d")
    row = next(csv.reader(io.StringIO(lines.render(("i", "t", "d", "-p", ""), INPUTS, DECISION).decode())))
    assert row[4:9] == ["'-p", "", "'=name", "'+1", "'@d"]


@pytest.mark.parametrize("name", ["credit-score", 'a "quoted" name'])
def test_rows_by_columns_are_the_rows_one_by_one(name: str) -> None:
    """Many rows take another way to the same bytes, gaps and names that JSON escapes included."""
    lines = PredictionLines(name, "7", "ab" * 32)
    parts = [(("i1", "t", "d", "p", ""), INPUTS, DECISION), (("i2", "t", "d", "p", "c"), (None, *INPUTS[1:]), DECISION)]
    subjects, inputs, decisions = zip(*parts, strict=True)

    found = lines.render_many(*(tuple(zip(*part, strict=True)) for part in (subjects, inputs, decisions)))

    assert found == [lines.render(*part) for part in parts]


@given(partner=TEXTS, warnings=TEXTS)
def test_any_text_survives_the_fast_row(partner: str, warnings: str) -> None:
    """Quotes, commas, line ends, control characters and every script come back unchanged."""
    decision = (*DECISION[:-1], records.guarded(warnings).replace("\\", "/"))
    row = one(RecordKind.PREDICTION, LINES.render(("i", "t", "d", partner, ""), INPUTS, decision))
    assert row["partner"] == partner


@given(comment=TEXTS, reviewer=TEXTS)
def test_any_text_survives_a_review(comment: str, reviewer: str) -> None:
    """Free text round-trips whatever is in it."""
    row = one(RecordKind.REVIEW, ReviewRow("r", "t", "p", "", "id", reviewer, "upheld", comment).line())
    assert (row["comment"], row["reviewer"]) == (comment, reviewer)


def test_an_outcome_has_its_columns() -> None:
    """The label and whom it belongs to."""
    row = one(RecordKind.OUTCOME, OutcomeRow("o", "t", "demo", "ref", "id-1", "Poor", "2026-11-01").line())
    assert (row["prediction_id"], row["observed_class"], row["observed_at"]) == ("id-1", "Poor", "2026-11-01")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"a,b\r\n1,2\r\n",
        records.header(RecordKind.OUTCOME) + b"1,2\r\n",
        records.header(RecordKind.OUTCOME) + b'"1' + b",".join([b"x"] * 8),
        records.header(RecordKind.OUTCOME) + b"\xff" * 8,
    ],
    ids=["empty", "foreign header", "short row", "open quote", "no UTF-8"],
)
def test_what_we_did_not_write_is_refused(data: bytes) -> None:
    """A damaged object is an error, never a row; the error shows no cell."""
    with pytest.raises(records.RecordsDamaged) as caught:
        list(records.read(data))
    assert "\\xff" not in str(caught.value)


def test_customers_are_taken_out_of_an_object() -> None:
    """Their rows go, their ids are told, the rest stays; an object without them is untouched."""
    data = records.header(RecordKind.PREDICTION) + line("a", customer_ref="x") + line("b", customer_ref="y")
    rest, gone = records.without_customers(data, {"x"})
    assert gone == ["a"] and [row["prediction_id"] for row in records.read(rest)] == ["b"]
    assert records.without_customers(rest, {"x"}) == (rest, [])


def test_features_are_taken_out_of_a_decision() -> None:
    """What was decided stays, what it was decided from goes; a second time changes nothing."""
    data = records.header(RecordKind.PREDICTION) + line("a")
    bare = records.without_inputs(data)
    (row,) = records.read(bare)
    assert {row[name] for name in records.INPUT_COLUMNS} == {""}
    assert (row["prediction_id"], row["score"], row["reasons"]) == ("a", "712", "A|B")
    assert records.without_inputs(bare) == bare


def test_rows_have_the_columns_names() -> None:
    """Of the kinds that are written by name."""
    assert records.OUTCOME_COLUMNS[1:] == OutcomeRow._fields and records.REVIEW_COLUMNS[1:] == ReviewRow._fields


@pytest.mark.full
def test_rendering_costs_microseconds() -> None:
    """A row is rendered on the request's path: 1.5 µs on the machine it was written on."""
    started = time.perf_counter()
    for _ in range(20_000):
        line("id-1")
    assert (time.perf_counter() - started) / 20_000 < 20e-6


def test_rows_and_objects_of_the_first_version_stay_readable() -> None:
    """A journal that an older release left ships under today's header, and its objects read with nulls at the end."""
    cells = records.cells_of(line("a"))[: -len(records.ADDED_COLUMNS)]
    old = records.csv_line((1, *cells[1:]))
    first_header = ",".join(records.PREDICTION_COLUMNS[: -len(records.ADDED_COLUMNS)]).encode() + records.EOL

    (shipped,) = records.read(records.header(RecordKind.PREDICTION) + records.widened(RecordKind.PREDICTION, old))
    (stored,) = records.read(first_header + old)

    assert shipped == stored and list(stored) == list(records.PREDICTION_COLUMNS)
    assert {stored[name] for name in records.ADDED_COLUMNS} == {""} and stored["prediction_id"] == "a"
    assert records.widened(RecordKind.PREDICTION, line("a")) == line("a")
