"""How much of a table a reader takes, and what its caller told about the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from service.lexicon.dates import DayOrder
from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.numerals import Decimal

Delimiter = Literal[",", ";", "\t", "|", ""]
MIB: Final = 1 << 20


@dataclass(frozen=True)
class ReadLimits:
    """Bounds of one file; beyond them it is refused, whatever it says of its own size.

    A cell takes a hundred times the memory that it takes in a file, and a packed file takes a thousandth of that again,
    so cells are bounded apart from bytes: rows times columns, the empty ones too.
    """

    unpacked_bytes: int = 4096 * MIB
    rows: int = 20_000_000
    columns: int = 500
    cells: int = 2_000_000_000
    workbook_bytes: int = 4096 * MIB
    """Of a workbook's parts, which say a cell in forty."""
    workbook_seconds: int = 300
    workbook_memory_bytes: int = 2048 * MIB


UPLOAD: Final = ReadLimits(
    unpacked_bytes=64 * MIB,
    rows=100_000,
    cells=3_000_000,
    workbook_bytes=192 * MIB,
    workbook_seconds=9,
    workbook_memory_bytes=160 * MIB,
)
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


def too_many_rows(limits: ReadLimits) -> TableRefused:
    """The refusal of a file with more rows than the limits."""
    return TableRefused(Trouble("too_many_rows", f"more than {limits.rows:,} rows", advice="split the file"))


def check_bytes(count: int, limits: ReadLimits) -> None:
    """Bound what a table unpacks to.

    Raises:
        TableRefused: these are too many bytes.
    """
    if count > limits.unpacked_bytes:
        what = f"it unpacks to more than {limits.unpacked_bytes // MIB} MiB"
        raise TableRefused(Trouble("too_large", what, advice="split the file"))


def check_cells(count: int, limits: ReadLimits) -> None:
    """Bound what a table takes in memory.

    Raises:
        TableRefused: these are too many cells.
    """
    if count > limits.cells:
        what = f"it holds more than {limits.cells:,} cells"
        raise TableRefused(Trouble("too_large", what, advice="split the file, or leave out columns"))
