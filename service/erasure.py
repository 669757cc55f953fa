"""Erases customers from one host's outbox, stored answers and results of jobs, or from the database of all hosts;
`flows.predictions.erasure` does the buckets.

`python -m service.erasure PSEUDONYM|PREDICTION ...` does it on a host that the flow does not reach, and prints what
went. Run it before the buckets: what this host has not shipped yet is then shipped without the rows.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from service import files
from service.access.pseudonyms import HEX_LENGTH
from service.errors import DatabaseAway
from service.files import locked_content
from service.ledger import job_results
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.idempotency import KeyIndex
from service.ledger.journal.segments import Folders, remove_customers
from service.settings import settings

_PSEUDONYM: Final = re.compile(rf"[0-9a-f]{{{HEX_LENGTH}}}")
_PREDICTION: Final = re.compile(r"\d{8}-[A-Za-z0-9-]{8,80}")
_LOOK_AGAIN_S: Final = 0.2
_INDEX_HOURS: Final = 24.0


class FileBusy(RuntimeError):
    """A worker did not finish the file or job in time; run the erasure again."""


class HostErasure(NamedTuple):
    """What went from one host, or from the database; there its files are segments."""

    rows: int
    files: int
    quarantined: int
    job_rows: int = 0  # results of jobs, which hosts with a database keep too


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


def erase_host(
    outbox: Path, subjects: Collection[str], *, jobs: Path | None = None, patience_s: float = 120.0
) -> HostErasure:
    """Removes rows and answers of customers or predictions from this host's outbox folder, while its workers go on.

    Args:
        outbox: the service's folder of predictions.
        subjects: pseudonyms, ids of predictions.
        jobs: the service's folder of jobs, whose results lose the same predictions; none where there is no such folder.
        patience_s: how long a worker may hold a file, and a job may still run: nobody can tell whom it is about.

    Raises:
        FileBusy: a file that holds them was written to or shipped for longer than `patience_s`, or a job ran so long.
    """
    refs, folders = checked(subjects), Folders(outbox)
    deadline, rows, changed, results = time.monotonic() + patience_s, 0, 0, 0
    if jobs is not None:
        _await_jobs(partial(_open_jobs, jobs), deadline)
        results = _erase_results(jobs, refs)
    index = KeyIndex(outbox, _INDEX_HOURS)
    try:
        while paths := holding(folders, refs):
            for path in paths:
                with locked_content(path) as free:
                    if free:
                        # Offsets change: the index of keys must have read the file before.
                        index.catch_up(path)
                        # Before the rows go: they alone tell which outcomes, reviews and results are the customer's.
                        predictions = _predictions(path, refs)
                        refs |= predictions
                        if jobs is not None:
                            results += _erase_results(jobs, predictions)
                        rows, changed = rows + remove_customers(path, refs), changed + 1
            if time.monotonic() > deadline:
                raise FileBusy(f"{paths[0].name} is still written to or shipped; run the erasure again")
            time.sleep(_LOOK_AGAIN_S)
    finally:
        index.close()
    quarantined = [path for path in folders.quarantine.iterdir() if _mentions(path, refs)]
    for path in quarantined:  # its sound rows were shipped long ago; what is left can be read by nobody
        path.unlink()
    return HostErasure(rows, changed, len(quarantined), results)


def _await_jobs(open_now: Callable[[], set[str]], deadline: float) -> None:
    """Wait until every job that runs or waits now has ended: its rows would be answered after the erasure.

    Raises:
        FileBusy: one has not at the deadline (of `time.monotonic`).
    """
    before = open_now()
    while waiting := before & open_now():
        if time.monotonic() > deadline:
            raise FileBusy(f"{len(waiting)} jobs run or wait still; run the erasure again when they ended")
        time.sleep(_LOOK_AGAIN_S)


def _open_jobs(jobs: Path) -> set[str]:
    return {path.parent.name for path in jobs.glob("job_*/job.json") if not _ended(path)}


def _erase_results(jobs: Path, predictions: Collection[str]) -> int:
    """Put a note in the place of these predictions among the results of this host's ended jobs; how many went."""
    rows = 0
    for path in jobs.glob("job_*/results.jsonl"):
        state_file = path.parent / "job.json"
        if not _ended(state_file):
            continue  # ordered after the erasure began
        with files.locked(path.parent / "lock"):
            lines, count = job_results.without(path.read_bytes().splitlines(), predictions)
            if count:
                content = b"".join(line + b"\n" for line in lines)
                files.replace(path, content, files.PRIVATE)
                state = json.loads(state_file.read_bytes()) | {"results_bytes": len(content)}
                files.replace(state_file, json.dumps(state).encode(), files.PRIVATE)
                rows += count
    return rows


def _ended(path: Path) -> bool:
    try:
        return json.loads(path.read_bytes()).get("status") in job_results.ENDED
    except FileNotFoundError:
        return True  # a week is over


def _predictions(path: Path, refs: frozenset[str]) -> set[str]:
    """Ids of the predictions in a file that are about these pseudonyms."""
    contents = frames.parse(path.read_bytes())
    return {prediction for _, payload in contents.entries for prediction in entry_rows.predictions_of(payload, refs)}


def erase_database(url: str, subjects: Collection[str], *, patience_s: float = 120.0) -> HostErasure:
    """Removes rows, answers and results of jobs of customers or predictions from the database, while its hosts go on.

    Raises:
        DatabaseAway: not all of it is done; run the erasure again.
        FileBusy: a job that was open before runs or waits still after `patience_s`.
    """
    from service.ledger.postgres.erasure import erase, open_jobs

    refs = checked(subjects)
    _await_jobs(partial(open_jobs, url), time.monotonic() + patience_s)
    rows, segments, results = erase(url, refs)
    return HostErasure(rows, segments, 0, results)


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
            report = erase_host(config.service_dir / "outbox", subjects, jobs=config.jobs_dir)
        else:
            report = erase_database(config.database_url.get_secret_value(), subjects)
    except (ValueError, FileBusy, DatabaseAway) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{report.rows} rows erased from {report.files} files, {report.job_rows} results of jobs; "
        f"{report.quarantined} quarantined files removed"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
