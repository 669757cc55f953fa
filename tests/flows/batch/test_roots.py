"""A form cannot name what the worker was not given."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.batch.errors import BatchRefused
from flows.batch.roots import within

REMOTE = "s3://batches/in"


@pytest.mark.parametrize("address", ["{root}", "{root}/a.csv", "{root}/x/../a.csv", f"{REMOTE}/a.csv", REMOTE])
def test_under_a_root_is_fine(address: str, tmp_path: Path) -> None:
    """The root itself, and what lies below it."""
    within(address.format(root=tmp_path), (str(tmp_path), REMOTE))


@pytest.mark.parametrize(
    "address",
    [
        *("/etc/passwd", "{root}/../other", "{root}-other/a.csv", "{root}/link/keys.json", "relative.csv"),
        *(
            "s3://predictions/dt=2026-01-01/x.csv",
            "s3://batches/in/../../predictions/x.csv",
            "s3://batches/inside/x.csv",
        ),
        "file:///etc/passwd",
    ],
)
def test_outside_is_refused(address: str, tmp_path: Path) -> None:
    """Other folders and buckets, by links and by dots too; the line names the roots and not the place."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")

    with pytest.raises(BatchRefused, match="QF_SCORING_ROOTS"):
        within(address.format(root=root), (str(root), REMOTE))


def test_without_roots_any_place_is_fine() -> None:
    """On one's own machine."""
    within("/anywhere", ())
