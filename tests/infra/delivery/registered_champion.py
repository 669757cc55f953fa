"""A champion in a real registry, made the way training and registration make one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bentos.registry.decision import Decision
from bentos.registry.version import Version
from bentos.registry.versions import PACKAGE, Registry
from tests.signing import approval, trust


def champion_of(registry: Registry, folder: Path, metrics: Mapping[str, float], *, expected: int = 0) -> Version:
    """A new version with a run that logged these metrics, approved and champion in place of `expected`."""
    version = registry.register(*logged_package(registry, folder, metrics), tags={"trainer": "bob"})
    fields = {"version": version.number, "digest": version.digest, "verdict": "approve", "reviewer": "ana"}
    decision = Decision.model_validate(fields | {"trainer": "bob", "at": datetime(2026, 11, 23, tzinfo=UTC)})
    if registry._reviewers is not None:  # pylint: disable=protected-access  # whom this registry believes
        trust(registry._reviewers)  # pylint: disable=protected-access
    return registry.promote(approval(decision, version), expected=expected)


def logged_package(registry: Registry, folder: Path, metrics: Mapping[str, float]) -> tuple[str, Path]:
    """A run that logged these metrics and a package: its id, and the package's folder."""
    client = registry._client  # pylint: disable=protected-access  # the run is training's work, not the registry's
    experiment = client.get_experiment_by_name("tests")
    run = client.create_run(experiment.experiment_id if experiment else client.create_experiment("tests")).info
    for name, value in metrics.items():
        client.log_metric(run.run_id, name, value)
    package = folder / f"package-{uuid.uuid4().hex[:8]}"
    package.mkdir()
    (package / "model.cbm").write_bytes(uuid.uuid4().bytes)
    (package / "model_metadata.json").write_text("{}")
    client.log_artifacts(run.run_id, str(package), PACKAGE)
    return run.run_id, package
