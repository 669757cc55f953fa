"""The model on one screen: what the manifest holds becomes what a partner reads."""

from __future__ import annotations

from typing import Any

import pytest

from ui.components.model_summary import grade_outcomes

SEEN = {"value": 0.06, "low": 0.04, "high": 0.08}
ROWS = [{"name": name, "rows": 90, "share": 0.5, "classes": {"Poor": SEEN}} for name in "AB"]


def test_a_grade_is_said_from_border_to_border() -> None:
    """The first begins at nothing, the last ends at certainty; beside each stands what was seen, with its interval."""
    found = grade_outcomes({"grade_borders": [0.05], "grades": {"pooled": ROWS}})
    assert found == [("A", 0.0, 0.05, 0.06, 0.04, 0.08), ("B", 0.05, 1.0, 0.06, 0.04, 0.08)]


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        {"grades": {"pooled": ROWS}},
        {"grade_borders": [0.05], "grades": {}},
        {"grade_borders": [0.05, 0.2], "grades": {"pooled": ROWS}},
        {"grade_borders": [0.05], "grades": {"pooled": [{**row, "rows": 0} for row in ROWS]}},
    ],
    ids=["nothing", "no borders", "no grades", "borders of other grades", "grades without a row"],
)
def test_without_the_figures_nothing_is_made_up(manifest: dict[str, Any]) -> None:
    """A manifest older or newer than the page draws no picture."""
    assert not grade_outcomes(manifest)
