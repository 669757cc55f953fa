"""The ledger as the rest of the service sees it: one small interface, with several engines behind it.

What the ledger takes is durable before an answer leaves.

`service.ledger.journal` is the engine of one host: files that all its workers see. `service.ledger.postgres` is the one
of several: a database that all of them see. Both keep the same promises: what `append` returned from is never lost, an
id leads to its record for whoever was given it and for nobody else, and an Idempotency-Key is answered once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from service.families import Family
from service.ledger.ids import RecordId
from service.ledger.journal.frames import JournalEntry, KeyMark
from service.ledger.records import RecordKind

__all__ = ["Backlog", "Claim", "Figures", "JournalEntry", "KeyMark", "Ledger", "RecordId", "Replay", "StoredAnswer"]


class StoredAnswer(Protocol):
    """One recorded answer. `body` is as it was given, or None where its row alone is left."""

    @property
    def body(self) -> bytes | None:
        """The answer's bytes."""

    @property
    def row(self) -> Mapping[str, str]:
        """The recorded row by column ('' = null)."""


class Replay(NamedTuple):
    """The first answer of an Idempotency-Key, to be sent again."""

    status: int
    body: bytes


class Claim(Protocol):
    """The right to answer a key's first request; a context manager around the work and the `append`."""

    mark: KeyMark

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Backlog(NamedTuple):
    """What waits to be shipped: rows, bytes, and seconds since the oldest row."""

    rows: int
    bytes: int
    oldest_age_s: float


class Figures(NamedTuple):
    """Gauges and counters (totals since the start of this process) by the names of their metrics."""

    gauges: Mapping[Family, float]
    counters: Mapping[Family, float]


class Ledger(Protocol):
    """The records of this service. An owner is a partner, or a partner's tests."""

    @property
    def full_because(self) -> str:
        """Why nothing can be made durable now, in one line; empty if it can."""

    def new_id(self, owner: str) -> RecordId:
        """A new row's names; take it right before the answer is rendered."""

    async def append(self, entry: JournalEntry) -> None:
        """Returns when the entry (whose `ids` are places) is durable.

        Raises:
            OutboxFull: it is not, and no answer may leave.
            IdempotencyRunning: another host's answer to the same key was durable first.
        """

    async def read(self, identifier: str, owner: str, kind: RecordKind, *, anywhere: bool = False) -> StoredAnswer:
        """The answer that was given to this owner under this id; `anywhere` looks in the bucket as well.

        Raises:
            AnswerNotFound: there is none, or it is somebody else's: nobody can tell which.
            AnswerAway: it may be in the bucket, which does not answer.
        """

    def genuine(self, identifier: str, owner: str) -> bool:
        """True if the id alone proves that it was given to this owner, whatever became of its record."""

    async def begin(self, owner: str, scope: str, key: str, fingerprint: bytes) -> Claim | Replay:
        """A claim if this is the Idempotency-Key's first request, or the answer that was given to it.

        Raises:
            IdempotencyRunning, IdempotencyMismatch, OutboxFull: as their names say.
        """

    async def follow(self) -> None:
        """Housekeeping, so that requests need not do it: once before the first request, then every second."""

    def figures(self) -> Figures:
        """What operations want to know."""

    def start(self) -> None:
        """Begin to ship."""

    async def aclose(self) -> None:
        """Make durable what waits, ship what is ready, let go."""
