"""Charts: what can be told of them without a browser."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ui.components.charts import clear_end, tick_step
from ui.texts import brand

CONFIG = Path(brand.__file__).parents[1] / ".streamlit" / "config.toml"
RISING = [(float(place), place * 40) for place in range(26)]  # 0 to 1,000


@pytest.mark.parametrize(
    ("points", "low", "end"),
    [
        (RISING, 0, "right"),
        (RISING, 701, "left"),
        (RISING[::-1], 701, "right"),
        ([(0.0, 30), (1.0, 950)], 0, "right"),
        ([(0.0, 500)], 401, "right"),
    ],
    ids=["begins in it", "ends in it", "falls from it", "two points", "one point"],
)
def test_a_bands_name_keeps_clear_of_the_curve(points: list[tuple[float, int]], low: int, end: str) -> None:
    """It stands at the end where the curve is far from it."""
    told = [(float(place), score) for place, (_, score) in enumerate(points)]
    assert clear_end(told, low) == end


@pytest.mark.parametrize(("values", "step"), [([0.0, 1.0, 17.0], 1), ([0.0, 0.5, 1.0], 0)])
def test_what_is_counted_has_whole_ticks(values: list[float], step: int) -> None:
    """No tick says half an inquiry; where a value is no whole number, any tick may stand."""
    assert tick_step(values) == step


def test_a_names_rim_is_the_pages_ground() -> None:
    """Told twice, because Streamlit reads its theme from a file of its own: both are the same."""
    theme = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"]
    assert {name: theme[name]["backgroundColor"] for name in brand.GROUND} == brand.GROUND
