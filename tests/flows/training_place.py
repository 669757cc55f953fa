"""A place where the training flow runs in seconds: prepared data, state and a registered model of its own."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from flows.learning import baselines
from flows.learning.rows import Rows
from infra.settings import ROOT
from tests.flows.prepared_data import write_prepared


def short_yardstick(rows: Rows, threads: int = 2) -> baselines.Predict:
    """The default CatBoost with thirty trees instead of a thousand: what is compared matters here, not how well."""
    from catboost import CatBoostClassifier

    model = CatBoostClassifier(iterations=30, thread_count=threads, verbose=False, allow_writing_files=False)
    model.fit(rows.features, rows.labels)
    return lambda features: np.asarray(model.predict_proba(features))


@contextmanager
def training_place(folder: Path, mlflow: str, prefect: str) -> Iterator[pytest.MonkeyPatch]:
    """Flows see `folder` and both servers by the environment, which ends with the block."""
    importlib.import_module("sklearn.tree")  # before MLflow hooks into its import, which warns
    write_prepared(folder / "data", customers=150, unseen=140)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow)
        patch.setenv("PREFECT_API_URL", prefect)
        patch.setenv("QF_HOME", str(ROOT))
        patch.setenv("QF_STATE_DIR", str(folder / "state"))
        patch.setenv("QF_MODEL_NAME", f"credit-score-{uuid.uuid4().hex[:8]}")
        patch.setenv("QF_GIT_REVISION", "a" * 40)
        patch.setitem(baselines.BASELINES, baselines.YARDSTICK, short_yardstick)
        yield patch
