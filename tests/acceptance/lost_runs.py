"""A run whose process is lost: cut off in the middle, it must be ended while the stack stands."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator
from typing import Final

import psutil

from tests.acceptance.running_stack import Broken, RunningStack

BEGUN_S: Final = 480.0
LONG: Final = {"iterations": 2000, "depth": 8}  # minutes of work on any machine: it is in the middle of it
MARK: Final = "PREFECT__FLOW_RUN_ID"
HEALED_S: Final = 600.0  # the automation waits for three minutes of silence


def lost_runs_are_healed(stack: RunningStack) -> Generator[None]:
    """A training that went silent in the middle is ended by Prefect, and the next one gets its slot."""
    run = stack.start("training", {"form": {"learning": LONG, "register_version": False}})
    processes: list[psutil.Process] = []
    try:
        if stack.ended(run, BEGUN_S, also=frozenset({"RUNNING"})) != "RUNNING":
            raise Broken(f"the training ended before it could be cut off, {stack.reason(run)}")
        while not (processes := _processes(run)):
            time.sleep(1)
        # Stopped, not killed: the worker reports at once what ended, and says nothing of what merely stands still.
        for process in processes:
            process.suspend()
        yield
        if stack.ended(run, HEALED_S) != "CRASHED":
            raise Broken(f"the run that went silent ended {stack.reason(run)}")
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def _processes(run: str) -> list[psutil.Process]:
    """The processes of a run, which carry its id."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                processes.append(process)
    return processes
