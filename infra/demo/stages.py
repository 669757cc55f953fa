"""Stage after stage, each with its place in the row, what it says, and how long it took."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.errors import StackError
from infra.settings import ROOT, StackSettings
from infra.stack.processes import MARKER

INDENT: Final = "      "


def tell(line: str) -> None:
    """One line of the stage that is going."""
    for part in line.splitlines():
        print(f"{INDENT}{part}", flush=True)


class Stages:
    """A row of stages of known length."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._number = 0
        self._start = time.monotonic()
        self.current = "start"

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Announce a stage; at its end, its time."""
        self._number += 1
        self.current = title
        start = time.monotonic()
        print(f"\n[{self._number}/{self._count}] {title}", flush=True)
        yield
        tell(f"({time.monotonic() - start:.1f} s)")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first stage."""
        return time.monotonic() - self._start


def call(settings: StackSettings, variables: Mapping[str, str], *command: str, log: Path | None = None) -> None:
    """Run one of the project's commands, its output shown as it comes, or kept in `log` where it is long.

    Raises:
        StackError: it fails; its last line says why.
    """
    env = {**os.environ, **variables, MARKER: str(settings.state_dir), "PYTHONUNBUFFERED": "1"}
    last, lines = "", list[str]()
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None  # it is a pipe
        for line in process.stdout:
            if line.strip():
                last = line.strip()
                if log is None:
                    tell(line.rstrip())
                else:
                    lines.append(line)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(lines))
        tell(f"what it said is in {log}")
    if process.returncode:
        raise StackError(last.removeprefix("flows.dataset: ") or f"{' '.join(command)} failed")
