"""What a body may hold is asked by counting bytes, before a parser wades through it."""

from __future__ import annotations

import json

import pytest

from service.contract import MAX_BATCH_ROWS
from service.docs.examples import APPLICANT
from service.errors import ProblemError
from service.web import bounds
from service.web.bodies import BATCH_BYTES, ONE_BYTES

ROW = json.dumps(APPLICANT).encode()
OPEN, CLOSE = b'{"applicants":[', b"]}"
ROOM = BATCH_BYTES - 100
EVERY_GAP = bounds.LONGEST_GAP - 200


def _in_rows(unit: bytes) -> bytes:
    """A batch of rows with this between them, as long as a body may be."""
    piece = ROW + b"," + unit * ((EVERY_GAP - len(ROW)) // len(unit))
    return OPEN + piece * (ROOM // len(piece)) + ROW + CLOSE


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b" " * BATCH_BYTES, "longer than the schema can", id="blanks"),
        pytest.param(OPEN + b"0." + b"9" * ROOM + CLOSE, "longer than the schema can", id="number"),
        pytest.param(OPEN + (ROW + b",") * 500 + b"1" * (ROOM // 2) + CLOSE, "longer than", id="number behind rows"),
        pytest.param(OPEN + b'"' + b"a" * ROOM + b'"' + CLOSE, "longer than the schema can", id="text"),
        pytest.param(_in_rows(b" "), "more blanks", id="blanks between rows"),
        pytest.param(_in_rows(b"\n"), "more blanks", id="empty lines between rows"),
        pytest.param(_in_rows(b"\\u00e9"), "more escapes", id="escapes"),
        pytest.param(_in_rows("é".encode()), "letters beyond ASCII", id="letters"),
    ],
)
def test_what_a_parser_would_wade_through_is_refused_before(body: bytes, detail: str) -> None:
    """Large bodies of blanks, endless values and escapes: 422 without a parse, naming the rule and no value."""
    assert len(body) > bounds.LARGE_BYTES
    with pytest.raises(ProblemError) as refused:
        bounds.check_batch(body)
    problem = refused.value.problem
    assert (problem.status, problem.errors[0].code) == (422, "too-many")
    assert detail in problem.errors[0].detail


@pytest.mark.parametrize("indent", [None, 1, 4, 8])
def test_a_full_batch_passes_however_it_is_indented(indent: int | None) -> None:
    """A thousand rows, and a full job's rows, stay within the bounds."""
    batch = json.dumps({"applicants": [APPLICANT] * MAX_BATCH_ROWS}, indent=indent).encode()
    assert len(batch) < BATCH_BYTES
    bounds.check_batch(batch)
    bounds.check_large(batch * 4, 10 * MAX_BATCH_ROWS)


def test_a_deep_body_is_malformed_first() -> None:
    """Depth is told as before, though the body is long without a comma."""
    with pytest.raises(ProblemError) as refused:
        bounds.check_batch(b"[" * bounds.LARGE_BYTES * 2)
    assert refused.value.problem.status == 400


@pytest.mark.parametrize(
    "values",
    [
        [1] * 40_000,
        [[1, 2], {"a": [1, {"b": 2}], "c": "}],{["}] * 3_000,
        ["[{,", 'a "quoted", text', "\\\\", '\\",', "é,ü"] * 2_000,
        [],
        [APPLICANT] * 1_000,
    ],
    ids=["numbers", "nests", "texts", "none", "applicants"],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_elements_are_counted_without_a_parse(values: list[object], indent: int | None) -> None:
    """Of the list alone, whatever stands in it and behind it, over many windows."""
    body = json.dumps({"applicants": values, "webhook": "[,,]"}, indent=indent).encode()
    assert bounds.elements(body, 2) == max(1, len(values))


def test_a_row_larger_than_a_request_is_refused_by_its_size() -> None:
    """Nothing in it is counted."""
    with pytest.raises(ProblemError) as refused:
        bounds.check_one(b'{"a":"' + b"x" * ONE_BYTES + b'"}')
    assert "larger than 65536 bytes" in refused.value.problem.errors[0].detail
