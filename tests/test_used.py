"""Nothing is written for nobody: each function, class, constant and field of the packages is named a second time."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from pathlib import Path

from infra.settings import ROOT

PACKAGES = ("service", "bentos", "flows", "ui", "infra")
ENDINGS = (".py", ".yaml", ".yml", ".toml", ".c", ".html", ".js")
TOPS = ("Makefile", "bentofile.yaml", "dvc.yaml", "prefect.yaml", "pyproject.toml")
WORD = re.compile(r"[A-Za-z_]\w*")
# Libraries call these by name.
CALLED_FROM_OUTSIDE = {
    *("auth_flow",),  # httpx
    *("connection_lost", "eof_received", "pause_writing", "resume_writing"),  # asyncio's protocol
    *("on_header", "on_headers_complete", "on_url"),  # httptools
    *("look_before_start",),  # BentoML
    *("Mail",),  # Prefect's register of blocks
}


def files() -> list[Path]:
    """Whatever may name something of ours, but the tests."""
    inside = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    return [path for path in inside if path.suffix in ENDINGS or "Dockerfile" in path.name] + [
        ROOT / top for top in TOPS
    ]


def defined(tree: ast.Module) -> list[str]:
    """Names of functions, classes and annotated constants and fields; a validator is pydantic's to call."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not any("validator" in ast.unparse(each) for each in node.decorator_list):
                names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("__")]


def test_what_is_defined_is_used() -> None:
    """A limit that nothing asks, a helper that only its own test calls: each is deleted, or used."""
    words: Counter[str] = Counter()
    homes: dict[str, list[str]] = defaultdict(list)
    for path in files():
        text = path.read_text(encoding="utf-8")
        words.update(WORD.findall(text))
        if path.suffix == ".py":
            for name in defined(ast.parse(text)):
                homes[name].append(path.relative_to(ROOT).as_posix())

    unused = {name: places for name, places in homes.items() if words[name] == len(places)}
    assert {name: places for name, places in unused.items() if name not in CALLED_FROM_OUTSIDE} == {}
