"""What packaging ends with: the version in front of partners, or the reason why it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentos.errors import DeployRefused
from flows import deploy_command


def test_the_command_is_told_the_version_and_its_words_are_passed_on(tmp_path: Path) -> None:
    """It runs in the project's folder; `python` is the worker's own."""
    (tmp_path / "door.py").write_text("import sys\nprint('proved')\nprint(' '.join(sys.argv[1:]))\n")
    said: list[str] = []

    told = deploy_command.bring("python door.py --quick", 7, tmp_path, said.append)

    assert said == ["proved", "--quick --version 7"]
    assert told == "answering: --quick --version 7"


def test_a_refusal_is_told_with_its_reason(tmp_path: Path) -> None:
    """The last line that the command said, and that the version does not answer."""
    (tmp_path / "door.py").write_text("import sys\nprint('the proxy is down')\nsys.exit(1)\n")

    with pytest.raises(DeployRefused, match="version 7 is packed and does NOT answer: the proxy is down"):
        deploy_command.bring("python door.py", 7, tmp_path, lambda line: None)


def test_where_nothing_is_told_people_hear_that_it_does_not_answer(tmp_path: Path) -> None:
    """No command is no error: the artifact says what is left to do."""
    assert deploy_command.bring("", 7, tmp_path, print).startswith("NOT answering")
