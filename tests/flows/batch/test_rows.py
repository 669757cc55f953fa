"""Whole tables are checked and scored as single applicants are."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.batch.contract_columns import FIELDS, CellFault
from flows.batch.rows import PROBLEMS, checked, reason, score_table
from service.contract import Basis
from service.engine.packed_model import PackedModel
from service.score import policy
from service.score.features import matrix, row
from service.score.observed_classes import as_text
from service.score.prediction_sets import PredictionSets
from tests.factories import applicant, applicant_columns, pack_small_model

ROWS = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    """A small real model."""
    folder = tmp_path_factory.mktemp("package")
    pack_small_model(folder)
    return PackedModel.load(folder)


def _table(**changed: Any) -> pa.Table:
    """Applicants with an id of the caller's own; `changed` are values of row 3, by field."""
    columns, _ = applicant_columns(ROWS, seed=11)
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
    for name, value in changed.items():
        frame[name] = frame[name].astype(object)
        frame.loc[3, name] = value
    return pa.Table.from_pandas(frame.assign(my_id=[f"row-{number}" for number in range(ROWS)]), preserve_index=False)


def _as_text(table: pa.Table, **changed: str) -> pa.Table:
    """The table as a CSV file gives it, every cell a text; `changed` are cells of row 3, by field."""
    texts = {name: table.column(name).cast(pa.string()).to_pylist() for name in table.column_names}
    for name, text in changed.items():
        texts[name][3] = text
    return pa.table(texts, pa.schema([(name, pa.string()) for name in texts]))


def _scored(model: PackedModel, table: pa.Table) -> pa.Table:
    return score_table(model, table, checked(table), reasons=True)


TABLE = _table()


def test_the_size_of_a_block_changes_nothing(model: PackedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows asked block by block, the last one shorter, have the answers of all at once; so has a file of no rows."""
    whole, none = _scored(model, TABLE), _scored(model, TABLE.slice(0, 0))
    monkeypatch.setattr("flows.batch.rows._BLOCK_ROWS", 7)
    assert _scored(model, TABLE).equals(whole) and _scored(model, TABLE.slice(0, 0)).equals(none)
    assert len(whole) == ROWS and ROWS % 7 and len(none) == 0


@pytest.mark.parametrize("read", [pytest.param(lambda table: table, id="parquet"), pytest.param(_as_text, id="csv")])
def test_a_row_scores_as_its_applicant_does(model: PackedModel, read: Any) -> None:
    """Every answer is the single one's to the last bit, reasons included."""
    columns, _ = applicant_columns(ROWS, seed=11)

    scored = _scored(model, read(_table())).to_pylist()

    for number, found in enumerate(scored):
        one = model.assess(row(applicant(columns, number)))
        assert (found["score"], found["band"], found["predicted_class"]) == (one.score, one.band, one.predicted_class)
        assert (found["p_poor"], found["p_standard"], found["p_good"]) == one.probabilities
        assert found["borderline"] is one.borderline
        assert found["risk_grade"] == policy.grade(policy.rounded(one.probabilities[0]), model.manifest.grade_borders)
        assert found["reasons"] == "|".join(reason.code for reason in one.reasons)
        assert (found["my_id"], found["problem"]) == (f"row-{number}", "")


@pytest.mark.parametrize("read", [pytest.param(lambda table: table, id="parquet"), pytest.param(_as_text, id="csv")])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("annual_income", -1.0, id="below-range"),
        pytest.param("outstanding_debt", 1.1e7, id="above-range"),
        pytest.param("annual_income", float("inf"), id="infinite"),
        pytest.param("num_loans", 2.5, id="no-integer"),
        pytest.param("interest_rate", None, id="null-where-none-may-be"),
        pytest.param("credit_mix", "Excellent", id="unknown-level"),
        pytest.param("loan_types", "auto|boat", id="unknown-loan"),
        pytest.param("loan_types", "auto||auto", id="no-kind-between-bars"),
        pytest.param("loan_types", "|".join(["auto"] * 40), id="more-kinds-than-loans"),
    ],
)
def test_a_row_that_breaks_the_contract_gets_no_score(model: PackedModel, field: str, value: object, read: Any) -> None:
    """It is named and left empty; its neighbours are scored."""
    scored = _scored(model, read(_table(**{field: value}))).to_pylist()

    assert scored[3]["problem"] == field
    assert all(scored[3][name] is None for name in ("score", "band", "p_good", "borderline", "reasons"))
    assert [number for number, one in enumerate(scored) if one["problem"]] == [3]
    assert all(one["score"] is not None for number, one in enumerate(scored) if number != 3)


@pytest.mark.parametrize("text", ["abc", "nan", "NA", "1,5", "0x10", "1e", "1_000", "--1", "+-1", "1 2"])
def test_a_text_that_is_no_number_is_a_problem(text: str) -> None:
    """The first field at fault is named, whatever else the row holds."""
    held = checked(_as_text(_table(interest_rate=None), annual_income=text))

    assert held.problem.tolist() == [0, 0, 0, FIELDS.index("annual_income") + 1] + [0] * (ROWS - 4)


@settings(max_examples=40)
@given(number=st.floats(min_value=0, max_value=1e7), form=st.sampled_from(["{!r}", " {!r} ", "+{!r}", "{:.17e}"]))
def test_numbers_are_read_to_the_last_bit(number: float, form: str) -> None:
    """Blanks around and a plus sign do not matter, nor that another cell is no number."""
    text = _as_text(TABLE, annual_income=form.format(number))
    alone = checked(text.slice(3, 1))
    beside = checked(_as_text(text, interest_rate="none").slice(2, 2))

    assert alone.columns["annual_income"].tolist() == [number] == beside.columns["annual_income"].tolist()[1:]
    assert not alone.problem.any() and beside.problem.tolist() == [0, FIELDS.index("interest_rate") + 1]


def test_lists_and_dictionaries_are_read_as_texts_are() -> None:
    """Loan types as a list, categories as a dictionary: the same features."""
    table = _table()
    listed = [kinds.split("|") if kinds else [] for kinds in table.column("loan_types").to_pylist()]
    other = table.set_column(table.column_names.index("loan_types"), "loan_types", pa.array(listed))
    mix = table.column("credit_mix").dictionary_encode()
    other = other.set_column(table.column_names.index("credit_mix"), "credit_mix", mix)

    held = checked(other)

    assert not held.problem.any()
    np.testing.assert_array_equal(matrix(held.columns), matrix(checked(table).columns))


def test_an_all_empty_optional_column_is_no_problem() -> None:
    """Nothing but blanks is read as unknown."""
    table = _table()
    blank = pa.nulls(ROWS)
    for name in ("monthly_inhand_salary", "credit_mix"):
        table = table.set_column(table.column_names.index(name), name, blank)

    held = checked(table)

    assert not held.problem.any()
    assert np.isnan(held.columns["monthly_inhand_salary"]).all() and np.isnan(matrix(held.columns)[:, 15]).all()


def test_no_row_at_all_is_scored(model: PackedModel) -> None:
    """An empty table has the same columns."""
    assert _scored(model, _table().slice(0, 0)).num_rows == 0


@pytest.mark.parametrize(
    ("field", "value", "fault", "said"),
    [
        pytest.param("annual_income", "twelve", CellFault.UNREAD, "expected a number", id="unread"),
        pytest.param("annual_income", "NA", CellFault.UNKNOWN, "not known, and needed", id="unknown"),
        pytest.param("interest_rate", "101", CellFault.RANGE, "expected 0 to 100", id="range"),
        pytest.param("num_loans", "2.5", CellFault.WHOLE, "a whole number", id="parts"),
        pytest.param("credit_mix", "superb", CellFault.UNREAD, "expected one of Bad, Standard, Good", id="category"),
        pytest.param("loan_types", "|".join(["auto"] * 40), CellFault.KINDS, "as many kinds", id="kinds"),
    ],
)
def test_the_reason_says_what_was_expected(field: str, value: str, fault: CellFault, said: str) -> None:
    """In words, without the cell."""
    held = checked(_as_text(_table(), **{field: value}))

    assert (PROBLEMS[held.problem[3]], held.fault[3]) == (field, fault)
    assert said in reason(int(held.problem[3]), int(held.fault[3]))
    assert value not in reason(int(held.problem[3]), int(held.fault[3]))


def test_a_list_with_nothing_in_it_for_a_loan_is_no_kind() -> None:
    """An element that is null is a text without a meaning, not a customer without loans."""
    table = _table()
    listed = [kinds.split("|") if kinds else [] for kinds in table.column("loan_types").to_pylist()]
    listed[3] = [None]
    held = checked(table.set_column(table.column_names.index("loan_types"), "loan_types", pa.array(listed)))

    assert PROBLEMS[held.problem[3]] == "loan_types"


def test_a_known_customer_scores_as_over_the_api(model: PackedModel) -> None:
    """Classes stand as stored rows have them, as of the row's day; a broken one is named and gets no score."""
    table = _table(loan_types="").slice(0, 4)
    texts = ["Good@2026-06-30|Poor@2026-04-30", None, "Good@2026-07-31", "Great@2026-06-30"]
    table = table.append_column("previous_classes", pa.array(texts)).append_column(
        "as_of", pa.array(["2026-07-31"] * 4)
    )
    columns, _ = applicant_columns(ROWS, seed=11)
    previous = [
        {"observed_class": "Good", "observed_at": date(2026, 6, 30)},
        {"observed_class": "Poor", "observed_at": date(2026, 4, 30)},
    ]
    one = applicant(columns, 0, as_of=date(2026, 7, 31), previous_classes=previous)

    scored = _scored(model, table).to_pylist()

    assert as_text(one.previous_classes) == texts[0]
    assert scored[0]["p_poor"] == model.assess(row(one)).probabilities[0]
    assert [found["basis"] for found in scored] == ["known_customer", "applicant", None, None]
    assert [found["problem"] for found in scored] == ["", "", "previous_classes", "previous_classes"]


def test_prediction_sets_are_told_where_they_are_asked_for(model: PackedModel) -> None:
    """As the API tells them, by what is known of the customer; a refused row has none, nor has a model of before."""
    table = _table(interest_rate=101.0)
    texts = ["Good@2026-06-30" if place % 2 else None for place in range(ROWS)]
    table = table.append_column("previous_classes", pa.array(texts))
    held = checked(table)

    plain = score_table(model, table, held, reasons=False)
    scored = score_table(model, table, held, reasons=False, sets=True)

    assert scored.drop_columns(["prediction_set"]).equals(plain)
    sets = PredictionSets(model.ref, model.manifest.set_thresholds)
    for place, one in enumerate(scored.to_pylist()):
        told = [policy.rounded(one[name] or 0.0) for name in ("p_poor", "p_standard", "p_good")]
        wanted = "|".join(sets.of(told, Basis(one["basis"])) or ()) if place != 3 else None
        assert one["prediction_set"] == wanted
    before = PackedModel(model.manifest.model_copy(update={"set_thresholds": {}}), model.engine)
    assert score_table(before, table, held, reasons=False, sets=True).column("prediction_set").null_count == ROWS
