"""The repository stamps out a project of another name that works, and keeps nothing of the old one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.delivery import template
from infra.delivery.template import NAME, SHORT, SLUG, context_of
from infra.errors import StackError

#: A part of the tests that needs no server: the contract, the score, keys under the new prefix, READMEs, the template.
LIGHT = ("tests/service/score/test_policy.py", "tests/service/access/test_pseudonyms.py", "tests/test_docs.py")


@pytest.fixture(scope="module", name="stamped")
def _stamped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project called Acme Credit."""
    destination = tmp_path_factory.mktemp("new") / "acme"
    assert template.main(["--name", "Acme Credit", "--dest", str(destination)]) == 0
    return destination


def in_project(folder: Path, *command: str, timeout_s: float = 250) -> subprocess.CompletedProcess[str]:
    """A command in the new project, with its own packages first and nothing traced."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST_", "QF_"))}
    env["PYTHONPATH"] = str(folder)
    return subprocess.run(command, cwd=folder, env=env, text=True, capture_output=True, check=False, timeout=timeout_s)


def test_no_old_name_is_left(stamped: Path) -> None:
    """Neither in a file nor in a file's name; the new ones stand in their places."""
    for path in stamped.rglob("*"):
        if ".git" in path.relative_to(stamped).parts or not path.is_file():
            continue
        assert SLUG not in str(path.relative_to(stamped)).lower()
        try:
            text = path.read_bytes().decode()
        except UnicodeDecodeError:
            continue
        assert SLUG not in text.lower(), path
        assert not re.search(rf"(?<![A-Za-z0-9+/])({SHORT}|{SHORT.upper()})(?![a-z0-9+/])", text), path
    assert 'PREFIX: Final = "ac_live_"' in (stamped / "service/access/credentials.py").read_text()
    assert 'name = "acmecredit-credit-score"' in (stamped / "pyproject.toml").read_text()
    assert "# Acme Credit credit score" in (stamped / "README.md").read_text()


def test_it_is_a_repository_of_its_own(stamped: Path) -> None:
    """Formatted, and git has nothing to say but, without an identity, the first commit."""
    ruff = str(Path(sys.executable).parent / "ruff")

    for check in (("format", "--check"), ("check",)):
        done = in_project(stamped, ruff, *check, ".")
        assert done.returncode == 0, done.stdout
    status = in_project(stamped, "git", "status", "--porcelain").stdout
    assert not [line for line in status.splitlines() if not line.startswith("A  ")]
    assert in_project(stamped, "git", "rev-parse", "--show-toplevel").stdout.strip() == str(stamped.resolve())


@pytest.mark.slow
def test_its_own_tests_pass(stamped: Path, tmp_path: Path) -> None:
    """A light part of them, and a key of its own is one."""
    # In a folder of its own: where all runs of a machine share one, the last to end sweeps up after the others.
    run = ("pytest", "-q", "-p", "no:cacheprovider", "-n0", f"--basetemp={tmp_path / 'its'}")
    done = in_project(stamped, sys.executable, "-m", *run, *LIGHT)

    assert done.returncode == 0, done.stdout[-3000:]
    minted = (
        "from service.access.credentials import mint, well_formed; key = mint()[0]; print(key[:8], well_formed(key))"
    )
    assert in_project(stamped, sys.executable, "-c", minted).stdout == "ac_live_ True\n"


@pytest.mark.full
@pytest.mark.timeout(7200)
def test_the_whole_of_its_checks_pass(stamped: Path) -> None:
    """`make test` there, from its own virtual environment."""
    done = in_project(stamped, "make", "test", timeout_s=7000)

    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize(
    ("name", "short", "says"),
    [
        pytest.param("", "", "NAME takes", id="no-name"),
        pytest.param("9lives", "", "NAME takes", id="digit-first"),
        pytest.param("Crédito", "", "NAME takes", id="accent"),
        pytest.param("A1", "", "two small letters", id="prefix-with-a-digit"),
        pytest.param("Acme", "acm", "two small letters", id="long-prefix"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(name: str, short: str, says: str) -> None:
    """One line that says what can."""
    with pytest.raises(StackError, match=says):
        context_of(name, short)


def test_names_follow_from_one_another() -> None:
    """The project's own follow from its own name by the same rule."""
    assert context_of("Acme Credit") == {"name": "Acme Credit", "slug": "acmecredit", "short": "ac", "upper": "AC"}
    assert context_of(NAME, SHORT)["slug"] == SLUG


def test_a_taken_destination_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And none is asked for."""
    (tmp_path / "kept").write_text("mine")

    assert template.main(["--name", "Acme", "--dest", str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert template.main(["--name", "Acme", "--dest", ""]) == 1
    assert "DEST is not set" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
