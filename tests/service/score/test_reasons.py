"""Reasons: the catalogue is complete, and what is named really costs points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.contract import MAX_REASONS, Direction, LoanType
from service.engine.packed_model import PackedModel
from service.engine.rules import Arrays
from service.score import features
from service.score.features import FEATURE_NAMES, FEATURES
from service.score.reasons import (
    CANDIDATES,
    CATALOGUE,
    FAMILIES,
    FAMILY_WORDINGS,
    FRAGMENTS,
    LOAN_KIND_NAMES,
    direction_of,
    loan_kinds_text,
    text,
)
from tests.factories import Columns, applicant, applicant_columns

ROWS = 1000


def test_every_family_has_a_story_and_a_field() -> None:
    """No feature can cost points without words for it, and no words are left over."""
    assert set(FAMILY_WORDINGS) == set(FAMILIES)
    assert {candidate.family for candidate in CANDIDATES} == set(range(len(FAMILIES)))


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_are_whole_and_differ_by_direction(family: str) -> None:
    """Three different sentences a family in each language."""
    texts = [text(family, direction) for direction in Direction]

    assert len({found.pt for found in texts}) == len({found.en for found in texts}) == len(Direction)
    assert all(len(found.pt) > 15 and len(found.en) > 15 for found in texts)


def test_the_catalogue_is_rendered_once() -> None:
    """Positions are candidate * 3 + direction, and the fragments are the reasons as JSON."""
    assert len(CATALOGUE) == len(FRAGMENTS) == 3 * len(CANDIDATES)
    for number, (reason, fragment) in enumerate(zip(CATALOGUE, FRAGMENTS, strict=True)):
        candidate = CANDIDATES[number // 3]
        assert reason.code == FAMILIES[candidate.family].upper()
        assert reason.feature == candidate.field
        assert type(reason).model_validate_json(fragment) == reason


def _candidate(field: str) -> Any:
    return next(candidate for candidate in CANDIDATES if candidate.field == field)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("interest_rate", 20.0, 0),
        ("interest_rate", 5.0, -1),
        ("interest_rate", 10.0, -1),
        ("interest_rate", float("nan"), 2),
        ("annual_income", 5.0, 1),
        ("annual_income", 20.0, -1),
        ("changed_credit_limit", 20.0, 0),
        ("changed_credit_limit", 5.0, 1),
    ],
    ids=["risk-high", "risk-low", "even", "missing", "income-low", "income-high", "undeclared-high", "undeclared-low"],
)
def test_directions_follow_the_declared_risk(field: str, value: float, expected: int) -> None:
    """Nothing is told against the declared direction, nor about a value that is the reference's."""
    reference = [10.0] * len(FEATURES)
    row = list(reference)
    row[FEATURE_NAMES.index(field)] = value

    assert direction_of(row, reference, _candidate(field)) == expected


@pytest.fixture(name="columns", scope="module")
def _columns() -> Columns:
    return applicant_columns(ROWS, seed=11)[0]


@pytest.fixture(name="answers", scope="module")
def _answers(loaded_model: PackedModel, columns: Columns) -> Arrays:
    return loaded_model.assess_arrays(features.matrix(columns), reasons=True)


def test_moving_a_named_field_to_the_reference_raises_the_score(
    loaded_model: PackedModel, columns: Columns, answers: Arrays
) -> None:
    """All of them, where 95 % were promised: through the contract, one field at a time, loans with their kinds."""
    reference = loaded_model.manifest.reference.applicant
    tried = raised = 0
    for row in range(200):
        for number in answers.numbers[row][answers.numbers[row] >= 0].tolist():
            field = CATALOGUE[number].feature
            fields = ("num_loans", "loan_types") if field in ("num_loans", "loan_types") else (field,)
            moved = applicant(columns, row, **{name: getattr(reference, name) for name in fields})
            tried += 1
            raised += loaded_model.assess(features.row(moved)).score > answers.score[row]

    assert tried > 400
    assert raised == tried


def test_reasons_are_few_distinct_and_ordered_by_points_lost(
    loaded_model: PackedModel, columns: Columns, answers: Arrays
) -> None:
    """At most four, no code or field twice, most harmful family first, none that lost nothing."""
    even = np.array([loaded_model.manifest.reference.contributions[family] for family in FAMILIES])
    lost = loaded_model.engine.contributions(features.matrix(columns)) - even
    for row, numbers in enumerate(answers.numbers.tolist()):
        chosen = [number for number in numbers if number >= 0]
        assert numbers[: len(chosen)] == chosen and len(chosen) <= MAX_REASONS
        assert len({CATALOGUE[n].code for n in chosen}) == len({CATALOGUE[n].feature for n in chosen}) == len(chosen)
        losses = [lost[row, CANDIDATES[number // 3].family] for number in chosen]
        assert losses == sorted(losses)
        assert all(loss < 0 for loss in losses)


def test_whoever_scores_below_the_reference_is_told_why(loaded_model: PackedModel, answers: Arrays) -> None:
    """An answer in the worst band never comes without a reason."""
    poor = answers.score <= 300

    assert poor.sum() > 50
    assert (answers.numbers[poor, 0] >= 0).all()
    assert loaded_model.manifest.reference.rows > 0


def test_the_first_reason_is_stable_under_noise(loaded_model: PackedModel, columns: Columns, answers: Arrays) -> None:
    """One per cent of noise on every amount leaves the first reason as it was in at least 90 % of cases."""
    rng = np.random.default_rng(0)
    noisy = {
        name: column * (1 + 0.01 * rng.normal(size=ROWS))
        if column.dtype == np.float64 and "num_" not in name
        else column
        for name, column in columns.items()
    }

    found = loaded_model.assess_arrays(features.matrix(noisy), reasons=True)

    assert (found.numbers[:, 0] == answers.numbers[:, 0]).mean() >= 0.9


def test_a_missing_value_is_named_missing(loaded_model: PackedModel, columns: Columns) -> None:
    """Where an untold value cost the points, the direction is missing, never high or low."""
    row = features.row(applicant(columns, 0, credit_mix=None, credit_history_months=None, num_delayed_payments=None))

    told = {reason.feature: reason.direction for reason in loaded_model.assess(row).reasons}

    unknown = {"credit_mix", "credit_history_months", "num_delayed_payments"} & told.keys()
    assert all(told[field] is Direction.MISSING for field in unknown)


@pytest.mark.parametrize(
    ("direction", "held", "usual", "pt", "en"),
    [
        (Direction.TOO_HIGH, ["payday", "payday", "auto"], ["auto"], ": adiantamento de salário", ": payday loan"),
        (
            Direction.TOO_LOW,
            [],
            ["mortgage", "auto"],
            ": financiamento de carro, financiamento imobiliário",
            ", mortgage",
        ),
        (Direction.TOO_LOW, ["student"], ["student", "student"], ": crédito estudantil", ": student loan"),
        (Direction.TOO_HIGH, [], ["auto"], "clientes bem avaliados", "well-rated customers"),
        (Direction.MISSING, ["payday"], [], "informação não fornecida", "was not given"),
    ],
    ids=["more of one", "fewer of two", "fewer of one that is held", "nothing to name", "untold"],
)
def test_kinds_of_loan_are_named(direction: Direction, held: list[str], usual: list[str], pt: str, en: str) -> None:
    """The sentence says which kinds it is about, in the direction it speaks of."""
    told = loan_kinds_text(direction, held, usual)

    assert told.pt.endswith(pt) and told.en.endswith(en)


def test_every_kind_of_loan_has_a_name() -> None:
    """In both languages, no name twice."""
    assert set(LOAN_KIND_NAMES) == set(LoanType)
    assert len({name.pt for name in LOAN_KIND_NAMES.values()}) == len(LOAN_KIND_NAMES)


def test_a_history_is_compared_and_never_called_short() -> None:
    """Twenty years may be less than the reference's: the sentence says less than usual, which is true of any length."""
    for direction in (Direction.TOO_LOW, Direction.TOO_HIGH, Direction.MISSING):
        told = text("history", direction)
        assert "short" not in told.en.lower() and "curt" not in told.pt.lower()
    assert "usual" in text("history", Direction.TOO_LOW).en
