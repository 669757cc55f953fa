"""Sets hold what they promise on customers they were not found on; thresholds decide as often as is honest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.learning.certainty import COVERAGE, STRESSES, certainty, stress, sure_enough, thresholds
from flows.learning.model_metrics import LabelledAnswers
from service.engine.packed_model import PackedModel
from service.score.policy import CLASSES, prediction_set, rounded, rounded_many
from tests.factories import applicant_columns, pack_small_model


def honest(rows: int = 6_000, sharpness: float = 1.0, seed: int = 0) -> LabelledAnswers:
    """Rows whose probabilities come true; sharper ones say more."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet(np.full(3, 1.0 / sharpness), rows)
    labels = (rng.random(rows)[:, None] > np.cumsum(said, axis=1)).sum(axis=1)
    return LabelledAnswers(labels, said, np.arange(rows) // 3)


def test_each_class_is_covered_as_promised() -> None:
    """Of a rare class as of a frequent one, whatever the model is like."""
    answers = honest()
    skewed = answers.where((answers.labels != 0) | (np.arange(len(answers.labels)) % 8 == 0))
    for judged in (answers, skewed):
        report = certainty(judged)
        assert set(report.coverage) == {str(name) for name in CLASSES}
        for covered in report.coverage.values():
            assert covered == pytest.approx(COVERAGE, abs=0.03)


def test_a_surer_model_leaves_less_open() -> None:
    """Smaller sets, fewer that hold both ends, more that could be decided."""
    vague, sure = certainty(honest(sharpness=0.5)), certainty(honest(sharpness=4.0))
    assert sure.size < vague.size and sure.single > vague.single and sure.extremes < vague.extremes
    assert [one.share for one in sure.automation] > [one.share for one in vague.automation]


def test_what_is_decided_is_right_as_often_as_aimed_at() -> None:
    """And less of it with a higher aim; where no threshold does it, nothing is decided."""
    low, high = certainty(honest(20_000)).automation
    assert low.share > high.share > 0
    for one in (low, high):
        assert one.accuracy == pytest.approx(one.aim, abs=0.02)
    rng = np.random.default_rng(0)
    chance = LabelledAnswers(rng.integers(0, 3, 900), rng.dirichlet([1, 1, 1], 900), np.arange(900))
    hopeless = certainty(chance).automation[1]
    assert (hopeless.share, hopeless.accuracy) == (0.0, None)
    assert sure_enough(chance.where(np.arange(900) < 20), 0.1) == np.inf


def test_a_class_that_nobody_had_is_never_left_out() -> None:
    """Nothing is known of it, so no set may exclude it; nor with too few rows to say."""
    answers = honest(300)
    assert thresholds(answers.where(answers.labels != 2))[2] == 0.0
    assert thresholds(answers.where(np.arange(300) < 6)) == (0.0, 0.0, 0.0)


def test_what_is_judged_is_what_answers_tell() -> None:
    """Sets of probabilities as they are told, by the function that answers use; never an empty one."""
    answers = honest(900)
    least = thresholds(answers)
    held = [
        label in prediction_set(told, least)
        for label, told in zip(
            [CLASSES[place] for place in answers.labels], rounded_many(answers.probabilities).tolist(), strict=True
        )
    ]
    assert np.mean(held) >= COVERAGE
    assert certainty(answers).size >= 1.0 and all(value == rounded(value) for value in least)


@pytest.mark.slow
def test_hard_times_are_told_beside_the_applicants_as_they_are(tmp_path: Path) -> None:
    """Every stress has a row, bands add up to one, and the columns that were asked about stay as they were."""
    pack_small_model(tmp_path, trees=20, compile_kernel=False)
    columns, _ = applicant_columns(200, seed=3)
    kept = {name: np.array(values, copy=True) for name, values in columns.items()}
    rows = stress(PackedModel.load(tmp_path), columns)
    assert [row.name for row in rows] == ["as they are", *STRESSES]
    assert rows[0].score == 0.0 and rows[-1].score < 0.0
    assert all(sum(row.bands.values()) == pytest.approx(1.0) for row in rows)
    assert all(np.array_equal(kept[name].astype(str), np.asarray(columns[name]).astype(str)) for name in kept)
