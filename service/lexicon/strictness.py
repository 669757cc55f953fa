"""How strict each reader is, in one table. What a text means is the same for all of them; what follows differs.

The API takes no text for a number, since its sender is a program that can be mended. The demo asks, since a person sits
before it. Batch gives a row back. Training keeps a row with a gap, counts it, and its gates stop a table of too many.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.understanding import Understanding


class Reader(StrEnum):
    """The readers of tables."""

    API = "API"
    DEMO = "demo"
    BATCH = "batch"
    TRAINING = "training"


class Consequence(StrEnum):
    """What follows from a cell, or from a row."""

    READ = "read"
    UNKNOWN = "not known"
    ASKED = "asked"
    GAP = "gap, counted and gated"
    ROW = "row refused"
    FILE = "file refused"
    REQUEST = "request refused"
    NONE = "-"


@dataclass(frozen=True)
class Strictness:
    """What one reader does with each kind of doubtful cell or row.

    `spelling` with a cell in another spelling than the contract's, `not_known` with a word for it where the field may
    be empty, `needed` where it may not, `two_readings` with a number that both decimal marks fit, `no_meaning` with a
    text that has none, `ragged` with a row that has not as many cells as the header names columns.
    """

    spelling: Consequence
    not_known: Consequence
    needed: Consequence
    two_readings: Consequence
    no_meaning: Consequence
    ragged: Consequence


STRICTNESS: Final[Mapping[Reader, Strictness]] = {
    Reader.API: Strictness(
        spelling=Consequence.REQUEST,
        not_known=Consequence.REQUEST,
        needed=Consequence.REQUEST,
        two_readings=Consequence.REQUEST,
        no_meaning=Consequence.REQUEST,
        ragged=Consequence.NONE,
    ),
    Reader.DEMO: Strictness(
        Consequence.READ, Consequence.UNKNOWN, Consequence.ROW, Consequence.ASKED, Consequence.ROW, Consequence.ROW
    ),
    Reader.BATCH: Strictness(
        Consequence.READ, Consequence.UNKNOWN, Consequence.ROW, Consequence.FILE, Consequence.ROW, Consequence.ROW
    ),
    Reader.TRAINING: Strictness(
        Consequence.READ, Consequence.UNKNOWN, Consequence.UNKNOWN, Consequence.FILE, Consequence.GAP, Consequence.FILE
    ),
}
SPOKEN: Final = {
    "spelling": "another spelling than the contract's: `1,234.56`, `good`, `22 Years and 1 Months`",
    "not_known": "a word for not known, where the field may be empty",
    "needed": "the same where it may not",
    "two_readings": "a number that both decimal marks fit: `2,900` alone",
    "no_meaning": "a text without a meaning: `abc` for a number",
    "ragged": "a row with too few or too many cells",
}


def as_markdown() -> str:
    """The table as Markdown, as `reading-tables.md` shows it."""
    lines = [f"| what stands in the file | {' | '.join(Reader)} |", "|---" * (len(Reader) + 1) + "|"]
    for name, condition in SPOKEN.items():
        replies = " | ".join(str(getattr(STRICTNESS[reader], name)) for reader in Reader)
        lines.append(f"| {condition} | {replies} |")
    return "\n".join(lines)


def hold(understanding: Understanding, reader: Reader) -> None:
    """Make sure that the reader takes a table as it was understood.

    Raises:
        TableRefused: something stays open, or a row is none, and the reader refuses the file for it.
    """
    strict = STRICTNESS[reader]
    if strict.two_readings is Consequence.FILE:
        understanding.settled()
    if strict.ragged is Consequence.FILE and understanding.faults:
        first, more = understanding.faults[0], len(understanding.faults) - 1
        what = f"{first.what}, and {more:,} rows more" if more else first.what
        expected = "as many cells as columns" if first.code == "ragged" else "a row a customer"
        trouble = Trouble(first.code, what, expected, "mend or remove them", first.line, first.column)
        raise TableRefused(trouble, understanding.name)
