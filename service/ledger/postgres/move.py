"""Takes a host's journal into the database: answers, what was not shipped yet, and the Idempotency-Keys of a day.

Files are read and never changed, so the service may go on with them meanwhile. A segment keeps its name; what both the
host and the database's shipper ship has the same key and the same bytes. A file that is still written to waits for the
next time: run it once while the host serves from its files, switch the host over, and run it once more.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from service.database.session import Link, Session
from service.files import locked_content
from service.ledger.journal import frames
from service.ledger.journal.segments import Folders, Segment
from service.ledger.postgres import partitions

_BEGIN: Final = """
INSERT INTO ledger.segment (day, run, first, low, high, rows, bytes, rewritten, due_at, sealed_at, shipped_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now(), now(), CASE WHEN %s THEN now() END)
ON CONFLICT DO NOTHING
"""
_COPY: Final = "COPY ledger.entry (day, run, first, last, segment, place, payload) FROM STDIN (FORMAT binary)"
_TYPES: Final = ("date", "text", "int8", "int8", "int8", "int8", "bytea")
_KEY: Final = """
INSERT INTO ledger.idempotency (digest, fingerprint, day, run, first, at)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


@dataclass
class MoveReport:
    """What one run of `move` did."""

    files: int = 0
    rows: int = 0
    keys: int = 0
    there: int = 0
    """Files that an earlier run took."""
    open: set[str] = field(default_factory=set)
    """Files that are written to, for the next run."""

    def __str__(self) -> str:
        text = f"{self.files} files with {self.rows} rows and {self.keys} Idempotency-Keys were moved"
        if self.there:
            text += f"; {self.there} were there already"
        if self.open:
            text += f"; {len(self.open)} are still written to: switch this host over, then run it again"
        return text


def move(outbox: Path, url: str) -> MoveReport:
    """Takes the journal in an outbox folder in. Safe to repeat, and to break off: a file is taken whole or not at all.

    Raises:
        DatabaseAway: the rest is not done; run it again.
    """
    folders, moved = Folders(outbox), MoveReport()
    session = Session(url, "move", statement_timeout_s=600, idle_timeout_s=60)
    try:
        # Pending ones first: a file only ever moves from there to the kept ones, so none is missed.
        for segment in folders.segments(folders.pending):
            _take(session, folders.pending / segment.name, segment, moved, shipped=False)
        for day in folders.kept_days():
            for segment in folders.segments(folders.kept_files / day):
                _take(session, folders.kept_files / day / segment.name, segment, moved, shipped=True)
    finally:
        session.close()
    return moved


def _take(session: Session, path: Path, segment: Segment, moved: MoveReport, *, shipped: bool) -> None:
    data = b""
    with suppress(FileNotFoundError), locked_content(path) as free:  # one that was shipped meanwhile comes as kept
        if not free:
            moved.open.add(segment.name)
            return
        data = path.read_bytes()
    moved.open.discard(segment.name)
    contents = frames.parse(data)
    entries = [payload for _, payload in contents.entries]
    if not entries:
        return
    if not session.run(partial(_insert, segment=segment, contents=contents, shipped=shipped)):
        moved.there += 1
        return
    moved.files += 1
    moved.rows += sum(len(frames.numbers_of(payload)) for payload in entries)
    moved.keys += sum(frames.key_of(payload) is not None for payload in entries)


def _insert(link: Link, segment: Segment, contents: frames.Contents, shipped: bool) -> bool:
    """True if the segment was not there yet."""
    entries = [payload for _, payload in contents.entries]
    partitions.ensure(link, segment.date)
    numbers = [frames.numbers_of(payload) for payload in entries]
    firsts, day, run = [one[0] for one in numbers], segment.date, segment.run
    size = sum(len(payload) for payload in entries)
    with link.transaction():
        values = (
            day,
            run,
            segment.first,
            min(firsts),
            max(firsts),
            sum(map(len, numbers)),
            size,
            contents.rewritten,
            shipped,
        )
        if not link.execute(_BEGIN, values).rowcount:
            return False
        with link.cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_TYPES)
            for place, (payload, own) in enumerate(zip(entries, numbers, strict=True)):
                copy.write_row((day, run, own[0], own[-1], segment.first, place, payload))
        for payload in entries:
            stored = frames.decode(payload)
            if stored.key is not None:
                at = datetime.fromtimestamp(stored.at_us / 1e6, UTC)
                link.execute(_KEY, (*stored.key, day, run, stored.rows[0].number, at))
    return True
