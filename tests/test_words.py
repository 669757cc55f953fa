"""Names mean one thing each: no public class twice, no module that hides an installed one, nouns for what is held."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from infra.settings import ROOT

PACKAGES = ("service", "bentos", "flows", "ui", "infra")
PARTICIPLES: Final = frozenset(
    "asked begun brought came claimed counted drawn found gathered given gone handed heard held kept left listed lost "
    "made meant named needed noted owed paid said seen sent shown spent spoken taken taught told wanted written".split()
)
"""What was done with a thing does not say what the thing is."""
IN_FILES: Final = {
    "flows/review/reason_quality.py": {"given"},  # release evidence, kept with each version
    "service/lexicon/strictness.py": {"needed"},  # a condition by the name that the documents give it
    "service/score/manifest_parts.py": {"told", "seen"},  # the manifest of every package
}
"""By module the names that stand in files and documents as well."""


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


def names_in(tree: ast.AST) -> Iterator[str]:
    """What is assigned in it: variables, attributes and parameters, and its functions."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                yield name


def bare_participles(tree: ast.AST) -> set[str]:
    """The names that are a participle and nothing else; `left` beside `top` or `right` is a side."""
    names = {name.strip("_") for name in names_in(tree)}
    return (names & PARTICIPLES) - ({"left"} if names & {"right", "top"} else set())


def test_no_name_is_a_bare_participle() -> None:
    """A noun says what a variable, a parameter, an attribute or a function is."""
    faults = {}
    for path in modules():
        name = str(path.relative_to(ROOT))
        words = bare_participles(ast.parse(path.read_text(encoding="utf-8"))) - IN_FILES.get(name, set())
        if words:
            faults[name] = words

    assert not faults


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("told = digest()", {"told"}),
        ("told: str = digest()", {"told"}),
        ("if found := digest():\n    pass", {"found"}),
        ("for kept, seen in pairs:\n    pass", {"kept", "seen"}),
        ("with folder() as made:\n    pass", {"made"}),
        ("[given for given in rows]", {"given"}),
        ("self._held = digest()", {"held"}),
        ("def digest(asked, *taken, **said): ...", {"asked", "taken", "said"}),
        ("async def written(): ...", {"written"}),
        ("lambda wanted: 1", {"wanted"}),
        ("room.left = 1", {"left"}),
        ("left, right = sides()", set()),
        ("kept_answers, is_known, digest = rows.told, found.seen, 1", set()),
    ],
)
def test_a_bare_participle_is_seen_wherever_it_is_assigned(code: str, words: set[str]) -> None:
    """Each way to give a name to something; reading one of another library's is no fault."""
    assert bare_participles(ast.parse(code)) == words


def test_every_exception_is_a_name_that_is_still_there() -> None:
    """A name that was changed takes its exception with it."""
    stale = {
        path: names - bare_participles(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        for path, names in IN_FILES.items()
    }

    assert not any(stale.values())
