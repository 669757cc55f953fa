"""Where journal files live and what may be done to them: named, written, found, mended, moved, erased from, removed.

    <outbox>/pending/      not shipped yet: written to by a live worker (which holds the file's lock), or sealed
    <outbox>/kept/<day>/   shipped; kept because answers are read out of them, until they are too old
    <outbox>/quarantine/   originals of damaged files, for a person to look at
    <outbox>/live/         one locked file per running worker

A file is written by one process only and never reopened for writing after that process is gone. Its name
`<day>-<run>-<first>.qfj` and the id of a row `<day>-<run>-<number>` lead from one to the other without any index.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from service import files
from service.errors import AnswerNotFound
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.live_rows import LiveIndex

SUFFIX: Final = ".qfj"
_NAME: Final = re.compile(r"(\d{8})-([a-z2-7]{10})-([0-9a-f]{10})\.qfj")
_ID: Final = re.compile(r"(\d{8})-([a-z2-7]{10})-([0-9a-f]{1,10})")
# A row is written to the file that was open when its id was taken, or to one that followed while it was rendered.
_FOLLOWERS: Final = 2


class Segment(NamedTuple):
    """The name of one journal file: UTC day, the worker's run, and the first number it could hold."""

    day: str
    run: str
    first: int

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.day}-{self.run}-{self.first:010x}{SUFFIX}"

    @property
    def date(self) -> date:
        """The UTC day the file was begun."""
        return datetime.strptime(self.day, "%Y%m%d").replace(tzinfo=UTC).date()

    def object_key(self, folder: str) -> str:
        """The key its rows are shipped under: server values only."""
        return f"{folder}/dt={self.date.isoformat()}/{self.run}-{self.first:010x}.csv"

    @classmethod
    def parse(cls, name: str) -> Segment | None:
        """The segment of a file name; None if it is not one of ours."""
        match = _NAME.fullmatch(name)
        return cls(match[1], match[2], int(match[3], 16)) if match else None


class MendReport(NamedTuple):
    """What `mend` found: the file's sound contents, and whether the original went to quarantine as torn or damaged."""

    contents: frames.Contents
    torn: bool
    damaged: bool


@dataclass
class Folders:
    """The outbox's folders of one host; cheap to make, any number may exist in any number of processes."""

    root: Path
    _listings: dict[Path, tuple[int, list[Segment]]] = field(default_factory=dict, repr=False)
    _live: LiveIndex = field(default_factory=LiveIndex, repr=False)

    @property
    def pending(self) -> Path:
        """Files that were not shipped yet."""
        return self.root / "pending"

    @property
    def kept_files(self) -> Path:
        """Shipped files by day."""
        return self.root / "kept"

    @property
    def quarantine(self) -> Path:
        """Originals of damaged files."""
        return self.root / "quarantine"

    @property
    def live(self) -> Path:
        """Lock files of running workers."""
        return self.root / "live"

    def make(self) -> None:
        """Makes what is missing, readable by this user alone."""
        for folder in (self.root, self.pending, self.kept_files, self.quarantine, self.live):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def segments(self, folder: Path) -> list[Segment]:
        """The segments in a folder, oldest first; re-read only when the folder changed."""
        try:
            changed = folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        listing = self._listings.get(folder)
        if listing is None or listing[0] != changed:
            segments = sorted(segment for name in os.listdir(folder) if (segment := Segment.parse(name)))
            # A change within the clock's grain after this listing would go unseen, so a fresh listing is not kept.
            if datetime.now(UTC).timestamp() * 1e9 - changed < 1e9:
                return segments
            if len(self._listings) > 200:
                self._listings.clear()
            self._listings[folder] = listing = (changed, segments)
        return listing[1]

    def kept_days(self) -> list[str]:
        """The days of which shipped files are kept, oldest first."""
        return sorted(name for name in os.listdir(self.kept_files) if re.fullmatch(r"\d{8}", name))

    def paths(self, since: str = "") -> Iterator[Path]:
        """Every file there is, pending ones first (a file only ever moves from pending to kept), from `since` on."""
        yield from (self.pending / segment.name for segment in self.segments(self.pending) if segment.day >= since)
        for day in self.kept_days():
            if day >= since:
                yield from (self.kept_files / day / segment.name for segment in self.segments(self.kept_files / day))

    def find(self, identifier: str) -> tuple[Path, bytes, int]:
        """The file, the entry's payload and the row's position that an id leads to.

        Raises:
            AnswerNotFound: there is no such row (any more).
        """
        parts = _ID.fullmatch(identifier)
        if not parts:
            raise AnswerNotFound("no such prediction")
        day, run, number = parts[1], parts[2], int(parts[3], 16)
        self._live.keep({segment.name for segment in self.segments(self.pending)})
        for _ in range(2):  # a file may move to kept between the listing and the reading
            for path in self._candidates(day, run, number):
                with suppress(FileNotFoundError):
                    place = find_row(path, number, self._live)
                    if place:
                        return path, *place
        raise AnswerNotFound("no such prediction")

    def _candidates(self, day: str, run: str, number: int) -> list[Path]:
        folders = [self.pending, self.kept_files / day]
        with suppress(ValueError):
            following = datetime.strptime(day, "%Y%m%d") + timedelta(days=1)
            folders.append(self.kept_files / following.strftime("%Y%m%d"))
        of_run = sorted(
            ((segment, folder) for folder in folders for segment in self.segments(folder) if segment.run == run),
            key=lambda pair: pair[0].first,
        )
        start = max((place for place, (segment, _) in enumerate(of_run) if segment.first <= number), default=None)
        candidates = of_run[start : start + _FOLLOWERS + 1] if start is not None else []
        return [folder / segment.name for segment, folder in candidates]

    def retire(self, segment: Segment) -> None:
        """Moves a shipped file to where answers are kept."""
        (self.kept_files / segment.day).mkdir(mode=0o700, exist_ok=True)
        os.replace(self.pending / segment.name, self.kept_files / segment.day / segment.name)

    def remove_before(self, day: date) -> int:
        """Removes kept files of days before this one; how many days went."""
        old = [name for name in self.kept_days() if name < f"{day:%Y%m%d}"]
        for name in old:
            shutil.rmtree(self.kept_files / name)
        return len(old)

    def mend(self, segment: Segment, pause_s: float = 0.0) -> MendReport:
        """Makes a pending file, whose worker is done with it, sound and sealed; call with the file's lock held.

        Bytes that are no frame are never thrown away unseen: the original goes to quarantine, what is sound stays.
        """
        path = self.pending / segment.name
        contents = frames.parse(path.read_bytes(), pause_s)
        if contents.gaps:
            shutil.copy2(path, self.quarantine / f"{segment.name}.{'torn' if contents.torn else 'damaged'}")
        if contents.gaps or not contents.sealed:
            sound = frames.rebuilt((payload for _, payload in contents.entries), rewritten=contents.rewritten)
            files.replace(path, sound, files.PRIVATE)
            return MendReport(frames.parse(sound, pause_s), contents.torn, contents.damaged)
        return MendReport(contents, torn=False, damaged=False)


def find_row(path: Path, number: int, live: LiveIndex) -> tuple[bytes, int] | None:
    """The entry's payload and the row's position in it; None if the file does not hold the number.

    A sealed file is read by its index (two small reads), one that is still written by what was followed of it. Only one
    whose index is damaged is read through.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - frames.TRAILER_BYTES))
        start = frames.index_offset(file.read())
        try:
            if start is None:
                place = live.find(path, file, os.fstat(file.fileno()).st_ino, number)
            else:
                file.seek(start)
                place = frames.search_index(file.read(), number)
            return _row_at(file, place) if place else None
        except ValueError:
            file.seek(0)
            return _row_among(frames.parse(file.read()), number)


def _row_at(file: BinaryIO, place: tuple[int, int]) -> tuple[bytes, int]:
    """The entry at a place that an index told.

    Raises:
        ValueError: there is none.
    """
    file.seek(place[0])
    head = file.read(frames.FRAME_HEAD_BYTES)
    payload = frames.entry_at(head + file.read(frames.payload_length(head) or 0))
    if payload is None:
        raise ValueError("no entry where the index says")
    return payload, place[1]


def _row_among(contents: frames.Contents, number: int) -> tuple[bytes, int] | None:
    for _, payload in contents.entries:
        numbers = frames.numbers_of(payload)
        if number in numbers:
            return payload, numbers.index(number)
    return None


def remove_customers(path: Path, refs: frozenset[str]) -> int:
    """Erases the rows of these pseudonyms from one file nobody writes to; how many went. Call with its lock held."""
    contents = frames.parse(path.read_bytes())
    before = sum(len(frames.numbers_of(payload)) for _, payload in contents.entries)
    payloads = [rest for _, payload in contents.entries if (rest := entry_rows.erase(payload, refs)) is not None]
    count = before - sum(len(frames.numbers_of(payload)) for payload in payloads)
    if count:
        files.replace(path, frames.rebuilt(iter(payloads), rewritten=True), files.PRIVATE)
    return count
