"""A field that may be empty may be absent: on every way in, what is left out counts like what is left empty."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pytest

from flows.batch.contract_columns import MAY_LACK
from service.contract import DESCRIBING_FIELDS, NULLABLE_FIELDS, REFERENCE_FIELDS, Applicant
from service.errors import ProblemError
from service.jobs import runner
from service.web import decoding
from tests.api.client import applicant
from tests.flows.batch.reading import FileRead, pieces_of, read_file
from tests.service.lexicon.tables import workbook
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.batches.mapping import check, propose, template
from ui.batches.sheet import read_sheet

FIELDS: Final = contract_fields()
NAMES: Final = [name for name in DESCRIBING_FIELDS if name in NULLABLE_FIELDS]
ROWS: Final = template(FIELDS, list(EXAMPLES.values()))
Table = pd.DataFrame


def _table() -> Table:
    return pd.DataFrame(ROWS).drop(columns=[*REFERENCE_FIELDS])


def _csv(table: Table) -> tuple[str, bytes]:
    return "a.csv", table.to_csv(index=False).encode()


def _packed(table: Table) -> tuple[str, bytes]:
    return "a.csv.gz", gzip.compress(table.to_csv(index=False).encode())


def _sheet(table: Table) -> tuple[str, bytes]:
    cells = [[None if pd.isna(cell) or cell == "" else str(cell) for cell in row] for row in table.to_numpy().tolist()]
    return "a.xlsx", workbook([[*table.columns], *cells])


def _parquet(table: Table) -> tuple[str, bytes]:
    texts = table.astype("object").map(lambda cell: None if pd.isna(cell) or cell == "" else str(cell))
    return "a.parquet", texts.astype("string[pyarrow]").to_parquet(index=False)


def _json_lines(table: Table) -> tuple[str, bytes]:
    texts = table.astype("object").map(lambda cell: "" if pd.isna(cell) else str(cell))
    return "a.jsonl", "\n".join(json.dumps(row) for row in texts.to_dict("records")).encode()


FORMS: Final[list[Callable[[Table], tuple[str, bytes]]]] = [_csv, _packed, _sheet, _parquet, _json_lines]


def _without(field: str) -> dict[str, Table]:
    """The table with an empty column and without the column."""
    empty = _table()
    empty[field] = ""
    return {"empty": empty, "absent": _table().drop(columns=field)}


def test_what_may_be_empty_is_what_may_be_absent() -> None:
    """The nullable fields, and the kinds of loans, which may be untold; all others are needed."""
    required = {name for name, field in Applicant.model_fields.items() if field.is_required()}
    assert NULLABLE_FIELDS == Applicant.model_fields.keys() - required
    assert MAY_LACK == {*NAMES, "loan_types"}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__.strip("_"))
@pytest.mark.parametrize("field", sorted(MAY_LACK))
def test_a_file_without_a_column_is_a_file_with_an_empty_one(
    tmp_path: Path, field: str, form: Callable[[Table], tuple[str, bytes]]
) -> None:
    """The page's upload and the scoring flow read the same rows of both, and take every one."""
    uploads, reads = [], dict[str, FileRead]()
    for kind, table in _without(field).items():
        name, content = form(table)
        sheet = read_sheet(name, content)
        checked = check(sheet, propose(sheet.columns, FIELDS), FIELDS)
        assert not checked.faults
        uploads.append(checked.applicants)
        path = tmp_path / kind / name
        path.parent.mkdir()
        path.write_bytes(content)
        reads[kind] = read_file(path)
    assert uploads[0] == uploads[1] and len(uploads[0]) == len(ROWS)
    assert not getattr(uploads[1][0], field)
    assert np.array_equal(reads["empty"].features, reads["absent"].features, equal_nan=True)
    assert reads["empty"].problems == reads["absent"].problems == [""] * len(ROWS)


def _plain(row: Applicant) -> dict[str, object]:
    """What is known of an applicant, whatever kind of object it is."""
    return {name: getattr(row, name) for name, _ in Applicant.model_fields.items()}


@pytest.mark.parametrize("field", NAMES)
def test_a_body_without_a_key_is_a_body_with_null(field: str) -> None:
    """Single scores, batches, jobs, and the contract's own model, which advice is read by."""
    null = applicant(**{field: None})
    absent = {name: value for name, value in null.items() if name != field}
    bodies = [json.dumps(one).encode() for one in (null, absent)]
    singles = [_plain(decoding.applicant(body)) for body in bodies]
    batch = [_plain(row) for row in decoding.applicants(json.dumps({"applicants": [null, absent]}).encode())]
    rows, refused = asyncio.run(runner._decoded(bodies))  # pylint: disable=protected-access  # a job's own way in
    assert not refused
    assert len({json.dumps(one, default=str) for one in [*singles, *batch, *map(_plain, rows)]}) == 1
    assert Applicant.model_validate_json(bodies[0]) == Applicant.model_validate_json(bodies[1])


def test_nothing_at_all_that_may_be_absent() -> None:
    """All of them together; a key twice is noticed among the few that are left."""
    least = {name: value for name, value in applicant().items() if name not in NULLABLE_FIELDS}
    row = _plain(decoding.applicant(json.dumps(least).encode()))
    assert all(row[name] is None for name in NULLABLE_FIELDS)
    twice = json.dumps(least).encode()[:-1] + b', "num_loans": 2}'
    with pytest.raises(ProblemError, match="names a key twice"):
        decoding.applicant(twice)


def test_the_summary_of_a_job_says_what_its_file_does_not_tell(tmp_path: Path) -> None:
    """By the contract's name, with the column that may have been meant."""
    path = tmp_path / "a.csv"
    path.write_bytes(_csv(_table().rename(columns={"monthly_balance": "monthly_balnce"}))[1])
    told = pieces_of(path)[0].layout.read_as
    assert told.endswith("; no column for monthly_balance (is it monthly_balnce?): not known in any row")
