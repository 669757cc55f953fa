"""A new challenger, whichever flow made it: registered from its run, and told to whoever listens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from bentos.registry.version import Version
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings
from flows.review.mlflow_run import Logged

REGISTERED: Final = "quantumfinance.model.registered"


@task(task_run_name="register the challenger", cache_policy=NO_CACHE)
def register(settings: BentosSettings, logged: Logged, package: Path, tags: Mapping[str, str]) -> Version:
    """The new challenger."""
    registry = Registry.connect(settings)
    return registry.register(logged.run_id, package, tags={**tags, "run_id": logged.run_id}, source=logged.model_uri)


def announce(version: Version) -> None:
    """Tell whoever listens that there is a challenger: the registration deployment does."""
    emit_event(
        event=REGISTERED,
        resource={"prefect.resource.id": f"quantumfinance.model.{version.number}"},
        payload={"version": version.number, "digest": version.digest},
    )
