"""Prefect runs seen from outside, against a real server; the test plays the worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain, repeat
from threading import Thread, Timer
from typing import Any

import pytest

from infra.demo.runs import Run, Runs
from infra.errors import StackError
from infra.stack import prefect_api
from infra.stack.deployments import Prefect


class Worker:
    """What a worker tells the server about one deployment's runs."""

    def __init__(self, api: str) -> None:
        self.http = prefect_api.client(api.removesuffix("/api"))
        self.name = f"probe-{uuid.uuid4().hex[:8]}"
        flow = self.http.post("/flows/", json={"name": self.name}).json()
        body = {"name": self.name, "flow_id": flow["id"], "parameter_openapi_schema": {}}
        self.http.post("/deployments/", json=body).raise_for_status()

    def state(self, run_id: str, kind: str, message: str = "") -> None:
        """Move a run to another state."""
        body = {"state": {"type": kind, "name": kind.title(), "message": message}, "force": True}
        self.http.post(f"/flow_runs/{run_id}/set_state", json=body).raise_for_status()

    def log(self, run_id: str, message: str) -> None:
        """One line of a run's log."""
        line = {
            "name": "prefect.flow_runs",
            "level": 20,
            "message": message,
            "timestamp": "2026-01-01T00:00:00Z",
            "flow_run_id": run_id,
        }
        self.http.post("/logs/", json=[line]).raise_for_status()


@pytest.fixture(name="worker")
def _worker(prefect_server: str) -> Iterator[Worker]:
    worker = Worker(prefect_server)
    yield worker
    worker.http.close()


@pytest.fixture(name="said")
def _said() -> list[str]:
    return []


@pytest.fixture(name="runs")
def _runs(prefect_server: str, said: list[str]) -> Iterator[Runs]:
    with closing(Runs(prefect_server.removesuffix("/api"), said.append)) as runs:
        yield runs


@pytest.fixture(name="server")
def _server(prefect_server: str) -> Iterator[Prefect]:
    with closing(Prefect(prefect_server.removesuffix("/api"))) as server:
        yield server


def test_a_completed_run_is_followed_with_its_log(runs: Runs, worker: Worker, said: list[str]) -> None:
    """Each log line is said once, and the end is told."""
    run = runs.start(worker.name, {})
    worker.log(run.id, "half way")
    worker.state(run.id, "RUNNING")
    worker.state(run.id, "COMPLETED")

    done = runs.follow(run)
    runs.follow(run)

    assert done.state == "COMPLETED"
    assert said == ["half way"]


def test_a_run_is_followed_until_it_did_enough(runs: Runs, worker: Worker, said: list[str]) -> None:
    """The demo goes on once a version answers, though the run still makes its image."""
    run = runs.start(worker.name, {})
    worker.log(run.id, "it answers")
    worker.state(run.id, "RUNNING")

    now = runs.follow(run, enough=lambda _: "it answers" in said)

    assert now.state == "RUNNING"


def test_the_last_words_come_after_the_state(runs: Runs, worker: Worker, said: list[str]) -> None:
    """A flow sends the last piece of its log when its state is there already: it is waited for."""
    run = runs.start(worker.name, {})
    worker.state(run.id, "RUNNING")
    worker.state(run.id, "COMPLETED")

    def speak() -> None:
        worker.log(run.id, "at last")
        worker.log(run.id, "Finished in state Completed()")

    late = Timer(0.5, speak)
    late.start()
    runs.follow(run)
    late.join()

    assert said == ["at last"]


def test_a_traceback_stays_in_prefect(runs: Runs, worker: Worker, said: list[str]) -> None:
    """Of a traceback people see the first line and the last."""
    run = runs.start(worker.name, {})
    worker.log(run.id, "it failed\nTraceback (most recent call last):\n  File x\nValueError: too small")
    worker.state(run.id, "COMPLETED")

    runs.follow(run)

    assert said == ["it failed\nValueError: too small"]


@pytest.mark.parametrize("state", ["FAILED", "CRASHED", "CANCELLED"])
def test_a_failed_run_is_one_line_with_its_page(state: str, runs: Runs, worker: Worker) -> None:
    """The line carries the reason's first line and where to look."""
    run = runs.start(worker.name, {})
    worker.state(run.id, state, "the disk is full\nand more")

    with pytest.raises(StackError, match=f"{state.lower()}: the disk is full; .*/runs/flow-run/{run.id}"):
        runs.follow(run)


def test_the_run_of_an_event_is_found_by_its_version(runs: Runs, worker: Worker) -> None:
    """Of several runs the newest that suits is taken; where none suits, none."""
    wanted = runs.start(worker.name, {"version": 3})
    runs.start(worker.name, {"version": 4})

    def of(version: int) -> Callable[[Any], bool]:
        return lambda run: run.parameters.get("version") == version

    found = runs.started_by_event(worker.name, of(3), patience_s=10)
    assert found is not None and found.id == wanted.id
    assert runs.started_by_event(worker.name, of(5), patience_s=0) is None


def test_an_unknown_deployment_is_named(runs: Runs) -> None:
    """The line names the deployment and the command that makes it."""
    with pytest.raises(StackError, match="no deployment nothing; `make up`"):
        runs.start("nothing", {})


def test_a_form_that_is_not_open_refuses_answers(runs: Runs, worker: Worker) -> None:
    """A run that waits for nobody cannot be resumed."""
    run = runs.start(worker.name, {})
    worker.state(run.id, "COMPLETED")

    with pytest.raises(StackError, match="refuse"):
        runs.resume(run, {"verdict": "approve"})


def test_a_server_that_is_gone_is_one_line() -> None:
    """No answer at all names the address and `make status`."""
    gone = "Prefect does not answer at http://127.0.0.1:9.*make status"
    with closing(Runs("http://127.0.0.1:9", print)) as runs, pytest.raises(StackError, match=gone):
        runs.start("training", {})


@pytest.mark.parametrize(("busy", "told"), [(2, None), (10_000, "Prefect refuses GET")])
def test_a_busy_server_is_asked_again(busy: int, told: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """503, which is SQLite waiting for its one writer, is waited out, but not for ever."""
    monkeypatch.setattr("infra.stack.prefect_api.PAUSE_S", 0.01)
    monkeypatch.setattr("infra.stack.prefect_api.BUSY_S", 0.5)
    run = {"id": "1", "name": "calm-owl", "state": {"type": "COMPLETED"}, "created": "2026-01-01T00:00:00Z"}
    answers = chain(repeat((503, {}), busy), repeat((200, run), 1), repeat((200, [])))

    class Busy(BaseHTTPRequestHandler):
        """Answers from the list, whatever is asked."""

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body = next(answers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_GET = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:  # pylint: disable=redefined-builtin
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with closing(Runs(f"http://127.0.0.1:{server.server_port}", print, auth="")) as runs:
                asked = Run("1", "calm-owl", "RUNNING", "", {}, datetime.now(UTC))
                if told:
                    with pytest.raises(StackError, match=told):
                        runs.follow(asked)
                else:
                    assert runs.follow(asked).state == "COMPLETED"
        finally:
            server.shutdown()
            thread.join()


def test_runs_that_lost_their_process_are_settled(server: Prefect, runs: Runs, worker: Worker) -> None:
    """After a `down` in the middle, a run is crashed and not for ever running."""
    run = runs.start(worker.name, {})
    worker.state(run.id, "RUNNING")

    assert server.settle_lost_runs() >= 1

    with pytest.raises(StackError, match="crashed: The stack was stopped"):
        runs.follow(run)


def test_the_pool_is_made_once(server: Prefect) -> None:
    """Asking twice for the work pool is asking once; no worker is online in it."""
    server.ensure_pool("probe-pool")
    server.ensure_pool("probe-pool")

    assert not server.worker_online("probe-pool", "embedded")


def test_a_table_of_a_run_is_read_by_its_key(runs: Runs, worker: Worker) -> None:
    """The newest table with that key; a run without one has no rows."""
    run = runs.start(worker.name, {})
    for result in ("passed", "failed"):
        rows = json.dumps([{"title": "severe errors", "result": result}])
        body = {"key": "release-checks", "type": "table", "data": rows, "flow_run_id": run.id}
        worker.http.post("/artifacts/", json=body).raise_for_status()

    assert runs.table(run, "release-checks") == [{"title": "severe errors", "result": "failed"}]
    assert not runs.table(run, "other")
