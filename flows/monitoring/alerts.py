"""What a verdict sets in motion: one alert per change of state, a recalibration where probabilities stopped coming
true, and a training where performance is red."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from prefect.events import emit_event
from prefect.logging import get_run_logger

from flows.destinations import require_outside
from flows.monitoring.history import RUNBOOK_PLACE, History, WindowVerdict, summary_markdown
from flows.monitoring.verdict_types import DriftRule, DriftState
from flows.monitoring.window_rules import worst_columns
from flows.monitoring.window_settings import DriftSettings
from flows.settings import FlowSettings
from service.addresses import Networks, networks

DRIFT_DETECTED: Final = "quantumfinance.drift.detected"


def announce(verdict: WindowVerdict, notify: Sequence[str], settings: FlowSettings, report: str) -> None:
    """Tell people: a Prefect event, and the summary through the notification blocks `type/name`.

    The event's id follows from the verdict, so a run that is repeated after a crash emits the same event.
    """
    emit_event(
        event=DRIFT_DETECTED,
        resource={"prefect.resource.id": f"quantumfinance.model.{verdict.model.version}"},
        payload={
            "state": verdict.state,
            "version": verdict.model.version,
            "window": {edge: day.isoformat() for edge, day in verdict.window.items()},
            "reasons": list(verdict.reasons),
            "worst_columns": [column.name for column in worst_columns(verdict.columns)],
            "runbook": settings.runbook_url + RUNBOOK_PLACE,
        },
        id=uuid.uuid5(uuid.NAMESPACE_URL, "/".join(verdict.identity)),
    )
    allowed = networks(settings.notify_networks)
    for name in notify:
        _notify(name, verdict, summary_markdown(verdict, settings.runbook_url, report), allowed)


def check_blocks(notify: Sequence[str]) -> None:
    """Say in every run which notification blocks cannot be used: else nobody hears of it before an alarm is lost."""
    from prefect.blocks.core import Block

    for name in notify:
        try:
            Block.load(name)
        except Exception as error:  # pylint: disable=broad-exception-caught  # blocks raise anything; the run goes on
            get_run_logger().error("notification block %s cannot be used: %s", name, error)


def _notify(block_name: str, verdict: WindowVerdict, text: str, allowed: Networks) -> None:
    """Send the text through one block; a block that fails, or points inwards, is logged, not fatal."""
    from prefect.blocks.core import Block

    try:
        block: Any = Block.load(block_name)
        require_outside(block, allowed)
        block.notify(body=text, subject=f"Drift of model version {verdict.model.version}: {verdict.state}")
    except Exception as error:  # pylint: disable=broad-exception-caught  # blocks raise anything; the verdict lands
        get_run_logger().error("notification block %s failed: %s", block_name, error)


def may_retrain(verdict: WindowVerdict, history: History, settings: DriftSettings, today: date) -> bool:
    """True if training starts by itself: red on performance, data sound, and not within the cool-down. Pure."""
    recent = any(m.retrained and (today - m.made_at.date()).days < settings.cooldown_days for m in history.moments)
    return settings.retrain and verdict.performance_red and not verdict.data_quality_red and not recent


def may_recalibrate(verdict: WindowVerdict, history: History, settings: DriftSettings, today: date) -> bool:
    """True if a recalibration starts by itself: red performance, or a band or known customers out of calibration.

    Never on unsound data, nor within the cool-down."""
    uncalibrated = any(
        check.rule is DriftRule.CALIBRATION and check.state is not DriftState.GREEN for check in verdict.checks
    )
    uncalibrated = uncalibrated or any(one.state is DriftState.RED for one in verdict.known)
    recent = any(m.recalibrated and (today - m.made_at.date()).days < settings.cooldown_days for m in history.moments)
    moved = verdict.performance_red or uncalibrated
    return settings.recalibrate and moved and not verdict.data_quality_red and not recent


def start_recalibration(verdict: WindowVerdict) -> None:
    """Start the recalibration deployment and do not wait; what it registers still needs a person's approval."""
    from prefect.deployments import run_deployment

    run_deployment("recalibration/recalibration", timeout=0, as_subflow=False)
    get_run_logger().warning(
        "probabilities of version %s stopped coming true: recalibration started", verdict.model.version
    )


def start_training(verdict: WindowVerdict) -> None:
    """Start the training deployment and do not wait; what it trains still needs a person's approval."""
    from prefect.deployments import run_deployment

    run_deployment("training/training", timeout=0, as_subflow=False)
    get_run_logger().warning(
        "performance is red: training started for the successor of version %s", verdict.model.version
    )
