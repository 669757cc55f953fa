"""The plan of the house: few rooms, small folders, no arrow back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from infra.delivery import rooms
from infra.delivery.rooms import PACKAGES, Plan
from infra.settings import ROOT

MODULES_MAX = 20


@pytest.fixture(scope="module", name="drawn")
def _drawn() -> list[Plan]:
    return rooms.plans()


def test_no_arrow_points_back(drawn: list[Plan]) -> None:
    """Imports run from the doors to the ground in each package."""
    assert {plan.package: plan.back() for plan in drawn} == {package: [] for package in PACKAGES}


def test_an_arrow_back_is_seen() -> None:
    """A plan whose ground imports its door says so."""
    plan = Plan("made_up", (("door",), ("ground",)), {("door", "ground"): 1, ("ground", "door"): 2})

    assert plan.back() == [("ground", "door")]


def test_an_arrow_that_a_longer_way_tells_is_not_drawn() -> None:
    """From a to c through b: the arrow from a to c adds nothing to a picture."""
    plan = Plan("made_up", (("a",), ("b",), ("c",)), {("a", "b"): 1, ("b", "c"): 1, ("a", "c"): 1})

    assert plan.essential() == [("a", "b"), ("b", "c")]


def test_folders_stay_small() -> None:
    """No folder is a heap: at most about twenty modules, and at most twenty rooms a package."""
    modules = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    )
    counted = {package: len(list((ROOT / package).glob("*/__init__.py"))) for package in PACKAGES}

    assert {folder: count for folder, count in modules.items() if count > MODULES_MAX} == {}
    assert all(count <= 20 for count in counted.values()), counted


def test_the_pictures_are_well_formed(drawn: list[Plan]) -> None:
    """Each plan becomes an SVG that names every room."""
    for plan in drawn:
        texts = {element.text for element in ElementTree.fromstring(rooms.as_svg(plan)).iter() if element.text}

        assert {name for names in plan.layers for name in names} <= {text.rstrip("/") for text in texts}


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--svg` leaves a picture a package; the exit code says that no arrow points back."""
    assert rooms.main(["--svg", str(tmp_path)]) == 0

    assert {path.stem for path in tmp_path.glob("*.svg")} == {f"rooms-{package}" for package in PACKAGES}
    assert "service: " in capsys.readouterr().out
