"""Names mean one thing each: no public class twice, no module that hides an installed one."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path

from infra.settings import ROOT

PACKAGES = ("service", "bentos", "flows", "ui", "infra")


def modules() -> list[Path]:
    """Every module of the packages."""
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_no_public_class_name_stands_for_two_things() -> None:
    """Whoever searches for a class finds one."""
    homes: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(ROOT)))

    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_module_hides_an_installed_one() -> None:
    """A framework may put any of our folders on the path: no name in them is that of a library."""
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    named = {path.stem for path in modules()} | {path.parent.name for path in modules() if path.parent.parent != ROOT}
    ours = named - {"__init__", "__main__"} - set(PACKAGES)

    assert ours & taken == set()
