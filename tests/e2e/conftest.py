"""A fresh clone with the stack of `make demo` in it, and a browser to look at its pages."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bentos.processes import free_port, sweep
from infra.settings import HOST, ROOT
from infra.stack.credentials import OPERATOR, logins
from infra.stack.processes import stack_processes
from tests.chromium import OPTIONS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PARTS = ("STORE", "MLFLOW", "PREFECT", "API", "UI")
PICTURES = ROOT / "infra" / "pictures"
README_PICTURES = ("ui-score", "prefect-registration")


@dataclass(frozen=True)
class Clone:
    """A clone of the project with ports of its own."""

    folder: Path
    environment: dict[str, str]

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.folder / ".local"

    def url(self, part: str) -> str:
        """Address of a part."""
        return f"http://{HOST}:{self.environment[f'QF_PORT_{part}']}"

    @property
    def prefect_auth(self) -> str:
        """What Prefect's page asks for, as the demo prints it."""
        return logins(self.state / "env").prefect_auth

    @property
    def mlflow_login(self) -> tuple[str, str]:
        """MLflow's user and password."""
        return OPERATOR, logins(self.state / "env").mlflow

    def git_status(self) -> str:
        """What git sees as changed."""
        command = ["git", "status", "--porcelain"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=True).stdout

    def run(self, *arguments: str, timeout_s: float = 1200) -> subprocess.CompletedProcess[str]:
        """`python -m ARGUMENTS` in the clone, to its end."""
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def interrupt(self, *arguments: str, at: str, timeout_s: float = 600) -> tuple[int, str]:
        """The same, with Ctrl-C once a line with `at` was printed: exit code and everything said."""
        with subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process:
            assert process.stdout is not None  # it is a pipe
            said = []
            for line in process.stdout:
                said.append(line)
                if at in line:
                    time.sleep(1)
                    os.killpg(process.pid, signal.SIGINT)
                    break
            rest, _ = process.communicate(timeout=timeout_s)
        return process.returncode, "".join(said) + rest


def _overlay(folder: Path) -> None:
    """Bring the clone to the state of the working tree: what is tested is what lies here, committed or not."""
    listing = ["git", "ls-files", "-z", "--modified", "--others", "--deleted", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
        else:
            target.unlink(missing_ok=True)


@pytest.fixture(scope="session", name="clone")
def _clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("e2e") / "checkout"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True)
    _overlay(folder)
    ports = {f"QF_PORT_{part}": str(free_port()) for part in PARTS}
    # The editable install points to the tree under test's own folder; PYTHONPATH turns it to the clone.
    # Nothing in it is traced for coverage: the chain is timed as people meet it.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment = {**inherited, **ports, "PYTHONPATH": str(folder), "QF_STATE_DIR": str(folder / ".local")}
    made = Clone(folder, environment)
    yield made
    made.run("infra.local", "down", timeout_s=120)
    sweep(stack_processes(made.state), patience_s=2)


@pytest.fixture(scope="session", name="screenshots")
def _screenshots() -> Iterator[Path]:
    """Where people look at what the pages showed; with QF_PICTURES=1 (`make pictures`) the README shows it too."""
    folder, begun = ROOT / ".local" / "screenshots", time.time()
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    if os.environ.get("QF_PICTURES") == "1":
        for name in README_PICTURES:
            made = folder / f"{name}.png"
            if made.is_file() and made.stat().st_mtime >= begun:  # one of an earlier day is no picture of today
                shutil.copy2(made, PICTURES)


@pytest.fixture(scope="module", name="browser")
def _browser(require_program: Callable[[str], str]) -> Iterator[Browser]:
    program = require_program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()
