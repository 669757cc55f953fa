"""Bounds the copies of shipped answers: by age, by bytes and by what the disk must keep free.

What is here lies in the bucket too, so it is a convenience and must never stop the service: the oldest files go first,
and their answers are read from the bucket afterwards. Entries with an Idempotency-Key stay for as long as it can be
repeated, since a repeat needs the answer as it was.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from service import files
from service.errors import in_one_line
from service.ledger.journal import frames
from service.ledger.journal.segments import Folders

_log = logging.getLogger(__name__)
MIN_FREE_BYTES: Final = 64 << 20
"""Less free disk than this, and the outbox takes no more records."""
ROOMY_BYTES: Final = 2 * MIN_FREE_BYTES
"""Less than this, and kept answers begin to go: well before the outbox refuses."""


@dataclass(frozen=True)
class KeptLimits:
    """How long, and how much, is kept; entries with an Idempotency-Key at least `key_hours`."""

    days: int = 90
    max_bytes: int = 8 << 30
    free_bytes: int = ROOMY_BYTES
    key_hours: float = 24.0


class _File(NamedTuple):
    at: float
    path: Path
    bytes: int


class KeptAnswers:
    """The shipped files of one host. One worker at a time bounds them; see `Shipper`."""

    def __init__(self, folders: Folders, limits: KeptLimits) -> None:
        self.bytes = 0
        self.dropped = 0
        """Files that went before their days were over, since the start of this process."""
        self._folders, self._limits = folders, limits
        self._days: dict[str, tuple[int, int]] = {}
        self._reduced: set[str] = set()

    def bound(self) -> None:
        """Drop what is too old, then what is too much, oldest first."""
        days = self._folders.remove_before(datetime.now(UTC).date() - timedelta(days=self._limits.days))
        if days:
            _log.info("outbox: the answers of %d days were %d days old and are gone", days, self._limits.days)
        self.bytes = self._measured()
        excess = self._excess()
        if excess <= 0:
            return
        count = 0
        for file in self._oldest_first():
            if excess <= 0:
                break
            freed = self._drop(file)
            excess, self.bytes, count = excess - freed, self.bytes - freed, count + bool(freed)
        self.dropped += count
        if count:
            _log.warning("outbox: %d kept files made room; their answers are read from the bucket", count)

    def _excess(self) -> int:
        free = shutil.disk_usage(self._folders.root).free
        return max(self.bytes - self._limits.max_bytes, self._limits.free_bytes - free)

    def _measured(self) -> int:
        """Bytes on the disk of all kept files; a day's are counted again when its folder changed."""
        previous, self._days = self._days, {}
        for day in self._folders.kept_days():
            with suppress(FileNotFoundError):
                folder = self._folders.kept_files / day
                changed = folder.stat().st_mtime_ns
                before = previous.get(day)
                if before is None or before[0] != changed:
                    before = (changed, sum(file.bytes for file in _files(folder)))
                self._days[day] = before
        return sum(size for _, size in self._days.values())

    def _oldest_first(self) -> Iterator[_File]:
        for day in self._folders.kept_days():
            yield from sorted(_files(self._folders.kept_files / day))

    def _drop(self, file: _File) -> int:
        """Remove a file, or all of it but the answers that may be repeated; how many bytes that freed."""
        with files.locked_content(file.path) as free:
            if not free:
                return 0
            if time.time() - file.at > self._limits.key_hours * 3600:
                file.path.unlink()
                return file.bytes
            try:
                return self._reduce(file)
            except OSError as error:  # the smaller file needs room as well; older or keyless ones make it
                _log.warning("outbox: %s could not be made smaller (%s)", file.path.name, in_one_line(error))
                return 0

    def _reduce(self, file: _File) -> int:
        if file.path.name in self._reduced:
            return 0
        entries = [payload for _, payload in frames.parse(file.path.read_bytes()).entries]
        keyed = [payload for payload in entries if frames.key_of(payload)]
        if not keyed:
            file.path.unlink()
            return file.bytes
        self._reduced.add(file.path.name)
        if len(keyed) == len(entries):
            return 0
        files.replace(file.path, frames.rebuilt(iter(keyed), rewritten=True), files.PRIVATE)
        os.utime(file.path, (file.at, file.at))
        return file.bytes - _on_disk(file.path.stat())


def _files(folder: Path) -> list[_File]:
    entries = []
    with suppress(FileNotFoundError), os.scandir(folder) as names:
        for name in names:
            with suppress(FileNotFoundError):
                stat = name.stat()
                entries.append(_File(stat.st_mtime, Path(name.path), _on_disk(stat)))
    return entries


def _on_disk(stat: os.stat_result) -> int:
    return max(stat.st_size, stat.st_blocks * 512)
