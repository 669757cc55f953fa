"""Processes of this host: found by their mark, awaited, told apart from others; and the ports they take."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from bentos import processes
from bentos.errors import NoPortFree
from infra.settings import ROOT

MARK = "QF_TEST_MARK"
SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_a_process_is_found_by_its_mark_until_it_ends() -> None:
    """Its children carry the mark too; another value is another's."""
    value = secrets.token_hex(8)
    child = f"import subprocess, sys; subprocess.run({SLEEP!r})"
    parent = subprocess.Popen(  # pylint: disable=consider-using-with  # ended below
        [sys.executable, "-c", child], env={**os.environ, MARK: value}, stdin=subprocess.PIPE, start_new_session=True
    )
    seen = processes.await_ready(
        lambda: len(processes.with_variable(MARK, value)) == 2, lambda: parent.poll() is None, 60
    )
    found = processes.with_variable(MARK, value)
    assert (seen, found[0].pid) == ("ready", parent.pid)
    assert processes.with_variable(MARK, value + "x") == []

    assert not processes.end(found, 0.5)  # the parent ends at once, and leaves its child to the sweep
    parent.communicate()
    assert processes.with_variable(MARK, value) == []


def test_this_process_and_its_parents_are_never_found() -> None:
    """Whoever ends what is marked does not end itself."""
    value = psutil.Process().environ().get("PATH", "")
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    assert not mine & {process.pid for process in processes.with_variable("PATH", value)}


def test_a_port_is_free_until_somebody_listens() -> None:
    """On the loopback interface, where every part listens."""
    port = processes.free_port()
    assert (processes.port_obstacle(port), processes.port_taken(port)) == ("", False)
    with socket.socket() as listener:
        listener.bind((processes.HOST, port))
        listener.listen()
        assert (processes.port_obstacle(port), processes.port_taken(port)) == ("taken", True)


def test_no_outgoing_connection_takes_a_free_port() -> None:
    """It may be used seconds later; meanwhile the system gives ports of another range to whoever connects."""
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(given.read_text(encoding="ascii").split()[0]) if given.exists() else 32_768
    assert processes.FREE_PORTS.stop <= first
    assert {processes.free_port() in processes.FREE_PORTS for _ in range(20)} == {True}


def test_two_that_ask_before_either_listens_get_two_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack asks for all of its ports at once."""
    monkeypatch.setattr(processes, "FREE_PORTS", processes.FREE_PORTS[-20:])
    monkeypatch.setattr(processes, "_GIVEN", set())
    assert len({processes.free_port() for _ in range(10)}) == 10


def test_a_host_without_a_free_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for more ports than there are learns the range and the way out, instead of waiting for ever."""
    monkeypatch.setattr(processes, "FREE_PORTS", range(20_000, 20_003))
    monkeypatch.setattr(processes, "_GIVEN", {20_000})
    monkeypatch.setattr(processes, "port_taken", lambda port: port == 20_001)

    assert processes.free_port() == 20_002
    with pytest.raises(NoPortFree, match="from 20000 to 20002 is free: this program was given 2"):
        processes.free_port()


def test_a_port_that_needs_root_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way out is another port, and no other program need be stopped."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert processes.port_obstacle(80) == "needs root"
    assert processes.port_taken(80)


@pytest.mark.parametrize(
    ("ready", "running", "expected"),
    [
        (lambda: True, lambda: False, "ready"),
        (lambda: False, lambda: False, "ended"),
        (lambda: False, lambda: True, "late"),
    ],
    ids=["ready", "ended", "late"],
)
def test_waiting_ends_in_one_of_three_ways(
    ready: Callable[[], bool], running: Callable[[], bool], expected: str
) -> None:
    """The caller says what each means to its user."""
    assert processes.await_ready(ready, running, timeout_s=0.01, poll_s=0.001) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [("", "no output"), (" \n\n", "no output"), ("a\n  b  \n\n", "b"), ("x" * 400, "x" * processes.LINE_MAX)],
    ids=["empty", "blank", "last", "long"],
)
def test_the_last_line_that_says_something(tmp_path: Path, text: str, line: str) -> None:
    """Of a text and of a log alike; a log may hold what is no UTF-8, or be missing."""
    assert processes.last_line(text) == line
    (tmp_path / "log").write_bytes(b"\xff before\n" + text.encode())
    assert processes.last_line_of(tmp_path / "log", since=9) == line
    assert processes.last_line_of(tmp_path / "none") == "no log"


def test_nothing_answers_at_a_free_port() -> None:
    """Nor at what is no address."""
    assert not processes.answers(f"http://{processes.HOST}:{processes.free_port()}")
    assert not processes.answers("nonsense")


def test_ports_and_marks_are_asked_in_one_place() -> None:
    """Whatever starts programs here asks `bentos.processes`."""
    by_hand = ("process_iter(", "getsockname()[1]", ".ProxyHandler({})")
    homes = {
        path.relative_to(ROOT).as_posix()
        for package in ("bentos", "infra", "flows")
        for path in (ROOT / package).rglob("*.py")
        if any(call in path.read_text(encoding="utf-8") for call in by_hand)
    }
    assert homes == {"bentos/processes.py", "infra/stack/parts.py"}  # the latter asks with a key for a body
