"""What the flows of three duties ask of Prefect, with the project's own functions and without a model or data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from prefect import flow, task
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.flow_runs import suspend_flow_run
from prefect.logging import get_run_logger

from flows import artifacts, schedules
from flows.monitoring import alerts
from flows.monitoring.history import WindowVerdict
from flows.retention import forget_runs
from flows.review.verdict_form import VerdictForm


@task(cache_policy=NO_CACHE)
def look() -> int:
    """A task with a line in the log."""
    get_run_logger().info("the task looked")
    return 1


@flow(name="duty-watch", flow_run_name="a watch")
def watch() -> None:
    """Drift: a task, artifacts, an event, a notification block, both runs that it starts, the schedules."""
    progress = artifacts.Progress("duty-progress", "Steps")
    look()
    progress.at(50)
    artifacts.show_text("duty-text", "# seen", "What was seen")
    emit_event(event=alerts.DRIFT_DETECTED, resource={"prefect.resource.id": "quantumfinance.model.1"})
    verdict = cast(WindowVerdict, SimpleNamespace(model=SimpleNamespace(version=1)))
    alerts.start_training(verdict)
    alerts.start_recalibration(verdict)
    with get_client(sync_client=True) as client:

        def ask(path: str, body: Any) -> Any:
            return client.request("POST", cast(Any, path), json=body).json()

        planned = schedules.active(ask, datetime.now(UTC))
    get_run_logger().info("schedules: %s, block: %s", len(planned), cast(Any, Secret.load("duty")).get())


@flow(name="duty-release")
def release() -> None:
    """Registration: a suspension for a person's verdict."""
    form = suspend_flow_run(
        wait_for_input=VerdictForm.with_initial_data(description="Well?", reviewer="", verdict="reject"),
        timeout=600,
        key="verdict-1-abc-against-0-1",
    )
    artifacts.show_text("duty-verdict", f"{form.verdict} by {form.reviewer}", "The verdict")


@flow(name="duty-retention")
def retention() -> None:
    """Retention: runs whose forms name whom they erased are deleted, as if two days had passed."""
    get_run_logger().info("forgotten: %s", forget_runs.fn(datetime.now(UTC) + timedelta(days=2)))
