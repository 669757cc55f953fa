"""Prefect runs from the outside: started, found, followed with their log, and resumed with a person's answers."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from infra.errors import StackError
from infra.stack import prefect_api

OVER: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
WAITING: Final = frozenset({"SCHEDULED", "PENDING"})
GOING: Final = WAITING | {"RUNNING"}  # a form whose answers arrived with a request that was answered 503
POLL_S: Final = 1.0
LAST_WORDS_S: Final = 2.5  # a flow sends its log in pieces, the last after its state
LAST_WORDS: Final = "Finished in state"
LOG_POLL_S: Final = 0.25
PICKUP_S: Final = 240.0  # a worker on a loaded machine needs a minute to start a run
INFO: Final = 20
LOG_PAGE: Final = 200
SPEAKERS: Final = frozenset({"prefect.flow_runs", "prefect.task_runs"})  # not the worker's own logistics
OBVIOUS: Final = (
    *("Running 1 deployment pull", "Executing deployment step", "Deployment step", "All deployment steps"),
    *(
        "Beginning flow run",
        "Finished in state Completed()",
        "Finished in state Suspended",
        "Running hook",
        "Hook '",
        "Suspending flow run",
    ),
)


@dataclass(frozen=True)
class Run:
    """One flow run as far as the demo cares."""

    id: str
    name: str
    state: str
    message: str
    parameters: Mapping[str, Any]
    created: datetime


class Runs:
    """The runs of one Prefect server."""

    def __init__(self, url: str, say: Callable[[str], None], auth: str | None = None) -> None:
        self.url = url
        self._say = say
        self._printed: dict[str, int] = {}
        self._http = prefect_api.client(url, auth)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def start(self, deployment: str, parameters: Mapping[str, Any]) -> Run:
        """Start a run of a deployment.

        Raises:
            StackError: the deployment is unknown or refuses the parameters.
        """
        identity = self._deployment(deployment)
        # The key makes one run of a request that is sent again.
        body = {"parameters": dict(parameters), "idempotency_key": uuid.uuid4().hex}
        return _run(self._post(f"/deployments/{identity}/create_flow_run", body))

    def find(self, deployment: str, suits: Callable[[Run], bool]) -> Run | None:
        """The newest run of a deployment that suits."""
        query = {
            "flow_runs": {"deployment_id": {"any_": [self._deployment(deployment)]}},
            "sort": "START_TIME_DESC",
            "limit": 50,
        }
        runs = [_run(document) for document in self._post("/flow_runs/filter", query)]
        return next((run for run in sorted(runs, key=lambda run: run.created, reverse=True) if suits(run)), None)

    def started_by_event(self, deployment: str, suits: Callable[[Run], bool], patience_s: float) -> Run | None:
        """The run that an event starts, waited for."""
        deadline = time.monotonic() + patience_s
        while not (run := self.find(deployment, suits)) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return run

    def follow(self, run: Run, enough: Callable[[Run], bool] = lambda run: False) -> Run:
        """Print a run's log until the run is over, waits for a person, or did enough to go on with.

        Raises:
            StackError: it failed, or no worker takes it.
        """
        start = time.monotonic()
        while True:
            now = _run(self._get(f"/flow_runs/{run.id}"))
            complete = self._print_log(run.id)
            if now.state in OVER or now.state == "PAUSED":
                deadline = time.monotonic() + LAST_WORDS_S
                while not complete and time.monotonic() < deadline:
                    time.sleep(LOG_POLL_S)
                    complete = self._print_log(run.id)
                break
            if enough(now):
                break
            if now.state in WAITING and time.monotonic() - start > PICKUP_S:
                raise StackError(f"no worker takes run {now.name}; see `make status` and {self.page(now)}")
            time.sleep(POLL_S)
        if now.state in OVER - {"COMPLETED"}:
            last = (now.message.strip().splitlines() or ["no reason given"])[0]
            raise StackError(f"run {now.name} {now.state.lower()}: {last}; `make up` and see {self.page(now)}")
        return now

    def follow_on(self, run: Run) -> Run:
        """Follow a run that was just resumed: Prefect starts it again from the top."""
        deadline = time.monotonic() + PICKUP_S
        while _run(self._get(f"/flow_runs/{run.id}")).state == "PAUSED" and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return self.follow(run)

    def resume(self, run: Run, answers: Mapping[str, Any]) -> None:
        """Answer the form a run waits with.

        Raises:
            StackError: Prefect refuses the answers.
        """
        result = self._post(f"/flow_runs/{run.id}/resume", {"run_input": dict(answers)})
        if result.get("status") != "ACCEPT" and _run(self._get(f"/flow_runs/{run.id}")).state not in GOING:
            reason = (result.get("details") or {}).get("reason") or result.get("status")
            raise StackError(f"the form of run {run.name} was refused: {reason}")

    def table(self, run: Run, key: str) -> list[dict[str, str]]:
        """The rows of the newest table artifact of a run with that key; none where there is none."""
        query = {
            "artifacts": {"flow_run_id": {"any_": [run.id]}, "key": {"any_": [key]}},
            "sort": "CREATED_DESC",
            "limit": 1,
        }
        artifacts = self._post("/artifacts/filter", query)
        return list(json.loads(artifacts[0]["data"])) if artifacts else []

    def page(self, run: Run) -> str:
        """The page of the run for a person."""
        return f"{self.url}/runs/flow-run/{run.id}"

    def _deployment(self, name: str) -> str:
        deployments = self._post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        if not deployments:
            raise StackError(f"Prefect has no deployment {name}; `make up` makes it")
        return str(deployments[0]["id"])

    def _print_log(self, run_id: str) -> bool:
        """Print what was logged since the last look; True if the run's last words are among it."""
        query = {
            "logs": {"flow_run_id": {"any_": [run_id]}, "level": {"ge_": INFO}},
            "sort": "TIMESTAMP_ASC",
            "offset": self._printed.get(run_id, 0),
            "limit": LOG_PAGE,
        }
        lines = self._post("/logs/filter", query)
        self._printed[run_id] = self._printed.get(run_id, 0) + len(lines)
        for line in lines:
            if line["name"] in SPEAKERS and not line["message"].startswith(OBVIOUS):
                self._say(_short(line["message"]))
        return any(line["message"].startswith(LAST_WORDS) for line in lines)

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._answer("POST", path, body)

    def _get(self, path: str) -> Any:
        return self._answer("GET", path, None)

    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise StackError(f"Prefect does not answer at {self.url}: {error}; see `make status`") from error
        if answer.is_error:
            raise StackError(f"Prefect refuses {method} {path}: {answer.text[:300]}")
        return answer.json()


def _run(document: Mapping[str, Any]) -> Run:
    state = document.get("state") or {}
    return Run(
        id=document["id"],
        name=document["name"],
        state=state.get("type") or "PENDING",
        message=state.get("message") or "",
        parameters=document.get("parameters") or {},
        created=datetime.fromisoformat(document["created"]).astimezone(UTC),
    )


def _short(message: str) -> str:
    """A log message without the inside of a traceback, which stays in Prefect: its first line and its last."""
    lines = message.strip().splitlines() or [""]
    return message if "Traceback" not in message else f"{lines[0]}\n{lines[-1]}"
