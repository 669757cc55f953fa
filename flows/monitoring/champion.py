"""The champion as monitoring sees it: which version should answer, and whether its override runs out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

if TYPE_CHECKING:
    from bentos.registry.versions import Registry

OVERRIDE_ENDS: Final = "quantumfinance.model.override_ends"
NOTICE: Final = timedelta(days=14)
FAMILIES: Final = {
    "qf_champion_info": "The version that is approved to answer.",
    "qf_override_expires_timestamp_seconds": "When the override of the champion's failed checks ends; absent: none.",
}


@dataclass(frozen=True)
class ChampionState:
    """The approved version, and the last day of the override that let it out, if one did."""

    version: int
    expires: date | None = None

    def warning(self, today: date) -> str:
        """One red line where the override ends within two weeks or has ended; empty else."""
        if self.expires is None or self.expires - today > NOTICE:
            return ""
        title = f"The override of champion {self.version}"
        if today > self.expires:
            return (
                f"{title} ended on {self.expires}: it is neither packed nor deployed any more; approve another version."
            )
        return f"{title} ends on {self.expires}: approve another version, or decide on this one again."


def champion_state(registry: Registry) -> ChampionState | None:
    """The champion and its override; None where there is no champion.

    Of a version that somebody moved the alias to nothing is known but its number.
    """
    from bentos.registry.versions import CHAMPION

    version = registry.find(CHAMPION)
    if version is None:
        return None
    if alias_fault(registry):
        return ChampionState(version.number)
    decision = registry.decision(version)
    return ChampionState(version.number, decision.override_expires if decision.overridden else None)


def alias_fault(registry: Registry) -> str:
    """Why the champion's alias is not believed; empty if it is. Monitoring reads on, whatever it is."""
    from bentos.errors import TrailBroken

    try:
        return registry.alias_fault()
    except TrailBroken as error:
        return str(error)


def watch(registry: Registry, gateway: str, today: date) -> ChampionState | None:
    """Show and tell what is to be known of the champion; the gateway is told where one is named."""
    if moved := alias_fault(registry):
        get_run_logger().error(moved)
        create_markdown_artifact(f"**🔴 {moved}**", key="drift-champion", description="An alias that was moved")
    state = champion_state(registry)
    if state is None:
        return None
    if warning := state.warning(today):
        get_run_logger().error(warning)
        create_markdown_artifact(f"**🔴 {warning}**", key="drift-override", description="An override that ends")
        emit_event(
            event=OVERRIDE_ENDS,
            resource={"prefect.resource.id": f"quantumfinance.model.{state.version}"},
            payload={
                "version": state.version,
                "expires": str(state.expires),
                "ended": today > (state.expires or today),
            },
            id=uuid.uuid5(uuid.NAMESPACE_URL, f"override/{state.version}/{state.expires}/{today}"),
        )
    if gateway:
        try:
            push_to_gateway(gateway, job="champion", registry=registry_of(state))
        except OSError as error:
            get_run_logger().error("the push gateway %s does not answer: %s", gateway, error)
    return state


def registry_of(state: ChampionState) -> CollectorRegistry:
    """The state as gauges."""
    registry = CollectorRegistry()
    info, ends = FAMILIES
    Gauge(info, FAMILIES[info], ("version",), registry=registry).labels(str(state.version)).set(1)
    if state.expires is not None:
        last = datetime.combine(state.expires + timedelta(days=1), time(), UTC).timestamp()
        Gauge(ends, FAMILIES[ends], ("version",), registry=registry).labels(str(state.version)).set(last)
    return registry
