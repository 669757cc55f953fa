"""Imports point one way, and the linter that says so is not asleep: each of its contracts breaks when it should."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT

CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "importlinter"
]["contracts"]
PACKAGES = ("service", "bentos", "flows", "ui", "infra")


def rooms(layer: str) -> list[str]:
    """The rooms that stand side by side in one layer."""
    return [room.strip() for room in layer.replace(":", "|").split("|")]


def forbidden(contract: dict[str, Any]) -> list[tuple[str, str]]:
    """Imports (importer, imported) of which the contract must refuse each."""
    if contract["type"] == "forbidden":
        return [(contract["source_modules"][0], module) for module in contract["forbidden_modules"]]
    inside = f"{contract['containers'][0]}." if "containers" in contract else ""
    layers = [rooms(layer) for layer in contract["layers"]]
    upward = [(inside + low, inside + high) for (high, *_), (low, *_) in zip(layers, layers[1:], strict=False)]
    beside = [(inside + first, inside + second) for first, second, *_ in (each for each in layers if len(each) > 1)]
    return upward + beside


def place(tree: Path, module: str) -> Path:
    """A file of the module: its own, or of a package any of its modules, which is not its empty `__init__`."""
    path = tree / module.replace(".", "/")
    if not path.is_dir():
        return path.with_suffix(".py")
    return next(file for file in sorted(path.rglob("*.py")) if file.name != "__init__.py")


def copy(tree: Path) -> None:
    """The packages, without what is no Python, and the linter's settings."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=_no_python)
    shutil.copy(ROOT / "pyproject.toml", tree)


def _no_python(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()]


def broken(tree: Path) -> set[str]:
    """Names of the contracts that the linter finds broken."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run(
        [*command, "--no-cache"],
        cwd=tree,
        env={"PYTHONPATH": str(tree), "PATH": "", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return {line.removesuffix(" BROKEN") for line in done.stdout.splitlines() if line.endswith(" BROKEN")}


def add_import(file: Path, module: str) -> str:
    """The file with one more import, hidden in a function as an ill-meant one would be; what it was before."""
    before = file.read_text(encoding="utf-8")
    parent, _, name = module.rpartition(".")
    line = f"from {parent} import {name}" if parent else f"import {name}"
    file.write_text(f"{before}\n\ndef _smuggled() -> None:\n    {line}\n", encoding="utf-8")
    return before


def test_the_tree_keeps_every_contract(tmp_path: Path) -> None:
    """As it stands."""
    copy(tmp_path)
    assert broken(tmp_path) == set()


@pytest.mark.parametrize("contract", CONTRACTS, ids=[contract["name"] for contract in CONTRACTS])
def test_each_contract_breaks_at_a_forbidden_import(tmp_path: Path, contract: dict[str, Any]) -> None:
    """One upward, one sideways, one at each end: the contract itself is named as broken, whatever others say."""
    copy(tmp_path)
    pairs = forbidden(contract)
    for importer, imported in dict.fromkeys((pairs[0], pairs[-1])):
        file = place(tmp_path, importer)
        before = add_import(file, imported)
        assert contract["name"] in broken(tmp_path), f"{importer} may import {imported}"
        file.write_text(before, encoding="utf-8")


def test_a_room_without_a_place_is_refused(tmp_path: Path) -> None:
    """A new module at the top of a package must be given its layer."""
    copy(tmp_path)
    for package in PACKAGES:
        (tmp_path / package / "attic.py").write_text('"""Nobody knows where this belongs."""\n', encoding="utf-8")
    names = {contract["name"] for contract in CONTRACTS if contract.get("exhaustive")}
    assert names == {f"rooms of {package}" for package in PACKAGES}
    assert broken(tmp_path) == names


def test_what_the_page_may_not_import_is_all_but_what_it_may() -> None:
    """The list of forbidden modules grows with the service: a module that is new is forbidden, too."""
    (page,) = [contract for contract in CONTRACTS if contract.get("source_modules") == ["ui"]]
    modules = {
        f"service.{path.stem}"
        for path in (ROOT / "service").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    allowed = {"service.contract", "service.lexicon"}
    assert modules - allowed == {module for module in page["forbidden_modules"] if module.startswith("service.")}
    for file in (ROOT / "ui").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "service":
                assert ".".join(str(node.module).split(".")[:2]) in allowed, file


def test_the_acceptance_run_knows_nothing_of_the_products_code() -> None:
    """It asks by HTTP, S3, a browser and a shell, so nothing of ours can be wrong on both sides."""
    files = sorted((ROOT / "tests" / "acceptance").glob("*.py"))
    imported = {
        name.partition(".")[0]
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }

    assert len(files) >= 5 and "httpx" in imported
    assert not imported & set(PACKAGES)
