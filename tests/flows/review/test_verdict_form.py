"""A verdict is accepted only with a name that is not the trainer's, notes where asked, and a whole override."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import ValidationError

from flows.review.verdict_form import VerdictForm, expiry, refusal

TODAY = date(2026, 11, 23)
OVERRIDE = {"override_reason": "pilot only", "override_expires": "2027-01-31", "second_reviewer": "eva"}


def _refused(failed: tuple[str, ...] = (), noted: tuple[str, ...] = (), **fields: str) -> str:
    form = VerdictForm.model_validate({"reviewer": "ana", "verdict": "approve"} | fields)
    return refusal(form, trainer="bob", failed=failed, review_codes=noted, today=TODAY)


@pytest.mark.parametrize(
    ("fields", "failed", "noted"),
    [
        pytest.param({}, (), (), id="all-passed"),
        pytest.param({"verdict": "reject"}, ("ece",), ("fairness",), id="rejecting-needs-nothing"),
        pytest.param({"note": "looked at it"}, (), ("fairness",), id="noted"),
        pytest.param(OVERRIDE, ("ece",), (), id="overridden"),
        pytest.param({"reviewer": "bob", "verdict": "reject"}, (), (), id="the-trainer-may-withdraw"),
    ],
)
def test_accepted(fields: dict[str, str], failed: tuple[str, ...], noted: tuple[str, ...]) -> None:
    """These verdicts are applied."""
    assert _refused(failed, noted, **fields) == ""


@pytest.mark.parametrize(
    ("fields", "failed", "noted", "says"),
    [
        pytest.param({"reviewer": "  "}, (), (), "reviewer's name", id="nobody"),
        pytest.param({"reviewer": " BOB "}, (), (), "trainer may not approve", id="the-trainer"),
        pytest.param({}, (), ("fairness",), "note is needed on what was seen at fairness", id="no-note"),
        pytest.param({}, ("ece",), (), "a reason and an expiry date to come and a second name", id="no-override"),
        pytest.param(OVERRIDE | {"second_reviewer": "Ana"}, ("ece",), (), "second name", id="the-same-twice"),
        pytest.param(OVERRIDE | {"second_reviewer": "bob"}, ("ece",), (), "second name", id="trainer-as-second"),
        pytest.param(OVERRIDE | {"override_expires": "2026-11-23"}, ("ece",), (), "expiry", id="expires-today"),
        pytest.param(OVERRIDE | {"override_expires": "2028-01-01"}, ("ece",), (), "within a year", id="too-long"),
    ],
)
def test_refused(fields: dict[str, str], failed: tuple[str, ...], noted: tuple[str, ...], says: str) -> None:
    """These are not, and the line says why."""
    assert says in _refused(failed, noted, **fields)


def test_an_unknown_trainer_stops_approval() -> None:
    """Without the trainer's name nobody can be told from the trainer."""
    form = VerdictForm(reviewer="ana", verdict="approve")

    assert "name of the trainer" in refusal(form, trainer="", failed=(), review_codes=(), today=TODAY)


def test_the_expiry_is_read() -> None:
    """As the day, or None if there is none."""
    assert expiry(VerdictForm(verdict="approve", override_expires="2027-01-31")) == date(2027, 1, 31)
    assert expiry(VerdictForm(verdict="approve")) is None


def test_a_day_that_no_calendar_has_is_refused_by_the_form() -> None:
    """The form itself names the field: such a verdict never becomes a run."""
    with pytest.raises(ValidationError, match="override_expires"):
        VerdictForm.model_validate({"verdict": "approve", "override_expires": "2027-02-31"})
