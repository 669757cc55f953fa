"""Processes are known again by pid and start time, and none of a part's family survives it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bentos.processes import free_port, sweep
from infra.stack.credentials import Credentials
from infra.stack.object_store import format_volume, gateway
from infra.stack.processes import LOG_BYTES_MAX, Recipe, Shelf, end, stack_processes

SLEEPER = "import time; time.sleep(300)"
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]); time.sleep(300)"
LOST_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True)"


def python(code: str, folder: Path) -> Recipe:
    """A recipe that runs a line of Python."""
    return Recipe((sys.executable, "-c", code), {}, folder)


def eventually(true: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


@pytest.fixture(name="shelf")
def _shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    sweep(stack_processes(tmp_path), patience_s=1)


def test_a_started_part_is_found_again_and_ended(shelf: Shelf) -> None:
    """What was spawned is found by its name until it is ended."""
    running = shelf.spawn("sleeper", python(SLEEPER, shelf.state))
    assert shelf.find("sleeper") == running

    end(running, patience_s=5)

    assert shelf.find("sleeper") is None


def test_a_number_used_again_is_not_the_part(shelf: Shelf) -> None:
    """A pid file whose process started at another time names nobody, whatever runs under that number now."""
    shelf.spawn("sleeper", python(SLEEPER, shelf.state))
    file = shelf.pid_file("sleeper")
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "started": kept["started"] - 3600}))

    assert shelf.find("sleeper") is None


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": "x"', '{"pid": 1, "unknown": 2}'])
def test_a_damaged_pid_file_names_nobody(shelf: Shelf, content: str) -> None:
    """Half a file, as a full disk leaves it, is no process."""
    shelf.pid_file("sleeper").parent.mkdir(parents=True)
    shelf.pid_file("sleeper").write_text(content)

    assert shelf.find("sleeper") is None


def test_children_end_with_their_part(shelf: Shelf) -> None:
    """A part's own children are ended too."""
    running = shelf.spawn("parent", python(PARENT, shelf.state))
    process = psutil.Process(running.pid)
    assert eventually(lambda: bool(process.children()))
    child = process.children()[0]

    end(running, patience_s=2)

    assert eventually(lambda: not child.is_running())


def test_a_lost_child_is_found_by_its_marker(shelf: Shelf) -> None:
    """A process in a session of its own whose parent is gone still carries the stack's marker, and is swept."""
    shelf.spawn("parent", python(LOST_CHILD, shelf.state))
    assert eventually(lambda: shelf.find("parent") is None and len(stack_processes(shelf.state)) == 1)

    assert not sweep(stack_processes(shelf.state), patience_s=5)

    assert not stack_processes(shelf.state)


def test_another_stack_is_left_alone(shelf: Shelf, tmp_path: Path) -> None:
    """The marker carries the folder: two stacks on one machine do not end each other."""
    shelf.spawn("sleeper", python(SLEEPER, shelf.state))

    assert not stack_processes(tmp_path / "other")


def test_one_that_ignores_the_polite_signal_is_killed(shelf: Shelf) -> None:
    """After its patience, `end` insists."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    )
    running = shelf.spawn("stubborn", python(stubborn, shelf.state))
    assert eventually(lambda: shelf.tail("stubborn") == "deaf")

    end(running, patience_s=0.2)

    assert not running.alive()


def test_the_last_line_of_a_log_is_the_reason(shelf: Shelf) -> None:
    """The tail of a log is its last line with something in it."""
    assert shelf.tail("silent") == "no log"
    shelf.spawn("speaker", python("print('first'); print('second'); print()", shelf.state))

    assert eventually(lambda: shelf.tail("speaker") == "second")


def test_a_large_log_makes_way(shelf: Shelf) -> None:
    """Logs do not grow for ever: a start moves one that is too large aside."""
    log = shelf.log("sleeper")
    log.parent.mkdir(parents=True)
    with log.open("wb") as file:
        file.truncate(LOG_BYTES_MAX + 1)

    shelf.spawn("sleeper", python(SLEEPER, shelf.state))

    assert log.stat().st_size == 0
    assert log.with_suffix(".log.1").stat().st_size == LOG_BYTES_MAX + 1


def test_a_recipe_tells_its_changes(tmp_path: Path) -> None:
    """Another argument, setting or port is another recipe; the same is the same."""
    base = Recipe(("a", "b"), {"X": "1"}, tmp_path, 9000)
    others = [
        Recipe(("a", "c"), {"X": "1"}, tmp_path, 9000),
        Recipe(("a", "b"), {"X": "2"}, tmp_path, 9000),
        Recipe(("a", "b"), {"X": "1"}, tmp_path, 9001),
    ]

    assert base.digest == Recipe(("a", "b"), {"X": "1"}, tmp_path, 9000).digest
    assert len({base.digest, *(other.digest for other in others)}) == 4


def test_a_process_that_hides_its_arguments_is_found(shelf: Shelf, tmp_path: Path) -> None:
    """The store overwrites the head of its own environment with zeros; it carries the marker all the same."""
    format_volume(tmp_path / "store")
    shelf.spawn("store", gateway(tmp_path / "store", free_port(), Credentials("qf-test", "qf-test-secret")))

    assert eventually(lambda: any(process.net_connections("tcp") for process in stack_processes(tmp_path)))
    assert "juicefs" in {process.name() for process in stack_processes(tmp_path)}
