"""The command that brings a packed version in front of partners, and the text for people if it cannot."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bentos.errors import DeployRefused

PYTHON: Final = "python"
NOBODY: Final = (
    "NOT answering: no proxy, cluster or embedded API is told here (QF_DEPLOY_COMMAND); `make deploy` lets it in"
)
OVERTAKEN: Final = "NOT answering: another version has become champion meanwhile"


def bring(command: str, version: int, home: Path, say: Callable[[str], None]) -> str:
    """Run the command for the version and pass on what it says; what to tell people in the end.

    Raises:
        DeployRefused: it did not bring the version in front of partners; its last line says why.
    """
    if not command:
        return NOBODY
    words = [sys.executable if word == PYTHON else word for word in shlex.split(command)]
    last = "it said nothing"
    with subprocess.Popen(
        [*words, "--version", str(version)],
        cwd=home,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            if line.strip():
                last = line.strip()
                say(last)
    if process.returncode:
        raise DeployRefused(f"version {version} is packed and does NOT answer: {last}")
    return f"answering: {last}"
