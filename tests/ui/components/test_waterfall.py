"""The way from the reference to the score: every step drawn, and the steps add up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import Score
from ui.components.waterfall import of, steps_of
from ui.session import PageContext
from ui.texts.formats import Formats
from ui.texts.wording import texts

DESK = cast(PageContext, SimpleNamespace(texts=texts("en"), formats=Formats("en")))


def answer(reference: int | None, costs: list[int], won: list[int], score: int) -> Score:
    """An answer that tells points."""
    debt, rate = (SimpleNamespace(en=words) for words in ("Debt above the usual", "Interest below the usual"))
    reasons = [
        SimpleNamespace(feature="outstanding_debt", points=-points, value=4900.0, compared_with=700.0, text=debt)
        for points in costs
    ]
    strengths = [SimpleNamespace(feature="interest_rate", points=points, value=5.0, text=rate) for points in won]
    compared = SimpleNamespace(score=reference) if reference is not None else None
    told: Any = SimpleNamespace(reasons=reasons, strengths=strengths, reference=compared, score=score)
    return cast(Score, told)


@given(
    st.integers(0, 1000),
    st.lists(st.integers(-300, -1), max_size=4),
    st.lists(st.integers(1, 300), max_size=4),
    st.integers(0, 1000),
)
def test_the_steps_lead_from_the_reference_to_the_score(
    reference: int, costs: list[int], won: list[int], score: int
) -> None:
    """Each step begins where the last one ended, what is not named is a step of its own, the end is the score."""
    steps = steps_of(DESK, answer(reference, costs, won, score))
    if not costs and not won:
        assert len(steps) == 0
        return
    assert steps[0].end == reference and steps[-1].end == score
    assert all(before.end == after.start for before, after in zip(steps[:-2], steps[1:-1], strict=True))
    assert sum(step.points for step in steps[1:-1]) == score - reference


def test_it_is_spoken_and_drawn() -> None:
    """Each step says the reason in words, its value, what it is compared with, and its points; an amount keeps its
    sign on its line."""
    drawn = of(DESK, answer(780, [-120], [20], 660))
    assert "Debt still to be paid: R$\u00a04,900.00 (reference: R$\u00a0700.00)" in drawn and "−120" in drawn
    assert "Card interest rate: 5%" in drawn and "+20" in drawn and drawn.count("<li>") == 5
    assert drawn.index("Debt above the usual") < drawn.index("Debt still") < drawn.index("Interest below the usual")


def test_what_is_counted_says_its_unit() -> None:
    """A number of months or days is told as such, one in the singular; what its field's name counts is not."""
    told = {"credit_history_months": (210, 1), "delay_from_due_date": (1.0, 8.0), "num_credit_cards": (7, 4)}
    words = SimpleNamespace(en="Above the usual")
    reasons = [
        SimpleNamespace(feature=name, points=10, value=a, compared_with=b, text=words) for name, (a, b) in told.items()
    ]
    drawn = of(
        DESK,
        cast(Score, SimpleNamespace(reasons=reasons, strengths=[], reference=SimpleNamespace(score=700), score=670)),
    )
    assert "210 months (reference: 1 month)" in drawn and "1 day (reference: 8 days)" in drawn
    assert ": 7 (reference: 4)" in drawn


@pytest.mark.parametrize("reference", [None])
def test_without_points_nothing_is_drawn(reference: int | None) -> None:
    """An older answer has no picture."""
    assert of(DESK, answer(reference, [-10], [], 600)) == ""
