"""The drift state for Prometheus: pushed to a gateway where one is named, since a flow does not live to be scraped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

from flows.monitoring.history import WindowVerdict
from flows.monitoring.verdict_types import SEVERITY

JOB: Final = "drift"
_VERSION, _COLUMN = ("version",), ("version", "column")
FAMILIES: Final = {
    "qf_drift_state": ("State of the last window: 0 green, 1 insufficient, 2 amber, 3 red.", _VERSION),
    "qf_drift_rows": ("Predictions of the last window.", _VERSION),
    "qf_drift_judged_timestamp_seconds": ("When the last window was judged.", _VERSION),
    "qf_drift_column_state": ("State of a column in the last window, numbered as the window's.", _COLUMN),
    "qf_drift_psi": ("Population stability index of a column in the last window.", _COLUMN),
    "qf_drift_missing_ratio": ("Share of rows without a value of this column in the last window.", _COLUMN),
    "qf_drift_check": ("Figure of a check of the whole window.", ("version", "check")),
}


def registry_of(verdicts: Sequence[WindowVerdict]) -> CollectorRegistry:
    """The verdicts as gauges, labelled by model version, column and metric; no applicant is in any of them."""
    registry = CollectorRegistry()
    gauges = {name: Gauge(name, text, labels, registry=registry) for name, (text, labels) in FAMILIES.items()}
    for verdict in verdicts:
        version = verdict.model.version
        gauges["qf_drift_state"].labels(version).set(SEVERITY[verdict.state])
        gauges["qf_drift_judged_timestamp_seconds"].labels(version).set(verdict.made_at.timestamp())
        gauges["qf_drift_rows"].labels(version).set(verdict.rows)
        for column in verdict.columns:
            gauges["qf_drift_column_state"].labels(version, column.name).set(SEVERITY[column.state])
            if column.psi is not None:
                gauges["qf_drift_psi"].labels(version, column.name).set(column.psi)
            if column.missing_current is not None:
                gauges["qf_drift_missing_ratio"].labels(version, column.name).set(column.missing_current)
        for check in verdict.checks:
            if check.value is not None:
                gauges["qf_drift_check"].labels(version, check.name).set(check.value)
    return registry


def push(verdicts: Sequence[WindowVerdict], gateway: str) -> None:
    """Send the verdicts to the push gateway at `gateway` (host:port or URL), in place of those before.

    Raises:
        OSError: the gateway does not answer.
    """
    push_to_gateway(gateway, job=JOB, registry=registry_of(verdicts))
