"""A deployment whose schedule fires every minute, with a runner of its own: proof that Prefect's scheduler works."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

PATIENCE_S: Final = 300.0
SCRIPT: Final = """
from prefect import flow

@flow
def ticks() -> None:
    print("tick")

if __name__ == "__main__":  # the runner imports it again for each run
    ticks.serve(name="ticks", cron="* * * * *")
"""


@contextmanager
def ticking(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """The deployment and its runner, a process in `folder`, for as long as the block lasts."""
    script = folder / "ticking.py"
    script.write_text(SCRIPT)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PREFECT_HOME": str(folder), **environment}
    with (folder / "ticking.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, script], env=env, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def fired(http: httpx.Client) -> dict[str, Any]:
    """The first run that its schedule, and nobody else, started and that was completed.

    Raises:
        AssertionError: there is none in five minutes.
    """
    query = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, "deployments": {"name": {"any_": ["ticks"]}}}
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for found in http.post("/flow_runs/filter", json=query).raise_for_status().json():
            if found["auto_scheduled"]:
                return dict(found)
        time.sleep(1)
    raise AssertionError(f"no scheduled run was completed in {PATIENCE_S:g} s")
