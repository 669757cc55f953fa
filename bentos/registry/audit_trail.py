"""The audit trail: one JSON line an event, each carrying the hash of the line before it.

A changed, removed or inserted line breaks every hash after it. A cut-off tail would not, so the registry keeps the hash
of the newest line with the registered model (`audit_head`) and compares. Lines hold names of reviewers, versions and
digests; nothing about applicants.

`python -m bentos.registry.audit_trail` verifies the trail and prints it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from bentos.errors import BentosError, TrailBroken
from bentos.settings import BentosSettings
from service.files import locked

GENESIS: Final = "0" * 64
_LATER: Final = ("verdict", "artefact", "content")  # fields that lines of earlier releases do not have


class TrailEntry(BaseModel):
    """One event of the trail. `hash` is the SHA-256 of all other fields as canonical JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence: int
    at: str
    event: str
    actor: str
    version: str
    digest: str
    replaced: str
    note: str
    previous: str
    verdict: str = ""  # SHA-256 of the verdict as it is stored with the version
    artefact: str = ""  # a Bento's tag, or an image by digest: what was proved, or came in front of partners
    content: str = ""  # SHA-256 of its bytes
    hash: str = ""

    def computed_hash(self) -> str:
        """The hash this entry must carry; what an older entry does not have does not count."""
        body = self.model_dump(exclude={"hash", *(name for name in _LATER if not getattr(self, name))})
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


class Trail:
    """Append-only file of entries. Several processes may append at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> list[TrailEntry]:
        """All entries, oldest first, verified.

        Raises:
            TrailBroken: a line is unreadable, or its hash, number or link to the line before is wrong.
        """
        if not self._path.exists():
            return []
        entries: list[TrailEntry] = []
        # The last part is empty, or the half line of a writer that was killed. Notes may hold other ends of lines.
        for number, line in enumerate(self._path.read_bytes().split(b"\n")[:-1]):
            entries.append(self._checked(number, line, entries[-1].hash if entries else GENESIS))
        return entries

    def _checked(self, number: int, line: bytes, previous: str) -> TrailEntry:
        try:
            entry = TrailEntry.model_validate_json(line)
        except ValidationError as error:
            raise TrailBroken(f"audit trail {self._path.name}: line {number + 1} is unreadable") from error
        if (entry.sequence, entry.previous, entry.hash) != (number, previous, entry.computed_hash()):
            raise TrailBroken(
                f"audit trail {self._path.name}: line {number + 1} was altered or lines before it are missing; "
                "restore it from a backup and find out who wrote to it"
            )
        return entry

    def append(  # pylint: disable=too-many-arguments  # one for each field of an entry
        self,
        event: str,
        *,
        actor: str,
        version: str,
        digest: str = "",
        replaced: str = "",
        note: str = "",
        verdict: str = "",
        artefact: str = "",
        content: str = "",
    ) -> TrailEntry:
        """The entry as written: flushed to disk before this returns.

        Raises:
            TrailBroken: the trail is not intact; nothing is added to a broken one.
        """
        with locked(self._path.with_suffix(".append.lock")):
            self._drop_torn_tail()
            entries = self.entries()
            entry = TrailEntry(
                sequence=len(entries),
                at=datetime.now(UTC).isoformat(timespec="milliseconds"),
                event=event,
                actor=actor,
                version=version,
                digest=digest,
                replaced=replaced,
                note=note,
                previous=entries[-1].hash if entries else GENESIS,
                verdict=verdict,
                artefact=artefact,
                content=content,
            )
            entry = entry.model_copy(update={"hash": entry.computed_hash()})
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write(entry.model_dump_json() + "\n")
                handle.flush()
                os.fsync(handle.fileno())
            return entry

    def _drop_torn_tail(self) -> None:
        """Remove the half line of a process that was killed while writing; it was never acknowledged."""
        if not self._path.exists():
            return
        text = self._path.read_bytes()
        if text and not text.endswith(b"\n"):
            with self._path.open("r+b") as handle:
                handle.truncate(text.rfind(b"\n") + 1)

    def head(self) -> str:
        """Hash of the newest entry, the genesis hash for an empty trail."""
        entries = self.entries()
        return entries[-1].hash if entries else GENESIS

    def holds(self, head: str) -> bool:
        """True if an entry with this hash is in the trail; false means that the tail was cut off."""
        return head in {GENESIS, *(entry.hash for entry in self.entries())}


def main() -> int:
    """Verify and print the trail; exit code 1 if it is broken."""
    try:
        entries = Trail(BentosSettings().trail_file).entries()
    except BentosError as error:
        print(error, file=sys.stderr)
        return 1
    for entry in entries:
        replaced = f" (replaces {entry.replaced})" if entry.replaced else ""
        note = f": {entry.note}" if entry.note else ""
        artefact = f", {entry.artefact} {entry.content[:19]}" if entry.artefact else ""
        print(f"{entry.at} {entry.event} version {entry.version}{replaced}{artefact} by {entry.actor}{note}")
    print(f"{len(entries)} entries, chain intact")
    return 0


if __name__ == "__main__":
    sys.exit(main())
