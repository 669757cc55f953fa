"""The drift state for Prometheus: pushed to a gateway where one is named, since a flow does not live to be scraped."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

from flows.monitor import SEVERITY
from flows.verdicts import WindowVerdict

JOB: Final = "drift"
FAMILIES: Final = {
    "qf_drift_state": "State of the last window: 0 green, 1 insufficient, 2 amber, 3 red.",
    "qf_drift_psi": "Population stability index of a column in the last window.",
    "qf_drift_judged_timestamp_seconds": "When the last window was judged.",
}


def registry_of(verdict: WindowVerdict) -> CollectorRegistry:
    """The verdict as gauges, labelled by model version and column; no applicant is in any of them."""
    registry, version = CollectorRegistry(), verdict.model.version
    gauges = {
        name: Gauge(name, text, ["version", "column"] if name == "qf_drift_psi" else ["version"], registry=registry)
        for name, text in FAMILIES.items()
    }
    gauges["qf_drift_state"].labels(version).set(SEVERITY[verdict.state])
    gauges["qf_drift_judged_timestamp_seconds"].labels(version).set(verdict.made_at.timestamp())
    for column in verdict.columns:
        if column.psi is not None:
            gauges["qf_drift_psi"].labels(version, column.name).set(column.psi)
    return registry


def push(verdict: WindowVerdict, gateway: str) -> None:
    """Send the verdict to the push gateway at `gateway` (host:port or URL).

    Raises:
        OSError: the gateway does not answer.
    """
    push_to_gateway(gateway, job=JOB, registry=registry_of(verdict))
