"""Each fact stands in one module: a stray copy fails here by name, and a changed band limit is followed everywhere."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.monitoring import report_store
from infra.settings import ROOT
from service import s3
from service.contract import BANDS, POOR_MAX, PROBABILITY_COLUMNS, PRODUCT, STANDARD_MAX, CreditClass
from service.s3 import BUCKETS
from service.score import manifest
from ui import settings as ui_settings

PACKAGES = ("service", "bentos", "flows", "ui", "infra")
LIMITS = (POOR_MAX, POOR_MAX + 1, STANDARD_MAX, STANDARD_MAX + 1)
PACKED = {manifest.MODEL_FILE, manifest.MANIFEST_FILE, manifest.TABLE_FILE, manifest.REFERENCE_FILE}
# Where a text may repeat what it cannot import, and what holds it: everything else derives.
TOLD = {
    "README.md": "test_the_readme_states_the_bands",
    "flows/cleaning/raw_table.py": "the raw file's own tokens, which happen to be the classes' names",
}


def parsed() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the packages by its place."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def texts(tree: ast.Module) -> Iterator[str]:
    """The string constants of a module that are no docstrings."""
    prose = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def strays(wanted: set[str], home: str) -> dict[str, set[str]]:
    """Modules but the home that write one of these texts out."""
    found = {place: wanted & set(texts(tree)) for place, tree in parsed() if place != home}
    return {place: words for place, words in found.items() if words}


def test_the_limits_of_bands_stand_in_the_contract() -> None:
    """No module compares a score with a number of its own; limits that are no round number cannot be anything else."""
    close: dict[str, list[int]] = {}
    for place, tree in parsed():
        numbers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        near = [value for value in numbers if isinstance(value, int | float) and value in (*LIMITS[1::2], 300.5, 700.5)]
        pairs = {POOR_MAX, STANDARD_MAX} <= {value for value in numbers if isinstance(value, int)}  # both together
        if place != "service/contract/terms.py" and (near or pairs):
            close[place] = near
    assert not close


@pytest.mark.parametrize(
    "place",
    [
        "service/engine/kernel.c",
        "service/docs/guide.pt.html",
        "service/docs/guide.en.html",
        "ui/texts/pt.toml",
        "ui/texts/en.toml",
    ],
)
def test_what_is_no_python_repeats_no_limit(place: str) -> None:
    """The kernel is compiled with the limits; guides and page texts are filled with them."""
    limits = re.compile(rf"\b({'|'.join(map(str, LIMITS))})\b")
    lines = (ROOT / place).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if limits.search(line)] == []


def test_the_readme_states_the_bands() -> None:
    """A text that people read on its own repeats the limits and is held to them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"(`Poor` to {POOR_MAX}, `Standard` to {STANDARD_MAX}, `Good` above)" in text


def test_the_products_name_stands_in_the_contract() -> None:
    """Model, experiment, Bento and image are called what partners read."""
    named = {
        place: [text for text in texts(tree) if text == PRODUCT or text.startswith((f"{PRODUCT}-", f"{PRODUCT}:"))]
        for place, tree in parsed()
        if place != "service/contract/terms.py"
    }
    assert {place: found for place, found in named.items() if found} == {}


def test_the_classes_are_listed_once() -> None:
    """Whoever walks the classes walks the contract's."""
    names = {str(name) for name in CreditClass}
    lists = {
        place
        for place, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.Tuple | ast.List | ast.Set)
        and names == {each.value for each in node.elts if isinstance(each, ast.Constant)}
    }
    assert lists == {"flows/cleaning/raw_table.py"}, TOLD["flows/cleaning/raw_table.py"]


def test_the_columns_of_probabilities_are_named_once() -> None:
    """Journal, batches, reference and page write the same columns."""
    assert strays(set(PROBABILITY_COLUMNS), "service/contract/terms.py") == {}


def test_the_files_of_a_package_are_named_once() -> None:
    """The manifest says what lies beside it."""
    assert strays(PACKED, "service/score/manifest.py") == {}


def test_buckets_are_named_once() -> None:
    """No call and no default names a bucket by a text of its own; the page, which sees no service, is held to it."""
    found = []
    for place, tree in parsed():
        for node in ast.walk(tree):
            value: ast.expr | None = None
            if isinstance(node, ast.keyword) and node.arg == "Bucket":
                value = node.value
            elif isinstance(node, ast.AnnAssign) and "bucket" in ast.unparse(node.target).lower():
                value = node.value
            for each in ast.walk(value) if value else ():
                if isinstance(each, ast.Constant) and each.value in BUCKETS:
                    found.append(place)
    assert set(found) == {"service/s3.py"}
    assert 'section.get("bucket", "reports")' in (ROOT / "ui" / "settings.py").read_text(encoding="utf-8")


def test_what_a_store_calls_an_absent_object_is_known_in_one_place() -> None:
    """Whoever reads an object that may not be there asks `s3.read_object`; the ledger tells refusals apart, too."""
    assert set(strays({"NoSuchKey"}, "service/s3.py")) == {"service/ledger/journal/shipped_answers.py"}


def test_the_objects_of_drift_are_named_once() -> None:
    """Who writes them names them; the page, which sees no flow, is held to it."""
    objects = {report_store.CURRENT, report_store.HISTORY}

    assert strays(objects, "flows/monitoring/report_store.py") == {"ui/views/health.py": objects}


def test_a_region_that_nobody_names_is_the_same_for_all() -> None:
    """The page, which sees no service, signs for the region of everybody else."""
    assert ui_settings.DEFAULT_REGION == s3.DEFAULT_REGION


FOLLOWS = """
import numpy as np
from service.contract import BANDS, Score
from service.docs import guide
from service.endpoints.table import DECLARED
from service.engine.layout import KERNEL_CONSTANTS
from service.score import policy
from flows.learning.model_metrics import MIDPOINTS
from ui.components import gauge

assert [(low, high) for _, low, high in BANDS] == [(0, 320), (321, 720), (721, 1000)], BANDS
assert [str(policy.band(points)) for points in (320, 321, 720, 721)] == ["Poor", "Standard", "Standard", "Good"]
assert policy.band_many(np.array([320, 321, 720, 721])).tolist() == [0, 1, 1, 2]
assert (KERNEL_CONSTANTS["POOR_MAX"], KERNEL_CONSTANTS["STANDARD_MAX"]) == (320, 720)
assert MIDPOINTS.tolist() == [160.0, 520.0, 860.0]
assert gauge._TICKS == (0, 320, 720, 1000)
for language in guide.LANGUAGES:
    assert "Poor 0–320, Standard 321–720, Good 721–1000" in guide.page(language, DECLARED).decode(), language
print("followed")
"""


def test_a_changed_limit_is_followed_everywhere(tmp_path: Path) -> None:
    """One place is changed to 320 and 720 in a copy: answers, kernel, judges, guide and gauge follow."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    contract = tmp_path / "service" / "contract" / "terms.py"
    text = contract.read_text(encoding="utf-8")
    for name, before, after in (("POOR_MAX", POOR_MAX, 320), ("STANDARD_MAX", STANDARD_MAX, 720)):
        assert f"{name}: Final = {before}\n" in text
        text = text.replace(f"{name}: Final = {before}\n", f"{name}: Final = {after}\n")
    contract.write_text(text, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-c", FOLLOWS],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "followed\n"


def test_the_bands_leave_no_score_out() -> None:
    """They follow each other without a gap, worst class first."""
    assert [band for band, *_ in BANDS] == list(CreditClass)
    assert [low for _, low, _ in BANDS[1:]] == [high + 1 for *_, high in BANDS[:-1]]
