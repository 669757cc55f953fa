"""What forms share: a day of the calendar or nothing, and names in one line."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flows.recalibration import RecalibrationForm
from flows.retention import RetentionForm
from flows.settings import NO_DAY_OR_DAY
from flows.training_form import TrainingForm

NUMBERS = st.integers(0, 99)


@given(st.dates(min_value=date(1000, 1, 1)))
def test_every_day_is_taken(day: date) -> None:
    """Whatever the calendar has."""
    assert re.search(NO_DAY_OR_DAY, day.isoformat())


@given(st.integers(1000, 9999), NUMBERS, NUMBERS)
def test_nothing_but_days_is_taken(year: int, month: int, day: int) -> None:
    """The pattern says what the calendar says, leap years included."""
    text = f"{year}-{month:02}-{day:02}"
    try:
        date.fromisoformat(text)
        exists = True
    except ValueError:
        exists = False

    assert bool(re.search(NO_DAY_OR_DAY, text)) is exists


def test_nothing_is_taken_and_a_line_break_is_not_hidden() -> None:
    """The empty field means none."""
    assert re.search(NO_DAY_OR_DAY, "")
    assert not re.search(NO_DAY_OR_DAY, "2026-13-45")


@pytest.mark.parametrize(
    ("form", "field"), [(TrainingForm, "trainer"), (RecalibrationForm, "trainer"), (RetentionForm, "requested_by")]
)
def test_whom_a_form_names_stands_in_one_line(form: type[BaseModel], field: str) -> None:
    """A line break would begin another line of a table, or of a card."""
    assert getattr(form.model_validate({field: "Ana d'Ávila, file 7"}), field)
    for text in ("ana\nbob", "ana\r| x", "ana\x00"):
        with pytest.raises(ValidationError, match=field):
            form.model_validate({field: text})
