"""Erases customers from one host's outbox and stored answers, or from the database of all hosts;
`flows.predictions.erasure` does the buckets.

`python -m service.erasure PSEUDONYM|PREDICTION ...` does it on a host that the flow does not reach, and prints what
went. Run it before the buckets: what this host has not shipped yet is then shipped without the rows.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple

from service.access.pseudonyms import HEX_LENGTH
from service.errors import DatabaseAway
from service.files import locked_content
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.idempotency import KeyIndex
from service.ledger.journal.segments import Folders, remove_customers
from service.settings import settings

_PSEUDONYM: Final = re.compile(rf"[0-9a-f]{{{HEX_LENGTH}}}")
_PREDICTION: Final = re.compile(r"\d{8}-[A-Za-z0-9-]{8,80}")
_LOOK_AGAIN_S: Final = 0.2
_INDEX_HOURS: Final = 24.0


class FileBusy(RuntimeError):
    """A worker did not finish the file in time; run the erasure again."""


class HostErasure(NamedTuple):
    """What went from one host, or from the database; there its files are segments."""

    rows: int
    files: int
    quarantined: int


def checked(subjects: Collection[str]) -> frozenset[str]:
    """Pseudonyms of customers and ids of predictions as a set.

    Raises:
        ValueError: one is neither; it may be a customer's own reference, so it is not shown.
    """
    if not all(_PSEUDONYM.fullmatch(subject) or _PREDICTION.fullmatch(subject) for subject in subjects):
        raise ValueError(
            f"a pseudonym has {HEX_LENGTH} hexadecimal digits (make it with python -m service.access.pseudonyms), "
            "a prediction's id begins with its day"
        )
    return frozenset(subjects)


def erase_host(outbox: Path, subjects: Collection[str], *, patience_s: float = 120.0) -> HostErasure:
    """Removes rows and answers of customers or predictions from this host's outbox folder, while its workers go on.

    Raises:
        FileBusy: a file that holds them was written to or shipped for longer than `patience_s`.
    """
    refs, folders, index = checked(subjects), Folders(outbox), KeyIndex(outbox, _INDEX_HOURS)
    deadline, rows, files = time.monotonic() + patience_s, 0, 0
    try:
        while paths := holding(folders, refs):
            for path in paths:
                with locked_content(path) as free:
                    if free:
                        # Offsets change: the index of keys must have read the file before.
                        index.catch_up(path)
                        rows, files = rows + remove_customers(path, refs), files + 1
            if time.monotonic() > deadline:
                raise FileBusy(f"{paths[0].name} is still written to or shipped; run the erasure again")
            time.sleep(_LOOK_AGAIN_S)
    finally:
        index.close()
    quarantined = [path for path in folders.quarantine.iterdir() if _mentions(path, refs)]
    for path in quarantined:  # its sound rows were shipped long ago; what is left can be read by nobody
        path.unlink()
    return HostErasure(rows, files, len(quarantined))


def erase_database(url: str, subjects: Collection[str]) -> HostErasure:
    """Removes rows and answers of customers or predictions from the database, while its hosts go on.

    Raises:
        DatabaseAway: not all of it is done; run the erasure again.
    """
    from service.ledger.postgres.erasure import erase

    return HostErasure(*erase(url, checked(subjects)), quarantined=0)


def holding(folders: Folders, refs: frozenset[str]) -> list[Path]:
    """Files that hold rows of these pseudonyms."""
    return [path for path in folders.paths() if _mentions(path, refs) and _rows(path, refs)]


def _mentions(path: Path, refs: frozenset[str]) -> bool:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return False  # moved: it is met again in the folder it moved to
    return any(ref.encode() in data for ref in refs)


def _rows(path: Path, refs: frozenset[str]) -> bool:
    try:
        contents = frames.parse(path.read_bytes())
    except FileNotFoundError:
        return True  # look again
    return any(entry_rows.erase(payload, refs) != payload for _, payload in contents.entries)


def main() -> int:
    """Erases the customers with these pseudonyms, or these predictions, from this host, or from its database."""
    parser = argparse.ArgumentParser(prog="python -m service.erasure", description=main.__doc__)
    parser.add_argument("subject", nargs="+")
    subjects, config = parser.parse_args().subject, settings()
    try:
        if config.database_url is None:
            report = erase_host(config.service_dir / "outbox", subjects)
        else:
            report = erase_database(config.database_url.get_secret_value(), subjects)
    except (ValueError, FileBusy, DatabaseAway) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{report.rows} rows erased from {report.files} files; {report.quarantined} quarantined files removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
