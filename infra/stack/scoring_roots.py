"""Where batch scoring from a form may read and write on the embedded stack (QF_SCORING_ROOTS of its worker)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from infra.settings import ROOT, StackSettings
from service.s3 import DATA_BUCKET

FOLDERS: Final = ("batches", "acceptance")
"""Folders of the state for files to score: people's, and those of `make acceptance`."""


def scoring_roots(settings: StackSettings) -> str:
    """Folders and buckets, with commas between: tables of the project, and what its person has beside it, at home and
    among temporary files, hidden names aside (flows/batch/roots.py). No key, login or database of ours.

    A folder with a comma in its name is left out: in a list with commas between it would name others. So is one with a
    state in it that is not hidden.
    """
    if settings.scoring_roots is not None:
        return settings.scoring_roots
    state = settings.state_dir
    folders = [ROOT / "data", *(state / name for name in FOLDERS)]
    folders += [place for place in (ROOT.parent, Path.home(), Path(tempfile.gettempdir())) if _keeps_out(place, state)]
    return ",".join([*(path for path in map(str, folders) if "," not in path), f"s3://{DATA_BUCKET}"])


def _keeps_out(place: Path, state: Path) -> bool:
    """True if a folder is no whole disk, and the state is hidden in it or elsewhere."""
    top = place.resolve()
    if top == Path(top.anchor):
        return False
    return not state.is_relative_to(top) or any(name.startswith(".") for name in state.relative_to(top).parts)
