"""Variables of the environment: what a document, container or workflow names is read; what is read is explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache

from infra.settings import ROOT

PACKAGES = ("service", "bentos", "flows", "ui", "infra")
NAME = re.compile(r"\bQF_[A-Z0-9_]*[A-Z0-9]\b")
# Compose gives these to its own first program, from its own passwords: nobody sets them.
COMPOSE_ALONE = {
    *("QF_HANDOVER_DIR", "QF_MLFLOW_FLOWS_PASSWORD", "QF_UI_ENDPOINT", "QF_UI_STORE_ACCESS_KEY"),
    "QF_UI_STORE_SECRET_KEY",
}


def named(*patterns: str) -> Iterator[str]:
    """Texts of the project's own files, by their names."""
    for path in files():
        if any(fnmatch(path, pattern) for pattern in patterns):
            yield (ROOT / path).read_text(encoding="utf-8")


@cache
def files() -> list[str]:
    """Places of the project's own files: nothing installed, built or kept by the stack."""
    tops = [*ROOT.glob("*"), ROOT / ".github", ROOT / ".ci"]
    own = [top for top in tops if top.name != "build" and (top.name in (".github", ".ci") or top.name[0] != ".")]
    found = [path for top in own for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@cache
def modules() -> list[ast.Module]:
    """Every module of the packages."""
    return [ast.parse(text) for text in named(*(f"{package}/*.py" for package in PACKAGES))]


def settings() -> set[str]:
    """Variables that the settings classes read: a prefix and a field, or the field's alias."""
    classes = {node.name: node for tree in modules() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}

    def prefix(name: str) -> str | None:
        node = classes.get(name)
        if node is None:
            return None
        if own := re.search(r"env_prefix='(\w+)'", ast.unparse(node)):
            return own[1]
        return next((found for base in node.bases if (found := prefix(ast.unparse(base)))), None)

    variables = set()
    for name, node in classes.items():
        start = prefix(name)
        for field in node.body if start else ():
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                alias = re.search(r"\balias='(\w+)'", ast.unparse(field))
                variables.add(alias[1] if alias else f"{start}{field.target.id.upper()}")
    return variables


def texts_of_code() -> set[str]:
    """Variables that code names in a text which is no documentation."""
    variables: set[str] = set()
    for tree in modules():
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                variables.update(NAME.findall(node.value))
    return variables


def referred_to() -> set[str]:
    """Variables whose value a shell, a template, compose, the compiler, a sample or a test asks for."""
    variables = set()
    for text in named(".ci/*", "Makefile", "*.yaml", "*.yml", "*.sh", "*.template", "*.md", "*Dockerfile*", "*.mjs"):
        variables.update(re.findall(r"(?:\$\{?|process\.env\.)(QF_[A-Z0-9_]+)", text))
    for text in named("*.c", "tests/*.py"):
        variables.update(NAME.findall(text))
    return variables


def test_a_variable_that_is_named_is_read() -> None:
    """No document tells of a setting that is gone, and no container or workflow sets one that nobody asks for."""
    read = settings() | texts_of_code() | referred_to()
    files_that_set = ("*.md", "*.yaml", "*.yml", "*.toml", "*.example", "Makefile", "*Dockerfile*", ".ci/*", "*.html")
    unread = {name for text in named(*files_that_set) for name in set(NAME.findall(text)) - read}

    assert unread == set()


def test_every_setting_is_explained_where_people_look() -> None:
    """A field of a settings class stands in a document under the name it is set by."""
    explained = {name for text in named("*.md", "Makefile") for name in NAME.findall(text)}

    assert {name for name in settings() if name.startswith("QF_")} - explained == COMPOSE_ALONE
