"""The environment is made from locks that hold together."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from infra.environment import LOCKS, add_compiler, digest_of, lacks_compiler


def pins(name: str) -> dict[str, set[str]]:
    """Versions a lock pins, by package."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9._-]+)(?:\[[^]]+\])?==([^ ;\\]+)", (LOCKS / name).read_text(), re.MULTILINE
    ):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", ["service.txt", "flows.txt", "ui.txt", "uv.txt"])
def test_no_image_runs_a_version_the_tests_did_not_see(name: str) -> None:
    """Every pin of an image's lock is a pin of the development lock."""
    tested = pins("dev.txt")

    assert pins(name)
    assert {package: versions for package, versions in pins(name).items() if not versions <= tested[package]} == {}


@pytest.mark.parametrize("name", ["dev.txt", "service.txt", "flows.txt", "ui.txt", "uv.txt", "compiler.txt"])
def test_every_pin_has_hashes_and_no_address(name: str) -> None:
    """What is installed is what was locked, from whichever index a machine uses."""
    text = (LOCKS / name).read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text)

    assert not [entry for entry in entries if "==" in entry.split("\n")[0] and "--hash=sha256:" not in entry]
    assert "index-url" not in text.replace("--no-emit-index-url", "") and "://" not in text


def test_the_serving_image_leaves_out_what_prediction_does_not_need() -> None:
    """No plotting, no training tools, no orchestrator in the image."""
    assert not {"matplotlib", "plotly", "graphviz", "mlflow", "prefect", "streamlit", "dvc"} & set(pins("service.txt"))


@pytest.mark.parametrize("name", ["dev.txt", "service.txt", "flows.txt", "ui.txt"])
def test_no_program_builds_a_grammar_of_addresses_at_its_start(name: str) -> None:
    """jsonschema builds one at each import where it finds this package, and Prefect imports jsonschema."""
    assert not {"rfc3987-syntax", "lark"} & set(pins(name))


def test_another_python_is_another_environment() -> None:
    """The digest that decides whether to install anew depends on the Python version."""
    assert digest_of("3.11") != digest_of("3.12")
    assert digest_of("3.11") == digest_of("3.11")


def test_a_machine_without_a_compiler_gets_the_locked_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It counts for the digest; where it cannot be installed a line says what that means, and nothing fails."""
    here = digest_of("3.11")
    monkeypatch.setenv("CC", "no-such-compiler" if not lacks_compiler() else sys.executable)
    assert digest_of("3.11") != here
    refuses = tmp_path / "uv"
    refuses.write_text("#!/bin/sh\nexit 1\n")
    refuses.chmod(0o755)

    add_compiler(refuses, Path(sys.executable))

    assert "without the compiled engine" in capfd.readouterr().out
