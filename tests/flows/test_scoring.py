"""Batch scoring from a terminal: what is wrong is one line, at once, and no traceback."""

from __future__ import annotations

import pytest

from flows.scoring import main

Told = pytest.CaptureFixture[str]


def test_without_a_stack_it_says_so_before_anything_starts(monkeypatch: pytest.MonkeyPatch, capsys: Told) -> None:
    """Prefect's own server is not even tried."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setattr("flows.scoring.scoring", lambda form: pytest.fail("the flow was started"))

    assert main(["customers.csv"]) == 1

    told = capsys.readouterr().err
    assert told.startswith("scoring: MLFLOW_TRACKING_URI is not set: run `make up`") and told.count("\n") == 1


def test_an_option_out_of_its_range_is_named(capsys: Told) -> None:
    """By the name that was typed."""
    assert main(["customers.csv", "--chunk-rows", "5"]) == 1
    assert capsys.readouterr().err.startswith("scoring: --chunk-rows: ")
