"""An uploaded file read as a table of text by the shared reader, or refused with a reason the page has words for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.limits import UPLOAD, ReadOptions
from service.lexicon.reading import read_table
from service.lexicon.understanding import TableRead, Understanding
from ui.errors import SheetRefused

MAX_ROWS: Final = UPLOAD.rows
OPTIONS: Final = ReadOptions(limits=UPLOAD)


@dataclass(frozen=True)
class Sheet:
    """A table of text: the columns' names, and rows with the number they have in the file (the header is 1).

    `read` is the same with what was understood of it: `read.understanding` has the layout, each column with examples,
    what stays open (ask, then `read_sheet` again with the option told), and the rows that are set aside.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    read: TableRead | None = field(default=None, compare=False, repr=False)
    options: ReadOptions = field(default=OPTIONS, compare=False, repr=False)

    @property
    def understanding(self) -> Understanding | None:
        """What was understood of the file."""
        return self.read.understanding if self.read is not None else None


def read_sheet(name: str, content: bytes, options: ReadOptions = OPTIONS) -> Sheet:
    """The table in an uploaded file; `SheetRefused` says what is wrong with it."""
    try:
        table = read_table(content, options, name=name)
    except TableRefused as refused:
        raise refusal(refused.trouble) from refused
    if table.frame.empty:
        raise SheetRefused(table.understanding.faults[0].code, row=table.understanding.faults[0].line)
    columns = [_texts(table, place) for place in range(table.frame.shape[1])]
    names = tuple(str(column) for column in table.frame.columns)
    return Sheet(names, tuple(zip(*columns, strict=True)), tuple(table.lines.tolist()), table, options)


def refusal(trouble: Trouble) -> SheetRefused:
    """The refusal of a file for a trouble."""
    return SheetRefused(trouble.code, row=trouble.line, column=trouble.column, most=f"{MAX_ROWS:,}")


def _texts(table: TableRead, place: int) -> list[str]:
    cells = table.frame.iloc[:, place]
    return ["" if absent else str(cell) for cell, absent in zip(cells.tolist(), cells.isna().tolist(), strict=True)]
