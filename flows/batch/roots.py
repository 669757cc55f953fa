"""Where batch scoring may read and write: a form names any place, so a worker is told which places are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flows.batch.errors import BatchRefused
from flows.batch.places import BUCKET_SCHEME, Source, real

_NO_NAMES = frozenset({"", ".", ".."})


def within(address: str, roots: Sequence[str]) -> str:
    """The address as it is opened, its links followed, if it lies under one of the roots; any does where none is named.

    A path is read as `places` reads it, then its links are followed. Below a root hidden names are none's: keys and
    settings of programs lie there, and tables do not. A bucket's keys are names and no path: one with
    `..` in it, which a client or a store may resolve in its own way, lies under no root.

    Raises:
        BatchRefused: it lies under none.
    """
    place = real(address)
    if roots and not any(_under(address, place, root) for root in roots):
        raise BatchRefused(
            f"batch scoring reads and writes under {', '.join(roots)} alone; to allow another folder or s3:// prefix, "
            "set QF_SCORING_ROOTS to the whole list, commas between, and start the worker again"
        )
    return place


def hold(files: Sequence[Source], roots: Sequence[str], max_gb: float) -> None:
    """Make sure of the files of a job before one of them is opened: a folder may hold links, and more than is meant.

    Raises:
        BatchRefused: a link leads out of the roots, or all together are larger than `max_gb`.
    """
    for file in files:
        within(file.path or file.address, roots)
    if sum(file.size_bytes for file in files) > max_gb * 1e9:
        raise BatchRefused(f"the source is larger than {max_gb:g} GB (QF_SCORING_MAX_GB)")


def _under(address: str, place: str, root: str) -> bool:
    if address.startswith(BUCKET_SCHEME):
        names = address.removeprefix(BUCKET_SCHEME).rstrip("/").split("/")
        return _NO_NAMES.isdisjoint(names) and f"{address.rstrip('/')}/".startswith(f"{root.rstrip('/')}/")
    if root.startswith(BUCKET_SCHEME) or not Path(place).is_relative_to(top := real(root)):
        return False
    return not any(name.startswith(".") for name in Path(place).relative_to(top).parts)
