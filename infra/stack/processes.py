"""Processes that outlive the terminal and are known again: each in its own session, with a pid file and a log.

A pid alone proves nothing, since numbers are used again: the file keeps the start time too. Every process carries the
marker variable QF_STACK with the stack's folder, and children inherit it; so `down` also finds what a part started and
lost, such as a flow run whose worker was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psutil

from bentos import processes
from infra.stack import listening

MARKER: Final = "QF_STACK"
LOG_BYTES_MAX: Final = 20_000_000  # an older log than this makes way at the next start
CLOCK_SLACK_S: Final = 1.0  # psutil derives start times from the boot time, which may shift by a tick


@dataclass(frozen=True)
class Recipe:
    """How a part is started: its command, what it gets on top of the environment, its folder, the port it takes."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    port: int | None = None
    takes_socket: bool = False  # its port is bound by who starts it and handed over (infra.stack.listening)

    @property
    def digest(self) -> str:
        """Tells whether a running part was started this very way."""
        text = json.dumps([self.command, sorted(self.env.items()), str(self.cwd), self.port])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Running:
    """What a pid file says: a started process, what it listens on, and the digest of its recipe."""

    pid: int
    started: float
    port: int | None
    recipe: str

    def alive(self) -> bool:
        """True if that very process still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_SLACK_S
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Shelf:
    """The folders of the parts' pid files and logs."""

    state: Path

    def pid_file(self, name: str) -> Path:
        """Pid file of a part."""
        return self.state / "run" / f"{name}.json"

    def log(self, name: str) -> Path:
        """Log of a part."""
        return self.state / "logs" / f"{name}.log"

    def find(self, name: str) -> Running | None:
        """The part's process if it runs; a stale file is ignored."""
        try:
            running = Running(**json.loads(self.pid_file(name).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return running if running.alive() else None

    def spawn(self, name: str, recipe: Recipe, door: socket.socket | None = None) -> Running:
        """Start a part in a session of its own and note it down; on the socket `door` if there is one already."""
        if recipe.takes_socket and door is None:
            with listening.bound(recipe.port or 0) as alone:
                return self.spawn(name, recipe, alone)
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file(name).parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as out:
            environment = {**os.environ, **recipe.env, MARKER: str(self.state)}
            descriptors = [door.fileno()] if door else []
            environment |= {listening.HANDED: str(number) for number in descriptors}
            pid = processes.spawn(recipe.command, env=environment, cwd=recipe.cwd, output=out, descriptors=descriptors)
        running = Running(pid, psutil.Process(pid).create_time(), recipe.port, recipe.digest)
        self.pid_file(name).write_text(json.dumps(asdict(running)))
        return running

    def rename(self, name: str, other: str) -> None:
        """Rename a running part: it goes on under another name."""
        self.pid_file(name).replace(self.pid_file(other))

    def forget(self, name: str) -> None:
        """Remove the pid file."""
        self.pid_file(name).unlink(missing_ok=True)

    def tail(self, name: str, since: int = 0) -> str:
        """Last line of a log that says something, for a one-line error; `since` skips earlier runs' bytes."""
        return processes.last_line_of(self.log(name), since)


def stack_processes(state: Path) -> list[psutil.Process]:
    """Every process of the stack with that folder, this one and its parents excepted."""
    return processes.with_variable(MARKER, str(state))


def family(running: Running) -> list[psutil.Process]:
    """A part's process and all it started."""
    try:
        process = psutil.Process(running.pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(running: Running, patience_s: float) -> None:
    """Ask a part to end and let it end its children; after `patience_s` insist, with all it started."""
    survivors = processes.end(family(running), patience_s)
    processes.sweep([*survivors, *family(running)], processes.INSIST_S)
