"""Which tests belong to a change."""

from __future__ import annotations

from pathlib import Path

from infra.delivery import quick
from infra.settings import ROOT

TESTS = [path.relative_to(ROOT) for path in sorted((ROOT / "tests").rglob("test_*.py"))]


def test_a_modules_own_test_and_its_importers_belong_to_it() -> None:
    """A changed module brings the test of its name and every test that imports it."""
    chosen = quick.tests_of([Path("service/score/policy.py")], TESTS)

    assert Path("tests/service/score/test_policy.py") in chosen
    assert Path("tests/service/engine/test_packed_model.py") in chosen
    assert Path("tests/ui/test_settings.py") not in chosen


def test_a_changed_test_belongs_to_itself_and_documents_are_always_read() -> None:
    """Whatever changed, the documents and the words are looked at."""
    chosen = quick.tests_of([Path("tests/ui/test_settings.py")], TESTS)

    assert chosen == sorted({Path("tests/ui/test_settings.py"), *map(Path, quick.ALWAYS)})
    assert quick.tests_of([], TESTS) == sorted(map(Path, quick.ALWAYS))
