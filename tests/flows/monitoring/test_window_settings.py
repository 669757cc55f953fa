"""Which days a run of the drift flow looks at."""

from datetime import date

import pytest

from flows.monitoring.window_settings import DriftSettings, window_of


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (DriftSettings(), (date(2026, 11, 17), date(2026, 11, 24))),
        (DriftSettings(window_end="2026-10-01", window_days=30), (date(2026, 9, 1), date(2026, 10, 1))),
    ],
    ids=["today", "given"],
)
def test_the_window_ends_where_the_form_says(settings, expected):
    """Empty means that today is the last day inside."""
    window = window_of(settings, date(2026, 11, 23))
    assert (window.start, window.end, window.days) == (*expected, (expected[1] - expected[0]).days)


@pytest.mark.parametrize("day", ["0001-01-02", "1969-12-31"])
def test_a_window_before_all_predictions_is_refused_in_words(day):
    """No day of the calendar is left before the first of them."""
    with pytest.raises(ValueError, match="window_end lies before any prediction: give a day from 1970 on"):
        window_of(DriftSettings(window_end=day, window_days=366), date(2026, 11, 23))
