"""The benchmark of training prints what it measured as ratios to the plain fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.data.sample import generate
from tests.bench import training
from tests.flows.small_training import QUICK, frame


def test_ratios_are_to_the_plain_fit() -> None:
    """The plain fit is one, the others a share of it."""
    told = training.report({"plain": 4.0, "ours": 1.0}, 100)
    assert "| plain | 4.00 | 1.000 |" in told
    assert "| ours | 1.00 | 0.250 |" in told


def test_every_contender_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain fit first, then ours and the features of as many rows as asked; each is really run."""
    from flows.learning.rows import columns, rows_of

    people = frame(40)
    seen: list[int] = []
    compute = training.matrix
    monkeypatch.setattr(training, "default_catboost", lambda rows, threads: seen.append(threads))
    monkeypatch.setattr(training, "matrix", lambda values: seen.append(len(values["annual_income"])) or compute(values))

    monkeypatch.setattr(training, "search", lambda rows, start, budget, most_trials: seen.append(most_trials))

    found = training.measure(rows_of(people), columns(people), QUICK, 1_000, 3)

    assert next(iter(found)) == "plain CatBoostClassifier().fit"
    assert seen == [QUICK.threads, 1_000, 3, 6]
    assert len(found) == 6 and np.all(np.array(list(found.values())) > 0.0)


def test_without_prepared_data_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that tells what to do."""
    assert training.main(["--data", str(tmp_path)]) == 1
    assert "dvc repro" in capsys.readouterr().err


def test_as_many_rows_are_cleaned_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file again and again, each copy other customers: repeated months would be quarantined."""
    raw = generate(25, range(1, 9), seed=1)
    cleaned: list[int] = []
    compute = training.clean_rows
    monkeypatch.setattr(training, "clean_rows", lambda rows, fills: cleaned.append(len(compute(rows, fills).frame)))

    found = training.cleaning(raw, 2 * len(raw) + 3)

    assert list(found) == [f"cleaning of {2 * len(raw) + 3:,} rows"]
    assert 2 * len(raw) * 0.9 < cleaned[0] <= 2 * len(raw) + 3
