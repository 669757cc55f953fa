"""What the DVC stage `evaluate` writes is what `dvc metrics` compares and `dvc plots` draws."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from flows import dataset
from flows.data import dvc_versions
from flows.learning.dvc_stage import METRICS_FILE, PLOTS, evaluate
from flows.learning.fit import Parameters
from flows.learning.model_metrics import METRICS
from flows.learning.prepared_data import PreparedData, read_prepared
from infra.settings import ROOT
from tests.flows.prepared_data import write_prepared

QUICK = Parameters(iterations=8, depth=3, folds=2, threads=1)


@pytest.fixture(scope="module", name="data")
def _data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return read_prepared(write_prepared(tmp_path_factory.mktemp("prepared"), customers=60, unseen=50))


def test_figures_and_tables_are_written(data: PreparedData, tmp_path: Path) -> None:
    """Every metric with its interval, one row an answer, every bin a probability, every month once."""
    figures = evaluate(data, QUICK, tmp_path)

    kept = json.loads((tmp_path / METRICS_FILE).read_text())
    assert set(kept) == set(figures) == set(METRICS)
    assert kept["macro_f1"]["low"] <= kept["macro_f1"]["value"] <= kept["macro_f1"]["high"]
    confusion, reliability, months = (pd.read_csv(tmp_path / name) for name in PLOTS)
    assert len(confusion) == len(data.unseen)
    assert (confusion["actual"] == confusion["predicted"]).mean() == pytest.approx(figures["accuracy"].value)
    assert reliability[["said", "seen"]].stack().between(0, 1).all()
    assert list(months["month"]) == list(range(1, 9))


def test_the_same_again_gives_the_same_bytes(data: PreparedData, tmp_path: Path) -> None:
    """Else DVC would see a change where there is none."""
    for name in ("one", "two"):
        evaluate(data, QUICK, tmp_path / name)

    for name in (METRICS_FILE, *PLOTS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_dvc_compares_and_draws_them(data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc metrics diff` names what moved against HEAD; `dvc plots show` makes a page of every plot."""
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    for name in ("dvc.yaml", "data/params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    evaluate(data, QUICK, dataset.EVALUATION)
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-q", "-m", "before"]):
        subprocess.run(["git", "-c", "user.name=ana", "-c", "user.email=ana@example.org", *command], check=True)
    after = evaluate(data, QUICK.model_copy(update={"iterations": 30}), dataset.EVALUATION)

    moved = json.loads(dvc("metrics", "diff", "--json"))["data/evaluation/metrics.json"]
    dvc("plots", "show", "--out", "page", *(f"data/evaluation/{name}" for name in PLOTS))

    assert moved["log_loss.value"]["new"] == pytest.approx(after["log_loss"].value, abs=1e-6)
    assert moved["log_loss.value"]["diff"] < 0
    page = (tmp_path / "page" / "index.html").read_text()
    assert all(name.replace(".", "_") in page for name in PLOTS) and "vega" in page


def dvc(*arguments: str) -> str:
    """DVC's standard output."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **dvc_versions.SETTINGS}, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
