"""Other people's programs, run to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from infra.errors import StackError

PATIENCE_S: Final = 1800


def run(command: Sequence[str], otherwise: str, *, quiet: bool = False) -> None:
    """Run a command, its output shown as it comes; `otherwise` says what holds if it fails, `quiet` shows only errors.

    Raises:
        StackError: the program is missing, failed, or took longer than PATIENCE_S.
    """
    _run(command, otherwise, subprocess.DEVNULL if quiet else None)


def output(command: Sequence[str], otherwise: str) -> str:
    """What a command prints, its errors apart, which are shown.

    Raises:
        StackError: the program is missing, failed, or took longer than PATIENCE_S.
    """
    return _run(command, otherwise, subprocess.PIPE)


def _run(command: Sequence[str], otherwise: str, stdout: int | None) -> str:
    try:
        done = subprocess.run(
            command, check=False, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, stdout=stdout, text=True
        )
    except FileNotFoundError as error:
        raise StackError(f"the program {command[0]} is not installed; {otherwise}") from error
    except subprocess.TimeoutExpired as error:
        raise StackError(f"{command[0]} took more than {PATIENCE_S} s; {otherwise}") from error
    if done.returncode:
        raise StackError(f"{command[0]} failed with exit code {done.returncode}, see above; {otherwise}")
    return done.stdout or ""
