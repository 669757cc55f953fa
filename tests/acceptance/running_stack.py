"""The running stack as its users reach it: Prefect, the API and the store by their addresses, commands by a shell.

Everything is known from `.local/env`, as a person's shell knows it. Nothing of the product's own code is imported.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

OVER: Final = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
POLL_S: Final = 1.0


class Broken(Exception):
    """A promise that is not kept; the text says what was found."""


class Skipped(Exception):
    """A promise that cannot be asked about on this machine; the text says what is missing."""


class PrefectLogin(httpx.Auth):
    """User, password and the token against foreign pages, as the pages themselves send them."""

    requires_response_body = True

    def __init__(self, auth: str) -> None:
        self._auth = auth
        self._client, self._token = str(uuid.uuid4()), ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """The request with what the server asks for."""
        signed = self._signed(request)
        if request.method != "GET":
            if not self._token:
                url = request.url.copy_with(raw_path=f"/api/csrf-token?client={self._client}".encode())
                asked = yield self._signed(httpx.Request("GET", url))
                self._token = asked.json().get("token", "") if asked.is_success else ""
            signed.headers.update({"Prefect-Csrf-Token": self._token, "Prefect-Csrf-Client": self._client})
        yield signed

    def _signed(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Basic {base64.b64encode(self._auth.encode()).decode()}"
        return request


class RunningStack:
    """Its addresses, and what a person does with them."""

    def __init__(self) -> None:
        env = os.environ
        self.home = Path(env["QF_HOME"])
        self.state = Path(env["QF_STATE_DIR"])
        self.api_url, self.ui_url = env["QF_API_URL"], env["QF_UI_URL"]
        self.mlflow_url = env["MLFLOW_TRACKING_URI"]
        self.mlflow_login = env.get("MLFLOW_TRACKING_USERNAME", ""), env.get("MLFLOW_TRACKING_PASSWORD", "")
        auth = self.prefect_auth = env.get("PREFECT_API_AUTH_STRING", "")
        self.prefect_url = env["PREFECT_API_URL"].removesuffix("/api")
        self.prefect = httpx.Client(
            base_url=env["PREFECT_API_URL"], auth=PrefectLogin(auth) if auth else None, timeout=60, trust_env=False
        )
        self.key = (self.state / "keys" / "demo").read_text().strip()
        self._log_sizes = {path: path.stat().st_size for path in (self.state / "logs").glob("*.log")}

    # -- Prefect ---------------------------------------------------------------------------------------------------

    def post(self, path: str, body: Mapping[str, Any], expected: int | None = None) -> Any:
        """The JSON that Prefect answers.

        Raises:
            Broken: another status than expected.
        """
        answer = self.prefect.post(path, json=body)
        if answer.is_error if expected is None else answer.status_code != expected:
            raise Broken(f"POST {path} answers {answer.status_code}: {answer.text[:200]}")
        return answer.json() if answer.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment as the server has it."""
        found = self.post("/deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        if not found:
            raise Broken(f"Prefect has no deployment {name}")
        return dict(found[0])

    def start(self, name: str, parameters: Mapping[str, Any]) -> str:
        """Id of a run, started as the form starts it."""
        path = f"/deployments/{self.deployment(name)['id']}/create_flow_run"
        return str(self.post(path, {"parameters": parameters})["id"])

    def refusal(self, name: str, parameters: Mapping[str, Any]) -> str:
        """What the form says of parameters that it does not take.

        Raises:
            Broken: it takes them.
        """
        answer = self.prefect.post(
            f"/deployments/{self.deployment(name)['id']}/create_flow_run", json={"parameters": parameters}
        )
        if answer.status_code not in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY):
            raise Broken(f"{name} takes {json.dumps(parameters)} with {answer.status_code}")
        return str(answer.json()["detail"])

    def ended(self, run: str, patience_s: float, *, also: frozenset[str] = frozenset()) -> str:
        """State in which a run ends, or which it reaches of `also`.

        Raises:
            Broken: it does not in time.
        """
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            state = self.prefect.get(f"/flow_runs/{run}").json()["state"]
            if state["type"] in OVER | also:
                return str(state["type"])
            time.sleep(POLL_S)
        raise Broken(f"run {run} is not over after {patience_s:g} s")

    def reason(self, run: str) -> str:
        """How a run ended, and why: its state's message, else the newest error of its log."""
        state = self.prefect.get(f"/flow_runs/{run}").json()["state"]
        message = str(state.get("message") or "")
        if not message:
            query = {"logs": {"flow_run_id": {"any_": [run]}, "level": {"ge_": logging.ERROR}}, "limit": 1}
            logged = self.post("/logs/filter", {**query, "sort": "TIMESTAMP_DESC"})
            message = str(logged[0]["message"]) if logged else "it says nothing"
        return f"{state['type'].lower()}: {' '.join(message.split())}"

    def completed(self, name: str, parameters: Mapping[str, Any], patience_s: float) -> str:
        """Id of a run that was started and completed.

        Raises:
            Broken: it ended otherwise.
        """
        run = self.start(name, parameters)
        if self.ended(run, patience_s) != "COMPLETED":
            raise Broken(f"{name} ended {self.reason(run)}")
        return run

    def artifact(self, run: str, key: str) -> Any:
        """Data of a run's newest artifact of that key.

        Raises:
            Broken: the run has none of that key.
        """
        query = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": [key]}}, "sort": "CREATED_DESC"}
        found = self.post("/artifacts/filter", query)
        if not found:
            raise Broken(f"run {run} shows no artifact {key}")
        data = found[0]["data"]
        return json.loads(data) if isinstance(data, str) and data[:1] in "[{" else data

    def run_for(self, deployment: str, version: int, patience_s: float) -> str:
        """Id of the run that the event of a version started.

        Raises:
            Broken: none was.
        """
        query = {"deployments": {"name": {"any_": [deployment]}}, "sort": "EXPECTED_START_TIME_DESC", "limit": 20}
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            for run in self.post("/flow_runs/filter", query):
                if str(run["parameters"].get("version")) == str(version):
                    return str(run["id"])
            time.sleep(POLL_S)
        raise Broken(f"no run of {deployment} began for version {version}")

    def newest(self, deployment: str, artifact: str) -> dict[str, Any]:
        """The newest completed run of a deployment that shows an artifact whose key begins so.

        An hourly drift run that finds too little new traffic shows none.

        Raises:
            Broken: there is none.
        """
        query = {
            "deployments": {"name": {"any_": [deployment]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
            "artifacts": {"key": {"like_": artifact}},
            "sort": "CREATED_DESC",
            "limit": 1,
        }
        found = self.post("/artifacts/filter", query)
        if not found:
            raise Broken(f"no completed run of {deployment} shows {artifact}")
        return dict(self.prefect.get(f"/flow_runs/{found[0]['flow_run_id']}").json())

    # -- MLflow ----------------------------------------------------------------------------------------------------

    def mlflow(self, path: str, **parameters: str) -> dict[str, Any]:
        """What MLflow answers."""
        answer = httpx.get(
            f"{self.mlflow_url}/api/2.0/mlflow/{path}",
            params=parameters,
            auth=self.mlflow_login,
            trust_env=False,
            timeout=30,
        )
        return dict(answer.raise_for_status().json())

    def champion(self) -> dict[str, Any]:
        """The version under the alias, as MLflow has it."""
        return dict(self.mlflow("registered-models/alias", name="credit-score", alias="champion")["model_version"])

    # -- the API, a shell ------------------------------------------------------------------------------------------

    def answering(self) -> int:
        """Version that answers a partner."""
        answer = httpx.get(f"{self.api_url}/v1/model", headers={"x-api-key": self.key}, timeout=10, trust_env=False)
        return int(answer.raise_for_status().json()["version"])

    def new_log_lines(self) -> list[str]:
        """What the parts wrote into their logs since this began, with the part's name before each line."""
        return [
            f"{path.stem}: {line}"
            for path in sorted((self.state / "logs").glob("*.log"))
            for line in path.read_bytes()[self._log_sizes.get(path, 0) :].decode(errors="replace").splitlines()
        ]

    @property
    def person(self) -> dict[str, str]:
        """The environment of a person's shell: `. .local/env` in it, and the project's own programs first."""
        return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}

    def shell(
        self, command: str, timeout_s: float = 120, *, environment: Mapping[str, str] | None = None, errors: bool = True
    ) -> tuple[int, str]:
        """Exit code and output of a command in the project's folder; without what it said as `errors` if told so."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.home,
            env={**self.person, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return done.returncode, done.stdout + (done.stderr if errors else "")
