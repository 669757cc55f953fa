"""A metric is declared once, where it is counted; what is exposed is what was declared, and promtool finds no fault."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import service.runtime  # noqa: F401  # pylint: disable=unused-import  # every module that counts
from infra.settings import ROOT
from service import families
from service.endpoints.operations import exposition
from service.metrics import Histogram, Metrics, Snapshot


def everything() -> Snapshot:
    """A snapshot in which every declared family was counted."""
    found = Snapshot()
    for name, family in families.FAMILIES.items():
        label = "\t".join("x" for _ in family.labels)
        if family.kind == "histogram":
            found.histograms[name] = {label: Histogram([1.0, 2.0], [1, 2, 3], 9.0)}
        else:
            (found.counters if family.kind == "counter" else found.gauges)[name] = {label: 1.0}
    return found


def test_every_family_is_exposed_with_its_text_and_kind() -> None:
    """Nothing else names them: the declaration is enough."""
    text = exposition(everything()).decode()
    for name, family in families.FAMILIES.items():
        shown = f"{name}_total" if family.kind == "counter" else name
        assert f"# HELP {shown} {family.text}\n# TYPE {shown} {family.kind}\n" in text


def test_promtool_finds_no_fault(require_program: Callable[[str], str]) -> None:
    """Names, units and labels are as Prometheus' own linter wants them."""
    done = subprocess.run(
        [require_program("promtool"), "check", "metrics"],
        input=exposition(everything()),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_no_name_is_written_out_twice() -> None:
    """A family's name stands at its declaration, in one module."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "service").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in families.FAMILIES:
                found.setdefault(str(node.value), []).append(path.name)
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
    assert found.keys() == families.FAMILIES.keys()


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: families.counter("qf_scores", "Again."), "declared twice"),
        (lambda: families.gauge("qf_other_ratio", "Shares.", "le"), "le belongs to histograms"),
    ],
    ids=["twice", "le"],
)
def test_a_wrong_declaration_stops_the_start(declare: Callable[[], object], said: str) -> None:
    """Two meanings of one name, or a label that Prometheus keeps for itself."""
    with pytest.raises(ValueError, match=said):
        declare()
    assert "qf_other_ratio" not in families.FAMILIES


def test_a_total_is_counted_by_what_it_rose(tmp_path: Path) -> None:
    """A source counts for itself; a worker that inherits the place goes on from what was counted."""
    family = families.FAMILIES["qf_shipped_rows"]
    first = Metrics(tmp_path)
    for total in (3, 3, 10):
        first.raise_to(family, total)
    assert first.snapshot().counters[family] == {"": 10.0}
    first.close()

    second = Metrics(tmp_path)
    second.raise_to(family, 2)
    assert second.snapshot().counters[family] == {"": 12.0}
    second.close()
