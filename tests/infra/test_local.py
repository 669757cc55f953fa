"""What cannot start is one clear line, a non-zero exit, and nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bentos.processes import free_port, sweep
from infra.settings import HOST, ROOT
from infra.stack.guards import exclusive
from infra.stack.object_store import format_volume
from infra.stack.processes import stack_processes


@pytest.fixture(name="environment")
def _environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    ports = {f"QF_PORT_{name}": str(free_port()) for name in ("STORE", "MLFLOW", "PREFECT", "API", "UI")}
    yield {**os.environ, **ports, "QF_STATE_DIR": str(tmp_path / "state")}
    sweep(stack_processes(tmp_path / "state"), patience_s=1)


def local(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m infra.local COMMAND` as make runs it."""
    arguments = [sys.executable, "-m", "infra.local", command]
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_taken_port_is_named_with_its_setting(environment: dict[str, str], tmp_path: Path) -> None:
    """The line names the port and the setting that moves it; nothing was started."""
    with socket.socket() as other:
        other.bind((HOST, int(environment["QF_PORT_MLFLOW"])))
        other.listen()

        done = local("up", environment)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"stack: port {environment['QF_PORT_MLFLOW']} for mlflow is taken by another program; "
        "stop that, or set QF_PORT_MLFLOW to a free port"
    ]
    assert not stack_processes(tmp_path / "state")


def test_a_part_that_dies_takes_the_others_down(environment: dict[str, str], tmp_path: Path) -> None:
    """The line carries the part's last words and its log; what had been started is stopped."""
    store = tmp_path / "state" / "store"
    format_volume(store)
    (store / "meta.db").unlink()

    done = local("up", environment)

    assert done.returncode == 1
    line = done.stderr.strip()
    assert line.startswith("stack: store ended at its start: ") and "not formatted" in line
    assert line.endswith(f"the log is {tmp_path / 'state' / 'logs' / 'store.log'}")
    assert not stack_processes(tmp_path / "state")


@pytest.mark.parametrize("command", ["up", "down"])
def test_two_at_once_do_not_meet(command: str, environment: dict[str, str], tmp_path: Path) -> None:
    """The second command says who is at work, and changes nothing."""
    with exclusive(tmp_path / "state" / "stack.lock", "up"):
        done = local(command, environment)

    assert done.returncode == 1
    assert done.stderr.strip() == f"stack: `make up` (process {os.getpid()}) is at work on this stack; wait for it"


def test_a_folder_that_cannot_be_written_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    """No permission, or a file in the way: the line names the folder and the setting."""
    (tmp_path / "state").write_text("in the way")

    done = local("up", environment)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "state") in done.stderr and "QF_STATE_DIR" in done.stderr


def test_down_where_nothing_runs_is_fine(environment: dict[str, str]) -> None:
    """`make down` before the first `make up`, and twice, is no error."""
    for _ in range(2):
        done = local("down", environment)
        assert (done.returncode, done.stderr) == (0, "")


def test_status_where_nothing_runs_shows_every_part(environment: dict[str, str]) -> None:
    """The table names each part and that it is stopped."""
    done = local("status", environment)

    rows = dict(line.split()[:2] for line in done.stdout.splitlines()[1:-1])
    assert rows == dict.fromkeys(("store", "mlflow", "prefect", "worker", "api", "ui"), "stopped")


def test_an_interrupted_start_leaves_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C while parts start: exit 130, one line, no process; the state allows the next start."""
    with subprocess.Popen(
        [sys.executable, "-m", "infra.local", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        deadline = time.monotonic() + 120
        while not stack_processes(tmp_path / "state") and time.monotonic() < deadline:
            time.sleep(0.05)

        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=150)

    assert process.returncode == 130
    assert told.strip() == "stack: stopped by you, and what was started is stopped; the same command continues"
    assert not stack_processes(tmp_path / "state")
