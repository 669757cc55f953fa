"""Evidence is read back as it was written, and one degenerate value costs its own check alone."""

from __future__ import annotations

import json
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.review.against_champion import readable
from flows.review.release_checks import run_checks
from flows.review.release_evidence import DataEvidence, Evidence, ReleaseCheck, Result

FLOATS = st.floats() | st.sampled_from([nan, inf, -inf])
DATA = DataEvidence(
    schema_valid=True,
    rows=50_000,
    class_shares={"Poor": 0.3, "Standard": 0.5, "Good": 0.2},
    shared_customers=0,
    sha256="a" * 64,
)


def by_code(evidence: Evidence) -> dict[str, ReleaseCheck]:
    """The checks by their code."""
    return {check.code: check for check in run_checks(evidence)}


@given(
    st.builds(Evidence, poor_rate_by_band=st.tuples(FLOATS, FLOATS, FLOATS), calibration_noise=FLOATS, score_psi=FLOATS)
)
def test_any_value_is_read_back(evidence: Evidence) -> None:
    """NaN and the infinities among them, wherever they stand."""
    text = evidence.model_dump_json()

    assert Evidence.model_validate_json(text).model_dump_json() == text
    assert readable(text).model_dump_json() == text


def test_an_empty_band_fails_its_own_check_alone() -> None:
    """The check names the band; what was measured beside it still counts."""
    written = Evidence(data=DATA, size_bytes=3_000_000, poor_rate_by_band=(0.7, nan, 0.1)).model_dump_json()

    checks = by_code(readable(written))

    assert checks["band_order"].result is Result.FAILED
    assert "share of Poor in band Standard is not a number" in checks["band_order"].explanation
    assert {checks[code].result for code in ("data_schema", "data_rows", "size")} == {Result.PASSED}


def test_a_part_that_cannot_be_read_is_missing_alone() -> None:
    """Evidence of an older writer, with null for a number: the rest is read."""
    parts = json.loads(Evidence(data=DATA, size_bytes=3_000_000).model_dump_json())
    parts["poor_rate_by_band"] = [0.7, None, 0.1]

    checks = by_code(readable(json.dumps(parts)))

    assert checks["band_order"].explanation == "not measured: share of Poor by band"
    assert checks["data_rows"].result is checks["size"].result is Result.PASSED


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"data": 5}'])
def test_nothing_readable_is_nothing_known(text: str) -> None:
    """Every check fails then, none is forgotten."""
    assert readable(text) == Evidence()


@pytest.mark.parametrize("odd", [nan, inf, -inf])
def test_a_check_never_passes_on_what_is_no_number(odd: float) -> None:
    """A comparison with NaN may go either way."""
    shares = {"Poor": odd, "Standard": 0.5, "Good": 0.2}
    checks = by_code(Evidence(data=DATA.model_copy(update={"class_shares": shares}), severe_error_rate=odd))

    assert checks["data_classes"].result is Result.FAILED
    assert "share of class Poor is not a number" in checks["data_classes"].explanation
