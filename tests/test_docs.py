"""The READMEs are true: what they name exists, and what people need is named."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from infra.settings import ROOT, StackSettings
from service.contract import Applicant
from service.docs.examples import SCORE
from tests.e2e.conftest import PICTURES, README_PICTURES

README = (ROOT / "README.md").read_text(encoding="utf-8")
INFRA = (ROOT / "infra" / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
READMES = sorted(path for path in ROOT.glob("*/README.md") if not path.parent.name.startswith("."))
PAGES = ROOT / "infra" / "docs" / "pages"
DOCUMENTS = [ROOT / "README.md", *READMES, ROOT / "infra" / "runbook.md", *sorted(PAGES.rglob("*.md"))]
PACKAGES = ("service", "bentos", "flows", "ui", "data", "infra", "tests")


def targets() -> set[str]:
    """Targets of the Makefile."""
    return set(re.findall(r"^([a-z]+):", MAKEFILE, flags=re.MULTILINE))


def test_every_command_of_the_readmes_is_a_target() -> None:
    """`make X` in a document is a target of the Makefile."""
    for path in DOCUMENTS:
        commands = set(
            re.findall(r"`make ([a-z]+)", re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.S))
        )
        assert commands <= targets(), f"{path}: {commands - targets()}"


def test_the_readmes_pictures_are_those_the_tests_take() -> None:
    """Each is shown, lies in its folder, and is photographed by the demo's tests, which `make pictures` runs."""
    shown = re.findall(r"\]\(infra/pictures/([\w-]+)\.png\)", README)
    taken = (ROOT / "tests" / "e2e" / "test_demo.py").read_text(encoding="utf-8")

    assert sorted(shown) == sorted(README_PICTURES) == sorted(picture.stem for picture in PICTURES.glob("*"))
    for name in README_PICTURES:
        part, _, case = name.partition("-")
        assert f'"{name}.png"' in taken or (f'"{part}-{{deployment}}.png"' in taken and f'("{case}", ' in taken), name


def test_every_command_people_need_is_in_the_readme() -> None:
    """The fixed commands of the project are explained."""
    promised = {"demo", "up", "down", "status", "test", "lint", "bench", "image", "replay", "faults", "reproduce"}

    assert promised <= targets()
    for name in promised:
        assert f"make {name}" in README, name


def test_ports_and_settings_are_the_codes_own() -> None:
    """Each setting of the stack stands in both READMEs with its default."""
    fields = StackSettings.model_fields
    for name, field in fields.items():
        assert f"QF_{name.upper()}" in README, name
        assert f"QF_{name.upper()}" in INFRA, name
        if name.startswith("port_"):
            assert f"`QF_{name.upper()}` ({field.default})" in README, name


def test_every_setting_of_the_service_is_explained() -> None:
    """Each stands in the table of service/README.md, and the table has no other."""
    from service.settings import ServiceSettings

    text = (ROOT / "service" / "README.md").read_text("utf-8")
    table = text.partition("## Settings\n")[2].partition("\n## ")[0]

    assert set(re.findall(r"QF_[A-Z_]+[A-Z]", table)) == {
        f"QF_{name.upper()}" for name in list(ServiceSettings.model_fields)
    }


def test_every_route_is_the_contracts() -> None:
    """A route of the README is served by the API, and every route of the API is in the README."""
    from service.endpoints.table import description

    served = set(description()["paths"])
    named = set(re.findall(r"(/v1/[a-z/{}]+)", README.split("## Operate")[0]))

    assert served & {path for path in served if path.startswith("/v1/")} == {
        re.sub(r"\{\w+\}", "{id}", path) for path in named
    }


def test_the_readmes_example_is_a_valid_applicant() -> None:
    """What a reader copies is accepted by the contract."""
    body = re.search(r"-d '(\{.*?\})'", README, flags=re.DOTALL)

    assert body
    Applicant.model_validate_json(body[1])


def test_the_readmes_answer_is_the_documented_one() -> None:
    """What a reader sees first is a part of the example that the API's documentation gives."""
    block = re.search(r"```json\n(.*?)```", README, flags=re.DOTALL)

    assert block
    answer = json.loads(block[1])
    reasons = answer.pop("reasons")
    assert answer.items() <= SCORE.items()
    assert all(reason.items() <= whole.items() for reason, whole in zip(reasons, SCORE["reasons"], strict=True))


@pytest.mark.parametrize("package", PACKAGES)
def test_each_folder_explains_itself(package: str) -> None:
    """Every top-level folder has a README."""
    assert (ROOT / package / "README.md").is_file()


def anchors(path: Path) -> set[str]:
    """What a link to a part of the document may end with, as GitHub names its headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_hold(path: Path) -> None:
    """A relative link points to something that is there, and its anchor to a heading."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8")):
        page = path.parent / target if target else path

        assert page.exists(), target
        assert not anchor or anchor in anchors(page), f"{target}#{anchor}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_stands_on_one_line(path: Path) -> None:
    """Who copies it from a document copies all of it."""
    prose = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)

    assert [line for line in prose.splitlines() if line.count("`") % 2] == []


@pytest.mark.parametrize(
    "path",
    [*DOCUMENTS, ROOT / "service" / "engine" / "README.md"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_module_that_is_named_is_there(path: Path) -> None:
    """`name.py` is a file of the folder that the document explains, or of its tests; with folders before it, of any."""
    tree = [f"/{one.relative_to(ROOT)}" for package in PACKAGES for one in (ROOT / package).rglob("*.py")]
    home = ROOT / "infra" if path.is_relative_to(PAGES) else path.parent  # the pages of infra/docs are its own
    folder = "" if home == ROOT else f"/{home.relative_to(ROOT)}"
    own = [one for one in tree if one.startswith((f"{folder}/", f"/tests{folder}/"))]
    near = tree if folder == "/data" else own  # the data sheet's code is in flows/
    for name in re.findall(r"`([\w/*]+\.py)`", path.read_text(encoding="utf-8")):
        assert any(fnmatch(one, f"*/{name}") for one in (tree if "/" in name else near)), f"{path}: {name}"


def test_every_fault_of_the_matrix_has_its_tests() -> None:
    """The table of faults names tests that exist, and those it calls full are."""
    named = re.findall(
        r"`([\w/]+/test_\w+\.py)::(test_\w+)`( \(full\))?", (ROOT / "tests" / "README.md").read_text("utf-8")
    )

    assert len(named) > 30
    for file, test, full in named:
        source = (ROOT / "tests" / file).read_text("utf-8")
        assert re.search(rf"def {test}\(", source), f"{file} has no {test}"
        assert not full or "mark.full" in source, f"{file} marks nothing full"


def test_the_page_of_changes_names_files_that_exist() -> None:
    """Whoever follows the page finds each file; at least the twenty commonest changes are there."""
    text = (PAGES / "where-to-change.md").read_text(encoding="utf-8")
    named = [path for path in re.findall(r"`([\w./-]+)`", text) if "/" in path or path.endswith((".toml", ".yaml"))]

    assert len(re.findall(r"^\| (?!I want|---)", text, flags=re.MULTILINE)) >= 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_glossary_explains_each_word_once() -> None:
    """Sixty words and more, none of them twice."""
    rows = re.findall(r"^\| (?!word|---)([^|]+) \|", (PAGES / "glossary.md").read_text("utf-8"), flags=re.MULTILINE)
    words = [word.strip() for row in rows for word in row.split(",")]

    assert len(words) >= 60
    assert len(words) == len(set(words))


def test_each_decision_has_its_three_parts_and_its_line() -> None:
    """A record says context, decision and consequence, and the index links to it."""
    index = (PAGES / "decisions" / "index.md").read_text(encoding="utf-8")
    for path in sorted((PAGES / "decisions").glob("0*.md")):
        text = path.read_text(encoding="utf-8")

        assert re.findall(r"^## (\w+)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequence"], path
        assert re.search(r"^Date: \d{4}-\d\d-\d\d$", text, flags=re.MULTILINE), path
        assert f"({path.name})" in index, path
