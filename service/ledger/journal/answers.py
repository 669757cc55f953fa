"""Stored answers, readable by the partner they were given to, on every worker of the host, while files are kept.

An id leads to its file (see `service.ledger.journal.segments`), so an answer can be read by any process the moment it
was given, and there is no second store that could disagree with the record. Several hosts need a store they share: it
has to offer `read` alone, and is chosen where this class is made.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from service.errors import AnswerNotFound
from service.ledger.interface import Replay
from service.ledger.journal import frames
from service.ledger.journal.segments import Folders
from service.ledger.records import RecordKind, cells_of, widened


class JournalAnswer:
    """One row's answer as it was given, and the row that recorded it."""

    def __init__(self, entry: frames.StoredEntry, row: frames.Row) -> None:
        self.kind: RecordKind = entry.kind
        self.partner = entry.partner
        self.body: bytes = row.answer
        self._line = row.line

    @cached_property
    def row(self) -> dict[str, str]:
        """The recorded row by column ('' = null), the features it was made from among them."""
        return dict(zip(self.kind.columns, cells_of(widened(self.kind, self._line)), strict=True))

    @property
    def customer_ref(self) -> str:
        """The customer's pseudonym; empty if the partner named none."""
        return self.row["customer_ref"]


class Answers:
    """Reads answers by id. Blocks for 0.1 ms, or milliseconds if the file is still written: use a thread."""

    def __init__(self, outbox: Path) -> None:
        self._folders = Folders(Path(outbox))

    def read(self, identifier: str, partner: str, kind: RecordKind = RecordKind.PREDICTION) -> JournalAnswer:
        """The answer of this partner.

        Raises:
            AnswerNotFound: there is none, it is too old, or it belongs to somebody else: nobody can tell which.
        """
        _, payload, position = self._folders.find(identifier)
        entry = frames.decode(payload)
        if entry.partner != partner or entry.kind != kind:
            raise AnswerNotFound("no such prediction")
        return JournalAnswer(entry, entry.rows[position])

    def replay(self, identifier: str) -> Replay:
        """The whole answer that holds this row.

        Raises:
            AnswerNotFound: it was erased.
        """
        entry = frames.decode(self._folders.find(identifier)[1])
        return Replay(entry.status, entry.body)
