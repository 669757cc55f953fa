"""A promise that is not kept is found: each is broken once here, and the run ends with 1 at the first."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance import __main__ as acceptance
from tests.acceptance import lost_runs, new_quarter, promises
from tests.acceptance.running_stack import Broken, RunningStack, Skipped

RETENTION = {"id": "d1", "name": "retention", "schedules": [{"id": "s1", "active": True}]}
RUN = {"id": "r1", "name": "a run", "created_by": {"id": "s1"}, "state": {"type": "COMPLETED"}}


class BrokenStack(RunningStack):
    """A stack whose Prefect answers as a test says; a request it does not know fails the test."""

    def __init__(self, answers: dict[str, Any], folder: Path, status: tuple[int, str] = (0, "all is well")) -> None:
        # pylint: disable=super-init-not-called  # there is no stack to read addresses of
        def answer(request: httpx.Request) -> httpx.Response:
            found = answers[f"{request.method} {request.url.path.removeprefix('/api')}"]
            return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

        self.prefect = httpx.Client(base_url="http://prefect.test/api", transport=httpx.MockTransport(answer))
        self.home = self.state = folder
        self.api_url, self.key = "http://api.test", "a key"
        self._status = status
        (folder / "logs").mkdir()
        self._log_sizes = {}

    def shell(self, command: str, *_: Any, **__: Any) -> tuple[int, str]:
        """What `make status` says."""
        assert command == "make status"
        return self._status


@pytest.fixture(name="broken")
def _broken(tmp_path: Path) -> Callable[..., BrokenStack]:
    """A stack with these answers."""
    return lambda answers, **more: BrokenStack(answers, tmp_path, **more)


def test_a_schedule_that_is_not_planned_is_found(broken: Callable[..., BrokenStack]) -> None:
    """As with a scheduler whose every loop fails; the deployment is named."""
    stack = broken({"POST /flow_runs/filter": [], "POST /deployments/filter": [RETENTION]})

    with pytest.raises(Broken, match="a schedule of retention is active and has no planned run"):
        promises.schedules_are_planned(stack)


def test_a_red_status_is_found(broken: Callable[..., BrokenStack]) -> None:
    """Its last line is the reason."""
    answers = {"POST /flow_runs/filter": [RUN], "POST /deployments/filter": [RETENTION]}
    stack = broken(answers, status=(2, "api running\nchampion is version 2, version 1 answers\nmake: *** Error 1\n"))

    with pytest.raises(Broken, match="^champion is version 2, version 1 answers$"):
        promises.schedules_are_planned(stack)


def test_a_schedule_that_does_not_fire_is_found(
    broken: Callable[..., BrokenStack], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the schedule that was added for it is taken away all the same."""
    monkeypatch.setattr(promises, "FIRING_S", 0.05)
    stack = broken(
        {
            "POST /deployments/filter": [RETENTION],
            "POST /deployments/d1/schedules": [{"id": "s9"}],
            "POST /flow_runs/filter": [RUN],
            "DELETE /deployments/d1/schedules/s9": httpx.Response(204),
        }
    )

    with pytest.raises(Broken, match="no run of it was completed"):
        list(promises.a_schedule_fires(stack))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(httpx.Response(201, json=RUN), "training takes", id="taken"),
        pytest.param(httpx.Response(409, json={"detail": "wrong"}), "without naming", id="no-field"),
    ],
)
def test_a_form_that_takes_anything_is_found(
    broken: Callable[..., BrokenStack], answer: httpx.Response, says: str
) -> None:
    """A run that was started, or a refusal that names no field."""
    stack = broken({"POST /deployments/filter": [RETENTION], "POST /deployments/d1/create_flow_run": answer})

    with pytest.raises(Broken, match=says):
        promises.forms_refuse(stack)


def test_a_form_that_nobody_asks_about_is_found(broken: Callable[..., BrokenStack]) -> None:
    """A deployment that was added without its question."""
    stack = broken({"POST /deployments/filter": [RETENTION, {**RETENTION, "name": "billing"}]})

    with pytest.raises(Broken, match="that the form of billing must refuse"):
        promises.forms_refuse(stack)


def test_a_click_that_fails_is_found(broken: Callable[..., BrokenStack]) -> None:
    """One status of 503 among two hundred clicks."""
    stack = broken(
        {
            "POST /variables/filter": [{"id": "v1"}],
            "POST /deployments/filter": [RETENTION],
            "POST /deployments/d1/create_flow_run": RUN,
            "POST /flow_runs/filter": [RUN],
            "POST /logs/filter": [],
            "GET /flow_runs/r1": RUN,
            "PATCH /variables/v1": httpx.Response(503),
            "DELETE /variables/v1": httpx.Response(204),
        }
    )

    with pytest.raises(Broken, match="50 of 200 clicks failed: PATCH /api/variables/v1: 503"):
        promises.clicks_are_answered(stack)


def test_a_run_that_crashes_is_found(broken: Callable[..., BrokenStack]) -> None:
    """With the state's message, which is what a person is told."""
    crashed = {**RUN, "state": {"type": "CRASHED", "message": "Nanny failed to start."}}
    stack = broken(
        {
            "POST /deployments/filter": [RETENTION],
            "POST /deployments/d1/create_flow_run": RUN,
            "GET /flow_runs/r1": crashed,
        }
    )

    with pytest.raises(Broken, match="retention ended crashed: Nanny failed to start."):
        promises.personal_data_goes(stack)


def test_a_run_that_fails_without_a_message_is_told_by_its_log(broken: Callable[..., BrokenStack]) -> None:
    """Whoever reads the one line must know where to look, also where nothing was written."""
    for logged, says in (([{"message": "port is\n taken"}], "failed: port is taken"), ([], "failed: it says nothing")):
        failed = {**RUN, "state": {"type": "FAILED", "message": None}}
        stack = broken({"GET /flow_runs/r1": failed, "POST /logs/filter": logged})
        assert stack.reason("r1") == says
        stack.state.joinpath("logs").rmdir()


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        pytest.param("Nothing fitted: no outcomes, 100 missing.", "the run says: Nothing fitted", id="lost-outcomes"),
        pytest.param(
            "Version 9 is the challenger; one number was fitted on 120 outcomes",
            "registered a version",
            id="registered",
        ),
    ],
)
def test_outcomes_that_change_nothing_are_found(
    broken: Callable[..., BrokenStack], monkeypatch: pytest.MonkeyPatch, shown: str, says: str
) -> None:
    """Outcomes that are taken and never reach the run, and a version that nobody asked for."""
    asked: list[str] = []

    def api(_: httpx.Client, path: str, body: Mapping[str, Any]) -> Any:
        asked.append(path)
        rows = body.get("applicants", ())
        return {"scores": [{"prediction_id": "p", "predicted_class": "Poor"} for _ in rows]}

    monkeypatch.setattr(new_quarter, "_asked", api)
    monkeypatch.setattr(new_quarter, "SHIPPED_S", 0.0)
    stack = broken(
        {
            "POST /deployments/filter": [RETENTION],
            "POST /deployments/d1/create_flow_run": RUN,
            "GET /flow_runs/r1": RUN,
            "POST /artifacts/filter": [{"data": shown}],
        }
    )

    with pytest.raises(Broken, match=says):
        new_quarter.outcomes_recalibrate(stack)

    assert asked.count("/v1/outcomes") == new_quarter.OUTCOMES


@pytest.mark.parametrize(
    "line",
    [
        "2 | ERROR   | Can't evaluate bulk DML",
        "ERROR:    Exception in ASGI application",
        "2026/11/26 10:58:59 juicefs[1] <FATAL>: no space left",
    ],
    ids=["prefect", "mlflow", "store"],
)
def test_an_error_in_a_log_is_found(broken: Callable[..., BrokenStack], tmp_path: Path, line: str) -> None:
    """With the part's name, as each part writes it; a warning is none, nor what is no word of its own."""
    stack = broken({})
    (tmp_path / "logs" / "part.log").write_text(f"1 | WARNING | slow\nNO_ERRORS\n{line}\n")

    with pytest.raises(Broken, match=f"^1 errors, the first: part: {re.escape(line)}"):
        promises.logs_are_clean(stack)


@pytest.mark.parametrize(
    "explanation", ["not measured: data", "degenerate, not a number: share of Poor of band 2"], ids=["lost", "NaN"]
)
def test_a_check_without_its_figures_is_found(broken: Callable[..., BrokenStack], explanation: str) -> None:
    """As when one value of the evidence is not a number; the check says which."""
    rows = [
        {"check": "rps", "result": "failed", "explanation": "rps 0.12, +2.26% against champion 1"},
        {"check": "bands", "result": "failed", "explanation": explanation},
    ]
    stack = broken({"POST /artifacts/filter": [{"data": json.dumps(rows)}]})

    with pytest.raises(Broken, match=f"^release check bands: {explanation}$"):
        promises.checks_are_measured(stack, "r1")


@pytest.mark.parametrize(
    ("state", "says"),
    [
        pytest.param("COMPLETED", "ended before it could be cut off, completed: it says nothing", id="too-short"),
        pytest.param("RUNNING", "run r1 is not over after", id="not-healed"),
    ],
)
def test_a_lost_run_that_stays_is_found(
    broken: Callable[..., BrokenStack], monkeypatch: pytest.MonkeyPatch, state: str, says: str
) -> None:
    """A real process that carries the run's id is stopped in the middle, and is gone when the question is over."""
    monkeypatch.setattr(lost_runs, "HEALED_S", 0.05)
    answers = {
        "POST /logs/filter": [],
        "POST /deployments/filter": [{**RETENTION, "name": "training"}],
        "POST /deployments/d1/create_flow_run": RUN,
        "GET /flow_runs/r1": {**RUN, "state": {"type": state}},
    }
    with subprocess.Popen(["sleep", "60"], env={**os.environ, lost_runs.MARK: "r1"}) as process:
        try:
            with pytest.raises(Broken, match=says):
                list(lost_runs.lost_runs_are_healed(broken(answers)))
            assert state == "COMPLETED" or process.wait(30) == -signal.SIGKILL
        finally:
            process.kill()


def test_what_takes_its_time_is_asked_beside_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is begun after the first promise, and taken back where another is broken meanwhile."""
    asked: list[str] = []

    def slow(_: object) -> Generator[None]:
        """Slow."""
        asked.append("begun")
        try:
            yield
            asked.append("waited")
        finally:
            asked.append("taken back")

    def quick(_: object) -> None:
        """Quick."""
        asked.append("quick")

    def wrong(_: object) -> None:
        """Wrong."""
        raise Broken("it does not")

    monkeypatch.setattr(acceptance, "RunningStack", object)
    monkeypatch.setattr("sys.argv", ["acceptance"])
    monkeypatch.setattr(acceptance, "PROMISES", (quick, quick, slow))

    assert acceptance.main() == 0
    assert asked == ["quick", "begun", "quick", "waited", "taken back"]
    assert [line.split(" (")[0] for line in capsys.readouterr().out.splitlines()][:3] == [
        "kept   Quick.",
        "kept   Quick.",
        "kept   Slow.",
    ]

    asked.clear()
    monkeypatch.setattr(acceptance, "PROMISES", (quick, wrong, slow))

    assert acceptance.main() == 1
    assert asked == ["quick", "begun", "taken back"]


def test_what_is_broken_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody answers, the line says where; a browser's call log does not break it."""

    def silent(_: object) -> None:
        """First."""
        raise httpx.ConnectError("refused", request=httpx.Request("GET", "http://127.0.0.1:9/v1/model"))

    def log(_: object) -> None:
        """First."""
        raise TimeoutError("Timeout exceeded.\nCall log:\n  - waiting for locator")

    monkeypatch.setattr(acceptance, "RunningStack", object)
    monkeypatch.setattr("sys.argv", ["acceptance"])
    for promise in (silent, log):
        monkeypatch.setattr(acceptance, "PROMISES", (promise,))
        assert acceptance.main() == 1

    assert capsys.readouterr().out.splitlines() == [
        "BROKEN First. ConnectError at http://127.0.0.1:9/v1/model: refused (0 s)",
        "BROKEN First. TimeoutError: Timeout exceeded. Call log: - waiting for locator (0 s)",
    ]


def test_a_promise_that_is_misspelt_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing asked is not everything kept: the run names the promises there are."""
    monkeypatch.setattr(acceptance, "RunningStack", object)
    monkeypatch.setattr("sys.argv", ["acceptance", "the_moon_is_rond"])

    with pytest.raises(SystemExit) as refused:
        acceptance.main()

    assert refused.value.code == 2
    assert "no promise is called the_moon_is_rond" in capsys.readouterr().err


def test_the_run_ends_at_the_first_that_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line a promise; what cannot be asked here is said; what comes after a broken one is not asked."""
    asked: list[str] = []

    def kept(_: object) -> None:
        """First."""
        asked.append("first")

    def absent(_: object) -> None:
        """Second."""
        raise Skipped("there is no Chromium here")

    def wrong(_: object) -> None:
        """Third."""
        raise Broken(json.dumps("it does not"))

    monkeypatch.setattr(acceptance, "RunningStack", object)
    monkeypatch.setattr(acceptance, "PROMISES", (kept, absent, wrong, kept))
    monkeypatch.setattr("sys.argv", ["acceptance"])

    assert acceptance.main() == 1

    lines = capsys.readouterr().out.splitlines()
    assert [line.split("(")[0].strip() for line in lines] == [
        "kept   First.",
        "not asked Second. there is no Chromium here",
        'BROKEN Third. Broken: "it does not"',
    ]
    assert asked == ["first"]
