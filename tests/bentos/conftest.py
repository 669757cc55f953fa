"""Registries of their own for tests, all on one real MLflow server; hosts to deploy to."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.deploying.state import StateFile
from bentos.registry.decision import Decision
from bentos.registry.version import Version
from bentos.registry.versions import PACKAGE, Registry
from bentos.settings import BentosSettings
from tests.bentos.hosts import StandInHost, passing
from tests.signing import approval, trust


@pytest.fixture
def settings(mlflow_server: str, tmp_path: Path) -> BentosSettings:
    """Settings of a registered model that no other test uses; the tests' reviewers are on its list."""
    made = BentosSettings(
        tracking_uri=mlflow_server, state_dir=tmp_path / "state", model_name=f"credit-score-{uuid.uuid4().hex[:8]}"
    )
    trust(made.reviewers_file)
    return made


@pytest.fixture
def registry(settings: BentosSettings) -> Registry:
    """An empty registry."""
    return Registry.connect(settings)


@pytest.fixture
def logged(registry: Registry, tmp_path: Path) -> Callable[..., tuple[str, Path]]:
    """Make a run that logged a package: its id and the package's folder."""

    def make(content: bytes = b"model") -> tuple[str, Path]:
        client = registry._client  # pylint: disable=protected-access  # the run is training's work, not the registry's
        experiment = client.get_experiment_by_name("tests")
        run = client.create_run(experiment.experiment_id if experiment else client.create_experiment("tests"))
        package = tmp_path / f"package-{uuid.uuid4().hex[:8]}"
        package.mkdir()
        (package / "model.cbm").write_bytes(content)
        (package / "model_metadata.json").write_text("{}")
        client.log_artifacts(run.info.run_id, str(package), PACKAGE)
        return run.info.run_id, package

    return make


@pytest.fixture
def decide() -> Callable[..., Decision]:
    """A decision about a version, approving unless told otherwise."""

    def make(version: Version, **changes: object) -> Decision:
        base = {"version": version.number, "digest": version.digest, "verdict": "approve", "reviewer": "ana"}
        fields = base | {"at": datetime(2026, 11, 23, tzinfo=UTC), "trainer": "bob"} | changes
        decision = Decision.model_validate(fields)
        return approval(decision, version) if decision.approved else decision

    return make


@pytest.fixture
def host(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[StandInHost]:
    """A host of this test alone."""
    with passing(StandInHost(tmp_path, require_program("nginx"))) as made:
        yield made


@pytest.fixture(scope="module", name="busy")
def _busy(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[[str], str]) -> Iterator[StandInHost]:
    """A host whose blue serves version 1, whatever the tests before tried on it."""
    with passing(StandInHost(tmp_path_factory.mktemp("busy"), require_program("nginx"))) as made:
        made.deploy(1)
        yield made


@pytest.fixture
def settled(busy: StandInHost) -> Iterator[StandInHost]:
    """The busy host, with the settings it began with and blue in front of partners afterwards too."""
    kept = busy.settings
    yield busy
    busy.settings = kept
    assert busy.serves() == "1"
    assert busy.running("green") == 0
    assert StateFile(kept.deploy_dir).read().trial is None
