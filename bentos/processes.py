"""Processes that outlive the program that starts them, and how they end: gently first."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psutil

INSIST_S: Final = 1.0
GONE_S: Final = 5.0
#: Started here and meant to outlive this program: a dropped handle would warn that its process still runs.
_HANDLES: Final[list[subprocess.Popen[bytes]]] = []


def spawn(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: IO[bytes]) -> int:
    """Number of a process started in a session of its own, so that it survives the terminal."""
    process = subprocess.Popen(  # pylint: disable=consider-using-with  # it outlives this program on purpose
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    _HANDLES.append(process)
    return process.pid


def end(processes: Sequence[psutil.Process], patience_s: float) -> list[psutil.Process]:
    """Ask the first to end the others, which it started; after `patience_s` insist. Returns what is still there."""
    for process in processes[:1]:
        _signal(process, kill=False)
    _, left = psutil.wait_procs(processes, timeout=patience_s)
    return sweep(left, INSIST_S)


def sweep(processes: Iterable[psutil.Process], patience_s: float) -> list[psutil.Process]:
    """End processes whatever they say; returns those that are still there."""
    remaining = [process for process in set(processes) if process.is_running()]
    for process in remaining:
        _signal(process, kill=False)
    _, remaining = psutil.wait_procs(remaining, timeout=patience_s)
    for process in remaining:
        _signal(process, kill=True)
    return list(psutil.wait_procs(remaining, timeout=GONE_S)[1])


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass  # what was wanted
