"""A set follows from what an answer tells, and asking for it changes nothing else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from service.contract import Basis, ModelRef
from service.score.policy import CLASSES, prediction_set, prediction_sets_many, rounded_many
from service.score.prediction_sets import PredictionSets

MODEL = ModelRef(name="credit-score", version="7", digest="b" * 64)
THRESHOLDS = (0.3, 0.4, 0.2)
KNOWN = (0.5, 0.5, 0.5)
ANSWER = {
    "probabilities": {"Poor": 0.1, "Standard": 0.65, "Good": 0.25},
    "basis": "applicant",
    "model": MODEL.model_dump(),
}


def answer(**changes: Any) -> bytes:
    """An answer as it is sent, as far as it matters here."""
    return json.dumps({"prediction_id": "1-a", **ANSWER, **changes}, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("told", "thresholds", "wanted"),
    [
        pytest.param((0.1, 0.65, 0.25), THRESHOLDS, ["Standard", "Good"], id="two"),
        pytest.param((0.3, 0.4, 0.3), THRESHOLDS, ["Poor", "Standard", "Good"], id="on-the-thresholds"),
        pytest.param((0.1, 0.8, 0.1), THRESHOLDS, ["Standard"], id="one"),
        pytest.param((0.2, 0.4, 0.4), (0.9, 0.9, 0.9), ["Standard"], id="never-empty"),
        pytest.param((0.4, 0.2, 0.4), (0.9, 0.9, 0.9), ["Poor"], id="of-equals-the-worse"),
    ],
)
def test_a_set_holds_what_reaches_its_threshold(
    told: tuple[float, float, float], thresholds: tuple[float, float, float], wanted: list[str]
) -> None:
    """One row and many say the same."""
    assert [str(name) for name in prediction_set(told, thresholds)] == wanted
    many = prediction_sets_many(np.array([told]), thresholds)[0]
    assert [str(name) for name, held in zip(CLASSES, many, strict=True) if held] == wanted


def test_one_row_and_many_agree() -> None:
    """Wherever the probabilities lie."""
    told = rounded_many(np.random.default_rng(0).dirichlet([1, 1, 1], 500))
    many = [
        [name for name, held in zip(CLASSES, row, strict=True) if held] for row in prediction_sets_many(told, KNOWN)
    ]
    assert many == [prediction_set(row, KNOWN) for row in told.tolist()]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param({}, ["Standard", "Good"], id="unknown-customer"),
        pytest.param({"basis": "known_customer"}, ["Standard"], id="known-customer"),
        pytest.param({"model": {**ANSWER["model"], "version": "6"}}, None, id="another-version"),  # type: ignore[dict-item]
    ],
)
def test_the_answer_stays_as_it_is_and_tells_its_set(changes: dict[str, Any], wanted: list[str] | None) -> None:
    """Thresholds are those of the customer's kind; another model's answer has none of ours."""
    sets = PredictionSets(MODEL, {Basis.APPLICANT: THRESHOLDS, Basis.KNOWN_CUSTOMER: KNOWN})
    plain = answer(**changes)

    added = sets.added(plain)

    assert added.startswith(plain[:-1]) and json.loads(added) == {**json.loads(plain), "prediction_set": wanted}
    both = sets.added_to_each(b'{"scores":[' + plain + b"," + plain + b"]}")
    assert json.loads(both) == {"scores": [json.loads(added)] * 2}


def test_a_model_without_thresholds_tells_none() -> None:
    """As one that was packed before there were any; nor has a row that was refused a set."""
    sets = PredictionSets(MODEL, {})
    assert json.loads(sets.added(answer()))["prediction_set"] is None
    refused = b'{"errors":[{"pointer":"","code":"type"}]}'
    assert sets.added(refused) == refused
