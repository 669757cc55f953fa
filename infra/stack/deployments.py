"""Prefect's side of the embedded stack: work pool, deployments of prefect.yaml, runs that lost their process."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from flows import schedules
from infra.errors import StackError
from infra.settings import ROOT, StackSettings
from infra.stack import prefect_api

UNFINISHED: Final = ("RUNNING", "PENDING", "CANCELLING")
DEPLOY_ALL: Final = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all")
DEPLOY_TIMEOUT_S: Final = 300
AUTOMATIONS: Final = ROOT / "infra" / "automations.yaml"


def work_pool(path: Path = ROOT / "prefect.yaml") -> str:
    """Name of the one work pool that prefect.yaml deploys to.

    Raises:
        StackError: the file names none, or several.
    """
    declared = yaml.safe_load(path.read_text())
    names = {(deployment.get("work_pool") or {}).get("name") for deployment in declared.get("deployments", [])}
    if len(names) != 1 or None in names:
        raise StackError(f"{path.name} must name one work pool for all deployments, it names {sorted(map(str, names))}")
    return str(names.pop())


class Prefect:
    """The few calls of Prefect's API that bring the server to the project's state; safe to repeat."""

    def __init__(self, url: str, auth: str | None = None) -> None:
        self._http = prefect_api.client(url, auth)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def ensure_pool(self, name: str) -> None:
        """Make the work pool unless it is there."""
        if self._http.get(f"/work_pools/{name}").status_code == httpx.codes.NOT_FOUND:
            self._post("/work_pools/", {"name": name, "type": "process"})

    def finish_deployments(self) -> None:
        """What prefect.yaml has no word for: forms that refuse unknown parameters, how a run is started on this
        machine, and infra/automations.yaml."""

        def ask(method: str, path: str, body: Any) -> httpx.Response:
            return self._http.request(method, path, json=body).raise_for_status()

        close_forms(ask)
        start_directly(ask)
        ensure_automations(ask)

    def schedules(self) -> list[schedules.Schedule]:
        """The active schedules and what is planned for each."""
        return schedules.active(self._post, datetime.now(UTC))

    def settle_lost_runs(self) -> int:
        """Mark runs as crashed whose process ended with the last `down`: else they hold their deployment's one slot.

        Only to be called while no worker runs.
        """
        query = {"flow_runs": {"state": {"type": {"any_": list(UNFINISHED)}}}, "limit": 200}
        runs = self._post("/flow_runs/filter", query)
        for run in runs:
            state = {"type": "CRASHED", "name": "Crashed", "message": "The stack was stopped while this run went on."}
            self._post(f"/flow_runs/{run['id']}/set_state", {"state": state, "force": True})
        return len(runs)

    def worker_online(self, pool: str, name: str) -> bool:
        """True if the worker has reported to the server."""
        workers = self._post(f"/work_pools/{pool}/workers/filter", {})
        return any(worker["name"] == name and worker["status"] == "ONLINE" for worker in workers)


def close_forms(ask: Callable[[str, str, Any], Any]) -> None:
    """Let each deployment refuse a parameter that its flow does not take: left open, such a run starts and crashes."""
    for deployment in ask("POST", "/deployments/filter", {"limit": 200}).json():
        form = deployment["parameter_openapi_schema"]
        if form and form.get("additionalProperties") is not False:
            closed = {**form, "additionalProperties": False}
            ask("PATCH", f"/deployments/{deployment['id']}", {"parameter_openapi_schema": closed})


def start_directly(ask: Callable[[str, str, Any], Any]) -> None:
    """Let the worker start a run's engine itself: without a command it starts a program that makes a workspace first,
    which nothing here needs, and Prefect is imported twice, some seconds of a core each time."""
    command = f"{shlex.quote(sys.executable)} -m prefect.engine"
    for deployment in ask("POST", "/deployments/filter", {"limit": 200}).json():
        variables = deployment["job_variables"] or {}
        if variables.get("command") != command:
            ask("PATCH", f"/deployments/{deployment['id']}", {"job_variables": {**variables, "command": command}})


def ensure_automations(ask: Callable[[str, str, Any], Any], path: Path = AUTOMATIONS) -> None:
    """Bring a server's automations to what the file says, each known by its name.

    Args:
        ask: sends a method, a path and a JSON body, and gives the answer.
        path: the file.
    """
    for automation in yaml.safe_load(path.read_text()):
        registered = ask(
            "POST", "/automations/filter", {"automations": {"name": {"any_": [automation["name"]]}}}
        ).json()
        for stray in registered[1:]:
            ask("DELETE", f"/automations/{stray['id']}", None)
        if registered:
            ask("PUT", f"/automations/{registered[0]['id']}", automation)
        else:
            ask("POST", "/automations/", automation)


def source_digest() -> str:
    """Digest of all that deployments are made from: prefect.yaml and the flows' forms."""
    digest = hashlib.sha256((ROOT / "prefect.yaml").read_bytes())
    for path in sorted((ROOT / "flows").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def deploy(settings: StackSettings, variables: dict[str, str]) -> bool:
    """`prefect deploy --all`, unless the very same was deployed to this server; says whether it ran.

    Raises:
        StackError: a deployment is refused.
    """
    stamp = settings.state_dir / "prefect" / "deployed"
    digest = source_digest()
    if stamp.exists() and stamp.read_text() == digest:
        return False
    deploy_all(variables, settings.state_dir / "logs" / "deploy.log")
    stamp.write_text(digest)
    return True


def deploy_all(variables: dict[str, str], log: Path | None = None) -> None:
    """`prefect deploy --all` in this environment and `variables`; what it said is added to `log`.

    Raises:
        StackError: a deployment is refused, or it took too long; the line names the reason.
    """
    try:
        done = subprocess.run(
            DEPLOY_ALL,
            env={**os.environ, **variables},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=DEPLOY_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(
            f"prefect deploy --all was not over after {DEPLOY_TIMEOUT_S:g} s: the machine is overloaded; run this again"
        ) from error
    if log:
        with log.open("a") as out:
            out.write(done.stdout)
    if done.returncode:
        log_hint = f"; the log is {log}" if log else ""
        raise StackError(f"prefect deploy --all failed: {_reason(done.stdout)}{log_hint}")


def _reason(text: str) -> str:
    """The exception's own line; Prefect's very last one says only that there was one."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "An exception occurred" not in line]
    return lines[-1][:300] if lines else "it said nothing"
