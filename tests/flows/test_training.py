"""From prepared data to a proved Bento and scored files, on a real MLflow and a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from bentos.errors import ApprovalMissing, VersionMissing
from bentos.registry.audit_trail import Trail
from bentos.registry.catalogue import checks_file, documents_file
from bentos.registry.decision import Decision
from bentos.registry.evidence import text_sha256
from bentos.registry.products import DOCUMENTED, PACKED
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, Registry
from bentos.settings import BentosSettings
from flows.reproduce import NotReproduced, reproduce
from flows.reproduce import main as reproduced
from tests.flows.prepared_data import write_prepared
from tests.flows.training_place import training_place
from tests.signing import approval, trust

if TYPE_CHECKING:
    from mlflow.entities import Metric

HOME = Path(__file__).resolve().parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    # MLflow's own: it reads the type hints of its pyfunc wrapper while it checks the input example.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]


@pytest.fixture(scope="module")
def place(
    mlflow_server: str, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Registry, Path]]:
    """A registry of this module's own, and a folder with prepared data and state; flows see both by environment."""
    folder = tmp_path_factory.mktemp("training")
    with training_place(folder, mlflow_server, prefect_server) as patch:
        patch.setenv("BENTOML_HOME", str(folder / "bentoml"))
        patch.setenv("QF_SMOKE_TIMEOUT_S", "400")
        patch.delenv("REGISTRY", raising=False)
        yield Registry.connect(BentosSettings()), folder


@pytest.fixture(scope="module")
def histories() -> Iterator[list[str]]:
    """Names of the metrics whose history MLflow is asked for, each a request of its own."""
    from mlflow import MlflowClient

    names: list[str] = []
    ask = MlflowClient.get_metric_history

    def noted(client: MlflowClient, run_id: str, key: str) -> list[Metric]:
        names.append(key)
        return ask(client, run_id, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MlflowClient, "get_metric_history", noted)
        yield names


@pytest.fixture(scope="module")
def challenger(place: tuple[Registry, Path], histories: list[str]) -> Version:  # pylint: disable=unused-argument
    """The version that the training flow registers from these data."""
    from flows.learning.fit import Parameters
    from flows.training import training
    from flows.training_form import TrainingForm

    registry, folder = place
    recipe = Parameters(iterations=30, depth=4, folds=2)
    number = training(TrainingForm(data_dir=str(folder / "data"), learning=recipe, trainer="bob"))
    return registry.version(number)


@pytest.fixture(scope="module")
def champion(place: tuple[Registry, Path], challenger: Version) -> Version:
    """The challenger, approved on checks that are kept with it, and documented."""
    fields = {"version": challenger.number, "digest": challenger.digest, "verdict": "approve", "reviewer": "ana"}
    decision = Decision.model_validate(fields | {"trainer": "bob", "at": datetime(2026, 11, 23, tzinfo=UTC)})
    trust(BentosSettings(state_dir=place[1] / "state").reviewers_file)
    place[0].attach(challenger, checks_file(challenger.number, 0), "{}")
    place[0].keep(challenger, DOCUMENTED, documents_file(challenger.number), "{}", actor="ana")
    return place[0].promote(approval(decision, challenger, evidence=text_sha256("{}")), expected=0)


def test_packing_without_champion_or_approval_is_refused(place: tuple[Registry, Path], challenger: Version) -> None:
    """One line each, and nothing is built."""
    from flows.bento_packaging import packaging

    with pytest.raises(VersionMissing, match="no champion"):
        packaging()
    with pytest.raises(ApprovalMissing, match="has no verdict"):
        packaging(version=challenger.number)
    assert not (place[1] / "bentoml" / "bentos").exists()


def test_a_training_leaves_a_challenger_that_says_where_it_comes_from(
    place: tuple[Registry, Path], challenger: Version
) -> None:
    """Tags name trainer, data and code; the run holds package, evidence, card, pictures and every metric."""
    from flows.learning.model_metrics import METRICS

    registry, folder = place
    found = registry.by_alias(CHALLENGER)
    run = registry._client.get_run(found.run_id)  # pylint: disable=protected-access  # what a person sees in MLflow

    assert (found.number, found.trainer) == (challenger.number, "bob")
    assert len(found.tags["data_sha256"]) == 64 and found.tags["git_revision"]
    assert set(METRICS) <= set(run.data.metrics)
    assert "out_of_time.macro_f1" in run.data.metrics
    kept = folder / "kept"
    kept.mkdir()
    for path in ("evidence.json", "model_card.md", "pictures/confusion.png", "answers/unseen.parquet"):
        assert registry.run_file(found.run_id, path, kept).is_file()


def test_a_model_carries_its_figures_without_asking_for_each(
    place: tuple[Registry, Path], challenger: Version, histories: list[str]
) -> None:
    """MLflow's page of the model shows what its run shows; hundreds of requests for it made a training slower."""
    client = place[0]._client  # pylint: disable=protected-access  # what a person sees in MLflow
    run = client.get_run(challenger.run_id)
    [output] = run.outputs.model_outputs
    shown = {metric.key: metric.value for metric in client.get_logged_model(output.model_id).metrics}

    assert {name for name in run.data.metrics if not name.startswith("curve.")} <= set(shown)
    assert shown["macro_f1"] == run.data.metrics["macro_f1"]
    assert len(histories) < 10


def test_checks_without_champion_use_the_default_catboost(place: tuple[Registry, Path], challenger: Version) -> None:
    """Everything was measured: no check fails for want of evidence."""
    from flows.review.against_champion import checks_of

    checks = {check.code: check for check in checks_of(place[0], challenger, None)}

    assert "default CatBoost" in checks["macro_f1"].explanation
    assert not [code for code, check in checks.items() if "not measured" in check.explanation]


def test_the_run_is_reproduced_to_the_last_bit(place: tuple[Registry, Path], challenger: Version) -> None:
    """From what MLflow recorded; other data are told apart from another model."""
    registry, folder = place

    proof = reproduce(registry, challenger.run_id, home=HOME)

    assert proof.rows == 140 * 8
    assert proof.same_revision and not proof.differing_libraries
    other = write_prepared(folder / "other", customers=20, unseen=10)
    with pytest.raises(NotReproduced, match="holds other data"):
        reproduce(registry, challenger.run_id, other)


def test_a_run_that_trained_nothing_is_told_from_one_of_other_data(
    place: tuple[Registry, Path], challenger: Version, capsys: pytest.CaptureFixture[str]
) -> None:
    """A baseline's page in MLflow has an id too; and an id that was not given is no id."""
    registry, _ = place
    client = registry._client  # pylint: disable=protected-access  # what a person sees in MLflow
    baseline = next(
        run.info.run_id
        for run in client.search_runs([client.get_run(challenger.run_id).info.experiment_id])
        if "data_sha256" not in run.data.tags
    )

    with pytest.raises(NotReproduced, match="name a run of `training`"):
        reproduce(registry, baseline, home=HOME)
    with pytest.raises(SystemExit, match="2"):
        reproduced(["--run", ""])
    assert "RUN is not set: make reproduce RUN=" in capsys.readouterr().err


def test_checks_compare_with_the_champion(place: tuple[Registry, Path], champion: Version) -> None:
    """A version against itself differs in nothing; on other data the champion answers the challenger's rows."""
    from flows.review.against_champion import checks_of

    checks = {check.code: check for check in checks_of(place[0], champion, champion)}
    elsewhere = champion.model_copy(update={"tags": champion.tags | {"data_sha256": "0" * 64}})
    again = {check.code: check for check in checks_of(place[0], champion, elsewhere)}

    assert f"+0.0000 [+0.0000, +0.0000] against champion {champion.number}" in checks["macro_f1"].explanation
    assert again["macro_f1"].value == checks["macro_f1"].value == 0.0
    assert again["out_of_time"].value == 0.0


def test_the_champion_is_packed_and_proved(place: tuple[Registry, Path], champion: Version) -> None:
    """The Bento stands, answers as the approved model, is recorded, and is used again the next time."""
    from flows.bento_packaging import packaging

    registry = place[0]

    tag = packaging()
    again = packaging(version=champion.number)

    recorded = registry.by_alias(CHAMPION).tags
    assert tag == again == recorded["bento_tag"]
    assert len(recorded["bento_digest"]) == 64 and "image_digest" not in recorded
    lines = [line for line in Trail(BentosSettings().trail_file).entries() if line.event == PACKED]
    # Packed is not answering: what is served is chosen by who proved it in front of partners.
    assert [(line.artefact, line.content) for line in lines] == [(tag, recorded["bento_digest"])]


def test_other_bytes_in_the_champions_place_score_nothing(place: tuple[Registry, Path], champion: Version) -> None:
    """Package and tags in MLflow can be changed alike by whoever trains; the reviewer's signature is about neither."""
    from flows.scoring import ScoringForm, scoring

    form = ScoringForm(source=str(place[1] / "data" / "test.parquet"), target=str(place[1] / "never"), processes=1)
    place[0].record(champion, {"package_sha256": "0" * 64})
    try:
        with pytest.raises(ApprovalMissing, match="other bytes"):
            scoring(form)
    finally:
        place[0].record(champion, {"package_sha256": champion.package_sha256})
    assert not (place[1] / "never").exists()


def test_a_file_is_scored_with_the_champion(place: tuple[Registry, Path], champion: Version) -> None:
    """Every row of the file, with the champion's digest."""
    from flows.scoring import ScoringForm, scoring

    source = place[1] / "data" / "test.parquet"

    target = Path(scoring(ScoringForm(source=str(source), target=str(place[1] / "scored"), processes=1)))

    scored = pd.concat(pd.read_parquet(part) for part in sorted(target.glob("part-*.parquet")))
    assert len(scored) == 140 * 8 and set(scored["model_digest"]) == {champion.digest}
