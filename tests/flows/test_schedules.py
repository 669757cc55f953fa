"""Whether what is scheduled will run, told from the server's JSON; and a schedule that really fires."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import schedules
from infra.stack import prefect_api
from tests.conftest import LOGINS
from tests.ticking import fired, ticking

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def deployment(**changes: Any) -> dict[str, Any]:
    """A deployment of one hourly schedule, as the server tells it."""
    schedule = {"id": "s1", "slug": "hourly", "active": True, "created": "2026-11-01T00:00:00Z", "schedule": {}}
    return {"id": "d1", "name": "drift", "paused": False, "schedules": [schedule]} | changes


def run(hours: float, cause: str = "s1") -> dict[str, Any]:
    """A run that a schedule planned, so many hours from now."""
    at = (NOW + timedelta(hours=hours)).isoformat()
    return {"expected_start_time": at, "created_by": {"id": cause, "type": "SCHEDULE"}}


def server(deployments: list[dict[str, Any]], runs: list[dict[str, Any]]) -> schedules.Ask:
    """A server that tells of these, in pages."""

    def ask(path: str, body: Mapping[str, Any], /) -> Any:
        rows = deployments if path.startswith("/deployments") else runs
        begin = int(body.get("offset", 0))
        return rows[begin : begin + int(body["limit"])]

    return ask


@pytest.mark.parametrize(
    ("runs", "fault"),
    [
        pytest.param([run(-0.5), run(0.5), run(1.5), run(2.5)], "", id="three to come"),
        pytest.param([], "drift (hourly) has no planned run", id="none"),
        pytest.param([run(-0.5)], "drift (hourly) has no planned run", id="only what is over"),
        pytest.param([run(1, "s2")], "drift (hourly) has no planned run", id="another schedule's"),
        pytest.param([run(1, ""), run(2, "")], "drift (hourly) has no planned run", id="a person's"),
        pytest.param([run(-0.01), run(1), run(2)], "", id="one has just begun"),
        pytest.param(
            [run(-0.5), run(0.5), run(1.5)],
            "drift (hourly) has 2 planned runs and gets no more: the scheduler's loop fails",
            id="the loop stands",
        ),
    ],
)
def test_a_schedule_that_will_not_fire_is_named(runs: list[dict[str, Any]], fault: str) -> None:
    """No planned run, or too few for longer than the planner needs: one line that names deployment and schedule."""
    found = schedules.active(server([deployment()], runs), NOW)

    assert schedules.faults(found, NOW) == ([fault] if fault else [])


@pytest.mark.parametrize(
    "changes", [{"paused": True}, {"schedules": []}, {"schedules": [{"id": "s1", "active": False}]}], ids=str
)
def test_what_a_person_switched_off_promises_nothing(changes: dict[str, Any]) -> None:
    """Paused deployments and inactive schedules are no fault."""
    assert not schedules.active(server([deployment(**changes)], []), NOW)


def test_runs_beyond_the_first_page_are_found() -> None:
    """Several hundred runs of another schedule do not hide the one that matters."""
    others = [run(index / 100, "s2") for index in range(450)]

    (found,) = schedules.active(server([deployment()], [*others, run(100), run(101), run(102)]), NOW)

    assert len(found.planned) == 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_one_minute_schedule_really_runs(prefect_server: str, tmp_path: Path) -> None:
    """The scheduler plans, the runner takes, the run is completed; and nothing is amiss with the schedule."""
    with (
        ticking(tmp_path, {"PREFECT_API_URL": prefect_server, "PREFECT_API_AUTH_STRING": LOGINS.prefect_auth}),
        prefect_api.client(prefect_server.removesuffix("/api"), LOGINS.prefect_auth) as http,
    ):
        assert fired(http)["run_count"] == 1

        found = schedules.active(lambda path, body: http.post(path, json=dict(body)).json(), datetime.now(UTC))

    assert [one.deployment for one in found if one.planned] == ["ticks"]
