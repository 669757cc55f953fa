"""Points: whole, told with what they are compared with, and exact in the sum."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import Direction, Reason, Strength
from service.engine.packed_model import PackedModel
from service.score import features, points
from service.score.reasons import FAMILIES, FAMILY_WORDINGS, LOAN_KIND_NAMES, loan_kinds_text
from tests.factories import applicant, applicant_columns

losses = st.lists(st.floats(-3, 3), min_size=len(FAMILIES), max_size=len(FAMILIES))
plain_losses = st.lists(
    st.integers(-3_000_000, 3_000_000).map(lambda number: number / 999_983),
    min_size=len(FAMILIES),
    max_size=len(FAMILIES),
)


@given(losses, st.integers(-1000, 1000))
def test_shares_add_up_to_the_distance(lost: list[float], distance: int) -> None:
    """Whatever the margin says: also where it stands even while the score does not, or moves the other way."""
    found = points.shared(lost, distance)
    assert sum(found) == pytest.approx(distance if any(lost) else 0.0, abs=1e-6)


@given(st.lists(st.tuples(plain_losses, st.integers(-1000, 1000)), min_size=1, max_size=5))
def test_shares_of_many_are_those_of_each(rows: list[tuple[list[float], int]]) -> None:
    """To the last bit, also where nothing was lost: a batch tells the points that a score alone tells."""
    rows.append(([0.0] * len(FAMILIES), 7))
    lost, distances = (np.array(part, np.float64) for part in zip(*rows, strict=True))
    assert points.shared_many(lost, distances).tolist() == [points.shared(*row) for row in rows]


def test_where_margin_and_score_agree_one_rate_turns_one_into_the_other() -> None:
    """Twice the loss costs twice the points."""
    lost = [-2.0, -1.0, *[0.0] * (len(FAMILIES) - 2)]
    assert points.shared(lost, -300)[:3] == pytest.approx([-200.0, -100.0, 0.0])


def test_answers_add_up_and_repeat_what_was_sent(loaded_model: PackedModel) -> None:
    """Score = reference - reasons + strengths + other; each names the value sent and the one compared with."""
    reference = loaded_model.manifest.reference.applicant
    tally = points.ReasonRenderer(reference, loaded_model.assess(features.row(reference)).score)
    columns, _ = applicant_columns(80, seed=5)
    named = kinds_named = 0
    for row in range(80):
        one = applicant(columns, row)
        answer = loaded_model.assess(features.row(one))
        told = [
            json.loads(bytes(part))
            for part in tally.explain(one, answer.score, answer.numbers, answer.relative_contributions)
        ]
        reasons = [Reason.model_validate(part) for part in told[0]]
        strengths = [Strength.model_validate(part) for part in told[1]]
        costs, gains = (sum(part.points or 0 for part in parts) for parts in (reasons, strengths))
        assert answer.score == told[2]["score"] - costs + gains + told[2]["other_points"]
        assert [reason.code for reason in reasons] == [reason.code for reason in answer.reasons]
        assert all(reason.points and reason.points >= 1 for reason in reasons)
        assert all(part.points >= points.LEAST_STRENGTH for part in strengths)
        assert not {part.code for part in reasons} & {part.code for part in strengths}
        for reason in reasons:
            if reason.code == "LOAN_KINDS" and reason.direction is not Direction.MISSING:
                kinds = one.loan_types, reference.loan_types
                assert reason.text == loan_kinds_text(reason.direction, *kinds)
                assert any(name.en in reason.text.en for name in LOAN_KIND_NAMES.values())
                kinds_named += 1
            assert reason.value == getattr(one, reason.feature)
            assert reason.compared_with == getattr(reference, reason.feature)
        named += len(strengths)
    assert named > 20
    assert kinds_named > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_can_count_in_favour(family: str) -> None:
    """A whole sentence in each language."""
    text = points.strength_text(family)
    assert text.pt.endswith("conta a favor") and text.en == f"{FAMILY_WORDINGS[family].en} counts in favour"
