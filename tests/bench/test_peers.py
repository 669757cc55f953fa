"""What the service is measured against answers as it should, for both objectives: a broken peer would flatter us."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from infra.settings import ROOT
from service.docs.examples import APPLICANT
from service.engine.packed_model import PackedModel
from service.score import policy
from service.score.features import FEATURE_NAMES, row
from service.score.policy import Objective
from service.web.decoding import applicant
from tests.api.running import BODY
from tests.bench.load import TOLERANCE, probabilities, same
from tests.factories import pack_small_model

OBJECTIVES = ["MultiClass", "MultiLogloss"]
ASK_BENTOML = """
import sys
from fastapi.testclient import TestClient
from tests.bench.peer_bentoml import Plain

with TestClient(Plain.to_asgi()) as client:
    print(client.post("/v1/score", content=sys.argv[1], headers={"content-type": "application/json"}).text)
"""


@pytest.fixture(name="wanted", params=OBJECTIVES, scope="module")
def _wanted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[float]]:
    """The probabilities that a model gives the applicant; the peers have loaded that model."""
    objective: Objective = request.param
    package = tmp_path_factory.mktemp("peers") / "model"
    pack_small_model(package, objective, rows=600, trees=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QF_MODEL_DIR", str(package))
        importlib.reload(peers())
        raw = PackedModel.load(package, "portable").engine.raw(np.array([row(applicant(BODY))]))
        yield policy.probabilities_many(raw, objective)[0].tolist()


def peers() -> Any:
    """The peers' module, which loads the model it is told when it is first imported."""
    return importlib.import_module("tests.bench.peers")


@pytest.mark.parametrize(
    "name",
    ["fastapi_df", "fastapi_df_shap", "fastapi_frame", "fastapi_list", "raw_asgi"],
)
def test_every_peer_gives_the_models_own_probabilities(name: str, wanted: list[float]) -> None:
    """Uncalibrated, whatever it is built with; with SHAP come at most four features; a bad applicant is refused."""
    client = TestClient(getattr(peers(), name))
    answer = client.post("/v1/score", json=APPLICANT)
    refused = client.post("/v1/score", json=APPLICANT | {"annual_income": "much"})
    assert probabilities(answer.content) == pytest.approx(wanted, abs=1e-9)
    assert len(answer.json()["reasons"]) <= 4
    assert refused.status_code == 422


def test_bentoml_gives_them_too(wanted: list[float]) -> None:
    """A plain service of it, with its own start and end; a process has one, since its metrics have one name each."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK_BENTOML, json.dumps(APPLICANT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    assert probabilities(asked.stdout.encode()) == pytest.approx(wanted, abs=1e-9)


def test_litserve_gives_them_too(wanted: list[float]) -> None:
    """Its worker's steps, one after the other, as its server takes them."""
    served = importlib.reload(importlib.import_module("tests.bench.peer_litserve"))
    api = served.Scorer(api_path="/v1/score")
    api.setup("cpu")
    answer = api.encode_response(api.predict(api.decode_request(peers().Form.model_validate(APPLICANT))))
    assert probabilities(answer.model_dump_json().encode()) == pytest.approx(wanted, abs=1e-9)


def test_mlflow_is_asked_for_the_same_applicant(wanted: list[float]) -> None:
    """Its body holds his features, and what the bare model says to them is what it is checked for."""
    content = json.loads(peers().mlflow_body(BODY))["dataframe_split"]
    said = np.asarray(peers().MODEL.predict(content["data"]))[0].tolist()
    assert content["columns"] == list(FEATURE_NAMES)
    assert same(said, peers().mlflow_prediction(wanted))


def test_many_rows_are_as_good_as_one(wanted: list[float]) -> None:
    """The batch that ours is compared with."""
    batch = TestClient(peers().fastapi_df).post("/v1/score/batch", json={"applicants": [APPLICANT] * 3}).json()
    assert [list(one["probabilities"].values()) for one in batch["scores"]] == [pytest.approx(wanted, abs=1e-9)] * 3


def test_the_peer_with_a_database_keeps_a_row(
    wanted: list[float], database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One a request."""
    monkeypatch.setenv("QF_DATABASE_URL", database)
    answer = TestClient(peers().fastapi_df_insert).post("/v1/score", json=APPLICANT)
    assert probabilities(answer.content) == pytest.approx(wanted, abs=1e-9)
    with peers().FREE.get_nowait() as link:
        assert link.execute("SELECT count(*)::int FROM peer_prediction").fetchone() == (1,)


@pytest.mark.parametrize(
    ("said", "wanted", "right"),
    [
        ([0.2, 0.3, 0.5], [0.2 + TOLERANCE / 2, 0.3, 0.5], True),
        ([0.2, 0.3, 0.5], [0.2 + TOLERANCE * 2, 0.3, 0.5], False),
        ([0.2, 0.8], [0.2, 0.3, 0.5], False),
        ([1, 0], [1, 0], True),
        ([1, 0], [1, 1], False),
        (["Good"], ["Poor"], False),
        (b"{}", b"{}", True),
        (b"{}", b"{ }", False),
    ],
)
def test_a_wrong_answer_is_told_from_a_right_one(said: object, wanted: object, right: bool) -> None:
    """Probabilities to the tolerance, classes and bytes exactly."""
    assert same(said, wanted) is right
