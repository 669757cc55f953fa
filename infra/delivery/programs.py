"""Other people's programs, run with their output shown as it comes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Final

from infra.errors import StackError

PATIENCE_S: Final = 1800


def run(command: Sequence[str], otherwise: str, *, quiet: bool = False) -> None:
    """Run a command to its end; `otherwise` says what holds if it fails, `quiet` drops what it prints but for errors.

    Raises:
        StackError: the program is missing, failed, or took longer than PATIENCE_S.
    """
    output = subprocess.DEVNULL if quiet else None
    try:
        done = subprocess.run(command, check=False, timeout=PATIENCE_S, stdin=subprocess.DEVNULL, stdout=output)
    except FileNotFoundError as error:
        raise StackError(f"the program {command[0]} is not installed; {otherwise}") from error
    except subprocess.TimeoutExpired as error:
        raise StackError(f"{command[0]} took more than {PATIENCE_S} s; {otherwise}") from error
    if done.returncode:
        raise StackError(f"{command[0]} failed with exit code {done.returncode}, see above; {otherwise}")
