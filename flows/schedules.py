"""Finds schedules that will not run, from the JSON that Prefect's server answers with.

The server's planner keeps at least three runs planned for each active schedule and looks once a minute. So a schedule
without a planned run never fires, and one that has fewer than three long after its last run has a planner that stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

MIN_PLANNED: Final = 3  # PREFECT_SERVER_SERVICES_SCHEDULER_MIN_RUNS, as the server has it unless told otherwise
PLANNER_PATIENCE: Final = timedelta(minutes=3)  # the planner looks once a minute, on a busy machine later
PAGE: Final = 200


class Ask(Protocol):
    """How to ask the server: POST a body to a path, get its JSON."""

    def __call__(self, path: str, body: Mapping[str, Any], /) -> Any: ...


@dataclass(frozen=True)
class Schedule:
    """An active schedule of a deployment, the times of its planned runs, and since when the planner knows of a gap."""

    deployment: str
    name: str
    planned: tuple[datetime, ...]
    start: datetime  # of the newest run, or of the schedule itself before its first

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"{self.deployment} ({self.name})"

    def fault(self, now: datetime) -> str:
        """Why it will not run as it should; empty if it will."""
        if not self.planned:
            return f"{self.title} has no planned run"
        if len(self.planned) < MIN_PLANNED and now - self.start > PLANNER_PATIENCE:
            return f"{self.title} has {len(self.planned)} planned runs and gets no more: the scheduler's loop fails"
        return ""


def active(ask: Ask, now: datetime) -> list[Schedule]:
    """Every active schedule of every deployment that is not paused."""
    deployments = [one for one in ask("/deployments/filter", {"limit": PAGE}) if not one.get("paused")]
    runs = list(_runs(ask, now))
    return [
        _schedule(one, schedule, [run for run in runs if _cause(run) == schedule["id"]], now)
        for one in sorted(deployments, key=lambda one: str(one["name"]))
        for schedule in one.get("schedules") or ()
        if schedule.get("active")
    ]


def faults(schedules: Iterable[Schedule], now: datetime) -> list[str]:
    """One line a schedule that will not run as it should."""
    return [fault for one in schedules if (fault := one.fault(now))]


def _schedule(
    deployment: Mapping[str, Any], schedule: Mapping[str, Any], runs: list[Mapping[str, Any]], now: datetime
) -> Schedule:
    times = sorted(_time(run["expected_start_time"]) for run in runs)
    known = [_time(schedule["created"])] if schedule.get("created") else []
    rule = schedule["schedule"]
    name = schedule.get("slug") or rule.get("cron") or rule.get("rrule") or f"every {rule.get('interval')} s"
    return Schedule(
        deployment=str(deployment["name"]),
        name=str(name),
        planned=tuple(time for time in times if time > now),
        start=max([*known, *(time for time in times if time <= now)], default=now),
    )


def _runs(ask: Ask, now: datetime) -> Iterator[Mapping[str, Any]]:
    """Runs that a schedule planned: those to come, and those of the last day."""
    query = {
        "flow_runs": {"expected_start_time": {"after_": (now - timedelta(days=1)).isoformat()}},
        "sort": "EXPECTED_START_TIME_ASC",
        "limit": PAGE,
    }
    offset = 0
    while page := ask("/flow_runs/filter", {**query, "offset": offset}):
        yield from page
        offset += len(page)
        if len(page) < PAGE:
            return


def _cause(run: Mapping[str, Any]) -> str:
    return str((run.get("created_by") or {}).get("id", ""))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
