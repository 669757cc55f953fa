"""Baselines learn what they can, and say probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from flows.learning import baselines
from flows.learning.model_metrics import judge
from tests.flows.small_training import rows


@pytest.mark.parametrize("name", [name for name in baselines.BASELINES if name != baselines.YARDSTICK])
def test_a_baseline_answers_unseen_rows(name: str) -> None:
    """Probabilities for everybody, missing values included; all but the majority beat the majority."""
    told = baselines.answer((name, "majority"), rows(200), rows(100, seed=1))
    assert np.allclose(told[name].probabilities.sum(axis=1), 1.0)
    accuracy = {key: judge(one, draws=2)["accuracy"].value for key, one in told.items()}
    assert accuracy[name] >= accuracy["majority"] + (0.1 if name != "majority" else 0.0)


def test_the_yardstick_is_catboost_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what makes it repeatable; its thousand trees are not grown here."""
    import catboost

    seen: dict[str, object] = {}
    plain = catboost.CatBoostClassifier

    def fewer(**options: object) -> object:
        seen.update(options)
        return plain(**options, iterations=5)

    monkeypatch.setattr(catboost, "CatBoostClassifier", fewer)
    told = baselines.answer((baselines.YARDSTICK,), rows(60), rows(30, seed=1), threads=1)[baselines.YARDSTICK]
    assert told.probabilities.shape == (120, 3)
    assert set(seen) == {"random_seed", "thread_count", "verbose", "allow_writing_files"}
