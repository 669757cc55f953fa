"""Processes of this host: started, marked, found again, awaited, ended; and the ports they listen on.

The one home of these for whatever starts programs here: the embedded stack, blue and green, the smoke tests.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import IO, Final, Literal

import psutil

from bentos.errors import NoPortFree

HOST: Final = "127.0.0.1"
INSIST_S: Final = 1.0
GONE_S: Final = 5.0
PROBE_TIMEOUT_S: Final = 3.0
POLL_S: Final = 0.1
LINE_MAX: Final = 300
FREE_PORTS: Final = range(20_000, 30_000)
"""Below what systems give to outgoing connections (Linux from 32,768, others from 49,152) and Kubernetes to nodes."""
_GIVEN: Final[set[int]] = set()
#: Started here and meant to outlive this program: a dropped handle would warn that its process still runs.
_HANDLES: Final[list[subprocess.Popen[bytes]]] = []


def spawn(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: IO[bytes], descriptors: Sequence[int] = ()
) -> int:
    """Number of a process started in a session of its own, so that it survives the terminal; `descriptors`
    are handed to it."""
    process = subprocess.Popen(  # pylint: disable=consider-using-with  # it outlives this program on purpose
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=descriptors,
    )
    _HANDLES.append(process)
    return process.pid


def end(processes: Sequence[psutil.Process], patience_s: float) -> list[psutil.Process]:
    """Ask the first to end the others, which it started; after `patience_s` insist. Returns what is still there."""
    for process in processes[:1]:
        _signal(process, kill=False)
    _, survivors = psutil.wait_procs(processes, timeout=patience_s)
    return sweep(survivors, INSIST_S)


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


def with_variable(variable: str, value: str) -> list[psutil.Process]:
    """Processes that carry this variable in their environment, the first that was started first.

    Children inherit it, so what a process started and lost is found too; this one and its parents are left out.
    """
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    entries = []
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and _carries(process, f"{variable}={value}"):
                entries.append((process.create_time(), process.pid, process))
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return [process for *_, process in sorted(entries, key=lambda one: one[:2])]


def _carries(process: psutil.Process, text: str) -> bool:
    """True if a process that still runs was started with that variable.

    Linux is asked itself: MinIO's gateway hides its arguments by zeros, psutil takes these for the environment's end.
    """
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    raw = Path(f"/proc/{process.pid}/environ")
    if raw.exists():
        return text.encode() in raw.read_bytes().split(b"\0")
    name, _, value = text.partition("=")
    return bool(process.environ().get(name) == value)


def port_obstacle(port: int) -> Literal["", "taken", "needs root"]:
    """What keeps this user from listening on the port of the loopback interface; empty if nothing does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return "needs root"
        except OSError:
            return "taken"
    return ""


def port_taken(port: int) -> bool:
    """True if something listens on this port of the loopback interface, or may not be listened on."""
    return port_obstacle(port) != ""


def free_port() -> int:
    """A port of the loopback interface that nothing listens on now and no outgoing connection takes before its use.

    None is given twice, since several may be asked for before the first is used.

    Raises:
        NoPortFree: every port of the range was given out or is taken.
    """
    ports = [port for port in FREE_PORTS if port not in _GIVEN]
    while ports:
        port = ports.pop(secrets.randbelow(len(ports)))  # no seed: two programs must not choose alike
        if not port_taken(port):
            _GIVEN.add(port)
            return port
    raise NoPortFree(
        f"no port of {HOST} from {FREE_PORTS.start} to {FREE_PORTS.stop - 1} is free: this program was given"
        f" {len(_GIVEN)} of them, others listen on the rest; end programs that listen, then start this one again"
    )


def answers(url: str) -> bool:
    """True if a GET is answered with 2xx; no proxy of the machine is asked, these are local addresses."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PROBE_TIMEOUT_S) as response:
            return bool(HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def await_ready(
    ready: Callable[[], bool], running: Callable[[], bool], timeout_s: float, poll_s: float = POLL_S
) -> Literal["ready", "ended", "late"]:
    """Waits until `ready` is true and returns the outcome: ready, ended instead, or late."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not running():
            return "ended"
        if time.monotonic() > deadline:
            return "late"
        time.sleep(poll_s)
    return "ready"


def last_line(text: str, nothing: str = "no output") -> str:
    """The last line of a program's output that says something, for a one-line error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LINE_MAX] if lines else nothing


def last_line_of(log: Path, since: int = 0) -> str:
    """`last_line` of a log; `since` skips the bytes of earlier runs."""
    try:
        return last_line(log.read_bytes()[since:].decode(errors="replace"))
    except OSError:
        return "no log"
