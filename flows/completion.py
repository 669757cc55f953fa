"""Tells Prometheus that a run was completed: pushed to a gateway if one is named, since a flow ends before a scrape.

What did not happen shows as a time that does not move, or as a series that never came: infra/monitoring/rules.yml has
an alert for both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from prefect.logging.loggers import flow_run_logger
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

from flows import schedules
from flows.settings import FlowSettings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.flows import Flow

COMPLETED: Final = "qf_run_completed_timestamp_seconds"
PLANNED: Final = "qf_schedule_planned_runs"
FAMILIES: Final = {
    COMPLETED: "When a run of this deployment was completed last.",
    PLANNED: "Planned runs of an active schedule.",
}


def completed(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that a run of this deployment was completed, and how many runs each schedule has planned."""
    del state  # the hook is called for one state alone
    gateway = FlowSettings().pushgateway
    if not gateway:
        return
    try:
        push_to_gateway(gateway, job="flows", grouping_key={"deployment": flow.name}, registry=moment(time.time()))
        push_to_gateway(gateway, job="schedules", registry=planned(_schedules()))
    except OSError as error:
        flow_run_logger(flow_run, flow).error("the push gateway %s does not answer: %s", gateway, error)


def moment(at: float) -> CollectorRegistry:
    """When the run was completed; its deployment is the gateway's grouping key."""
    registry = CollectorRegistry()
    Gauge(COMPLETED, FAMILIES[COMPLETED], registry=registry).set(at)
    return registry


def planned(active: list[schedules.Schedule]) -> CollectorRegistry:
    """How many runs each active schedule has before it."""
    registry = CollectorRegistry()
    gauge = Gauge(PLANNED, FAMILIES[PLANNED], ("deployment", "schedule"), registry=registry)
    for one in active:
        gauge.labels(one.deployment, one.name).set(len(one.planned))
    return registry


def _schedules() -> list[schedules.Schedule]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:

        def ask(path: str, body: Mapping[str, Any]) -> Any:
            return client.request("POST", path, json=dict(body)).json()  # type: ignore[arg-type]  # any path of the API

        return schedules.active(ask, datetime.now(UTC))
