"""How much of a table a reader takes, and what its caller told about the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from service.lexicon.dates import DayOrder
from service.lexicon.numerals import Decimal

Delimiter = Literal[",", ";", "\t", "|", ""]
MIB: Final = 1 << 20


@dataclass(frozen=True)
class ReadLimits:
    """Bounds of one file; beyond them it is refused, whatever it says of its own size."""

    unpacked_bytes: int = 4096 * MIB
    rows: int = 20_000_000
    columns: int = 500
    workbook_seconds: int = 300
    workbook_memory_bytes: int = 2048 * MIB


UPLOAD: Final = ReadLimits(unpacked_bytes=192 * MIB, rows=100_000, workbook_seconds=9, workbook_memory_bytes=160 * MIB)
"""For a file that a visitor sends to a process which others share."""


@dataclass(frozen=True)
class ReadOptions:
    """What the caller knows of the file; empty is found from its content.

    `member` is the table to take from a zip that holds several, `prefer` the one to take where nothing is told.
    """

    decimal: Decimal = ""
    delimiter: Delimiter = ""
    encoding: str = ""
    days: DayOrder = ""
    member: str = ""
    prefer: str = ""
    limits: ReadLimits = ReadLimits()
