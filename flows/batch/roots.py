"""Where batch scoring may read and write: a form names any place, so a worker is told which ones are meant."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flows.batch.errors import BatchRefused

REMOTE: Final = "s3://"


def within(address: str, roots: Sequence[str]) -> None:
    """Make sure that an address lies under one of the roots; any does where no root is named.

    Links are followed first and `..` is resolved, in a bucket's keys too.

    Raises:
        BatchRefused: it lies under none.
    """
    place = _settled(address)
    if roots and not any(place == root or place.startswith(f"{root}/") for root in map(_settled, roots)):
        raise BatchRefused(f"this worker reads and writes under {', '.join(roots)} alone (QF_SCORING_ROOTS)")


def _settled(address: str) -> str:
    if address.startswith(REMOTE):
        return REMOTE + posixpath.normpath(address.removeprefix(REMOTE)).strip("/")
    return Path(address.removeprefix("file://")).resolve().as_posix().rstrip("/")
