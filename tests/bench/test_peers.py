"""What the service is measured against answers as it should, for both objectives: a broken peer would flatter us."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.docs.examples import APPLICANT
from service.engine.packed_model import PackedModel
from service.score import policy
from service.score.features import row
from service.score.policy import Objective
from service.web.decoding import applicant
from tests.api.running import BODY
from tests.factories import pack_small_model


@pytest.mark.parametrize("objective", ["MultiClass", "MultiLogloss"])
def test_every_peer_gives_the_models_own_probabilities(
    objective: Objective, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DataFrame, list and SHAP alike, uncalibrated; with SHAP come at most four features."""
    pack_small_model(tmp_path / "model", objective, rows=600, trees=20)
    monkeypatch.setenv("QF_MODEL_DIR", str(tmp_path / "model"))
    from tests.bench import peers  # pylint: disable=import-outside-toplevel  # loads the model it is told

    importlib.reload(peers)
    raw = PackedModel.load(tmp_path / "model", "portable").engine.raw(np.array([row(applicant(BODY))]))
    wanted = policy.probabilities_many(raw, objective)[0].tolist()

    for app in (peers.fastapi_df, peers.fastapi_df_shap, peers.fastapi_list):
        answer = TestClient(app).post("/v1/score", json=APPLICANT).json()
        assert list(answer["probabilities"].values()) == pytest.approx(wanted, abs=1e-9)
        assert len(answer["reasons"]) <= 4
    monkeypatch.setenv("QF_DATABASE_URL", database)
    answer = TestClient(peers.fastapi_df_insert).post("/v1/score", json=APPLICANT).json()
    assert list(answer["probabilities"].values()) == pytest.approx(wanted, abs=1e-9)
    with peers.FREE.get_nowait() as link:
        assert link.execute("SELECT count(*)::int FROM peer_prediction").fetchone() == (1,)
    batch = TestClient(peers.fastapi_df).post("/v1/score/batch", json={"applicants": [APPLICANT] * 3}).json()
    assert [list(one["probabilities"].values()) for one in batch["scores"]] == [pytest.approx(wanted, abs=1e-9)] * 3
