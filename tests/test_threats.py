"""What the security pages promise: every attack has its test, every file they name is there."""

from __future__ import annotations

import re

import pytest
import yaml

from infra.settings import ROOT

THREATS = (ROOT / "infra" / "docs" / "pages" / "threats.md").read_text("utf-8")
ROWS = re.findall(r"^\| .+ \| `([\w/]+\.py)::(test_\w+)` \|$", THREATS.partition("## Attacks tried")[2], re.MULTILINE)


def test_the_table_of_attacks_is_whole() -> None:
    """More than the fifty-six that were tried at first, none twice, none without a test."""
    rows = [line for line in THREATS.partition("## Attacks tried")[2].splitlines() if line.startswith("| ")][1:]

    assert len(rows) == len(ROWS) >= 56
    assert len({row.split("|")[1] for row in rows}) == len(rows)


@pytest.mark.parametrize(("file", "test"), ROWS)
def test_every_attack_has_its_test(file: str, test: str) -> None:
    """A row names a test that is there."""
    assert re.search(rf"^(async )?def {test}\(", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


def test_security_md_names_what_is_there() -> None:
    """Commands, files and tests that keys are changed by."""
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    for module in re.findall(r"python -m ([a-z.]+)", text):
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module
    for path in re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / path).exists(), path


def test_whoever_must_look_at_a_change_is_named() -> None:
    """CODEOWNERS names paths that are there; dependabot looks where files to renew lie."""
    for line in (ROOT / ".github" / "CODEOWNERS").read_text("utf-8").splitlines():
        if line.startswith("/"):
            assert (ROOT / line.split()[0].lstrip("/")).exists(), line
    for update in yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text("utf-8"))["updates"]:
        for folder in update.get("directories", [update.get("directory")]):
            assert (ROOT / folder.lstrip("/")).is_dir(), folder
