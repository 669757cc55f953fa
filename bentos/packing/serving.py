"""A Bento served for a moment on a free port, with state and a key of its own: what smoke tests talk to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos.errors import SmokeFailed
from bentos.packing.bento import bento_environment
from bentos.processes import answers, await_ready, free_port, last_line, last_line_of

STOP_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.25


class Served(BaseModel):
    """A running service and a key it accepts."""

    model_config = ConfigDict(frozen=True)

    url: str
    key: str


@contextmanager
def served(bento: Path, *, timeout_s: float) -> Iterator[Served]:
    """The Bento at `bento`, ready to answer; it is stopped and its state removed afterwards.

    Raises:
        SmokeFailed: it does not start, or is not ready within `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="smoke-") as scratch:
        environment = _environment(bento, Path(scratch))
        key = issue_key(bento / "src", environment)
        port = free_port()
        log = Path(scratch) / "serve.log"
        command = [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=scratch, env=environment, stdout=output, stderr=output, start_new_session=True
            )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_ready(url, process, log, timeout_s)
            yield Served(url=url, key=key)
        finally:
            _stop(process)


def issue_key(code: Path, environment: dict[str, str]) -> str:
    """A key for the smoke test, made by the Bento's own code in the state folder of `environment`.

    Raises:
        SmokeFailed: the key tool refuses.
    """
    command = [sys.executable, "-m", "service.keys", "issue", "smoke", "--rate", "100000", "--burst", "100000"]
    command += ["--daily", "1000000"]
    result = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode != 0:
        raise SmokeFailed(f"the Bento's key tool fails: {last_line(result.stderr)}")
    return result.stdout.strip()


def _environment(bento: Path, scratch: Path) -> dict[str, str]:
    # Nothing but the Bento: no store to ship to, no database, no Redis, no MLflow, no Prefect. It must start with all
    # of them down. AWS's own name of the endpoint is one of the service's too: the smoke test's answers are no traffic.
    drop = {"QF_STORE_ENDPOINT", "AWS_ENDPOINT_URL_S3", "QF_DATABASE_URL", "QF_REDIS_URL"}
    drop |= {"MLFLOW_TRACKING_URI", "PREFECT_API_URL"}
    environment = {key: value for key, value in bento_environment(bento.parents[2]).items() if key not in drop}
    return {**environment, "QF_SERVICE_DIR": str(scratch / "state")}


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float) -> None:
    outcome = await_ready(lambda: answers(f"{url}/readyz"), lambda: process.poll() is None, timeout_s, POLL_S)
    if outcome == "ended":
        raise SmokeFailed(f"the Bento does not start: {last_line_of(log)}")
    if outcome == "late":
        raise SmokeFailed(f"the Bento is not ready after {timeout_s:g} s: {last_line_of(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: BentoML's workers are children of the process that was started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
