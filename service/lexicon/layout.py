"""From unpacked bytes to a frame of cells as written, with each row's line; what they mean comes after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from service.lexicon.delimited_text import RaggedRow, dialect, read_delimited, refuse_broken_index
from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.limits import ReadOptions
from service.lexicon.numerals import numeral
from service.lexicon.text_encoding import as_utf8
from service.lexicon.typed_tables import read_json_lines, read_parquet, read_workbook
from service.lexicon.understanding import SetAside
from service.lexicon.unpacking import FileKind, Unpacked

MOST_COLUMNS: Final = 500
LOOKED_AT: Final = 2  # columns among which the word for a total is: ids stand first, or a number of the row
TOTALS: Final = (
    *("total", "totals", "grand total", "sub total", "sub-total", "subtotal", "subtotals", "average"),
    *("totais", "total geral", "soma", "média", "media", "suma", "total general", "promedio"),
    *("sum", "summe", "gesamt", "gesamtsumme", "zwischensumme", "mittelwert", "durchschnitt"),
    *("somme", "total général", "sous-total", "moyenne"),
)
"""What stands first in a row that adds up others, in any case and between any of `_BESIDE`.

What was added up may follow it.
"""
_COUNT: Final = r" *\([^()]*\)$| (?:de|of|der|von) [^ ]+$"
_BESIDE: Final = " \t\N{NO-BREAK SPACE}:.=*-"


class LaidOut:
    """A table before its cells are understood."""

    def __init__(self, frame: pd.DataFrame, lines: NDArray[np.int64], header_line: int) -> None:
        self.frame, self.lines, self.header_line = frame, lines, header_line
        self.kind, self.encoding, self.delimiter = "", "", ""
        self.packing: tuple[str, ...] = ()
        self.faults: list[SetAside] = []
        self.notes: list[str] = []


def laid_out(packed: Unpacked, options: ReadOptions) -> LaidOut:
    """The table that unpacked bytes hold.

    Raises:
        TableRefused: it cannot be laid out as one.
    """
    layout = _by_kind(packed, options)
    layout.kind, layout.packing = packed.kind, packed.packing
    return layout


def _by_kind(packed: Unpacked, options: ReadOptions) -> LaidOut:
    limits = options.limits
    if packed.kind is FileKind.DELIMITED:
        return _delimited(packed.content, options)
    if packed.kind is FileKind.JSON_LINES:
        content, encoding = as_utf8(packed.content, options.encoding)
        typed = read_json_lines(content, limits)
    else:
        encoding = ""
        typed = (read_parquet if packed.kind is FileKind.PARQUET else read_workbook)(packed.content, limits)
    refuse_names(typed.names, typed.header_line)
    frame = pd.DataFrame(dict(enumerate(typed.columns)))
    layout = LaidOut(frame, typed.lines, typed.header_line)
    layout.encoding = encoding
    frame.columns = pd.Index(typed.names)
    layout = _without_empty(_without_unnamed(layout))
    return _without_totals(layout) if packed.kind is FileKind.WORKBOOK else layout


def _delimited(content: bytes, options: ReadOptions) -> LaidOut:
    text, encoding = as_utf8(content, options.encoding)
    if text.lstrip()[:1] in (b"<", b"["):
        raise TableRefused(Trouble("not_a_table", "this is a page or a list, no table", "a table", "save it as CSV", 1))
    if not text.strip(b" \r\n\t,;|"):
        raise TableRefused(Trouble("empty", "the file is empty", "a header and a row a customer"))
    csv_dialect = dialect(text, options)
    refuse_names(csv_dialect.columns, csv_dialect.header_line)
    table = read_delimited(text, csv_dialect, options)
    frame = pd.DataFrame(
        {place: column.to_pandas().astype("str") for place, column in enumerate(table.columns.columns)}
    )
    layout = LaidOut(frame, table.lines, csv_dialect.header_line)
    layout.encoding, layout.delimiter = encoding, csv_dialect.delimiter
    layout.faults = [ragged(row, csv_dialect.columns) for row in table.ragged if any(map(str.strip, row.cells))]
    if csv_dialect.header_line > 1:
        layout.notes.append(f"{csv_dialect.header_line - 1} lines above the header are no rows")
    frame.columns = pd.Index(csv_dialect.columns)
    layout = _without_totals(_without_empty(_without_unnamed(layout)))
    if csv_dialect.indexed:
        refuse_broken_index(table.columns.column(0).filter(pa.array(np.isin(table.lines, layout.lines))), layout.lines)
    return layout


def ragged(row: RaggedRow, names: tuple[str, ...]) -> SetAside:
    """A row of another width than the header's, set aside."""
    what = f"{len(row.cells)} cells, the header names {len(names)} columns"
    cells = tuple(cell for place, cell in enumerate(row.cells) if place >= len(names) or names[place])
    return SetAside(row.line, "ragged", what, cells)


def _without_unnamed(layout: LaidOut) -> LaidOut:
    """Without index columns and those that a separator at the line's end makes; cells under no name are faults."""
    frame = layout.frame
    for place in [place for place, name in enumerate(frame.columns) if not name]:
        present = _nonempty(frame.iloc[:, place])
        if place and present.any():
            raise TableRefused(unnamed_cell(int(layout.lines[present][0])))
    layout.frame = frame.loc[:, [bool(name) for name in frame.columns]]
    return layout


def unnamed_cell(line: int) -> Trouble:
    """The trouble of a cell that no name stands above."""
    return Trouble("ragged", "a cell stands where no column is named", "a name above it", line=line)


def _nonempty(cells: pd.Series) -> NDArray[np.bool_]:
    present = cells.notna() if pd.api.types.is_numeric_dtype(cells) else cells != ""
    return present.to_numpy(dtype=np.bool_)


def _without_totals(layout: LaidOut) -> LaidOut:
    """Without the rows that add up others: they are set aside, since no customer stands in them."""
    columns = [layout.frame.iloc[:, place] for place in range(min(LOOKED_AT, layout.frame.shape[1]))]
    texts = [cells.astype("str") for cells in columns if not pd.api.types.is_numeric_dtype(cells)]
    if not texts or layout.frame.empty:
        return layout
    sums = adds_up([pa.chunked_array([cells.to_list()], pa.string()) for cells in texts])
    if sums.any():
        cells = layout.frame[sums].astype("str").to_numpy().tolist()
        layout.faults += [totals(int(line), row) for line, row in zip(layout.lines[sums], cells, strict=True)]
        layout.frame, layout.lines = layout.frame[~sums].reset_index(drop=True), layout.lines[~sums]
    return layout


def adds_up(columns: Sequence[pa.ChunkedArray]) -> NDArray[np.bool_]:
    """By the texts of a table's first columns, which of its rows add up others."""
    result = np.zeros(len(columns[0]), np.bool_)
    for cells in columns[:LOOKED_AT]:
        bare = pc.utf8_lower(pc.utf8_trim(pc.replace_substring_regex(cells, _COUNT, ""), characters=_BESIDE))
        result |= pc.is_in(bare, value_set=pa.array(TOTALS)).to_numpy()
    return result


def totals(line: int, cells: Iterable[str]) -> SetAside:
    """A row that adds up others, set aside."""
    return SetAside(line, "totals", "a row that adds up others, and no customer's", tuple(cells))


def _without_empty(layout: LaidOut) -> LaidOut:
    empty = np.ones(len(layout.frame), np.bool_)
    for name in layout.frame.columns:
        if not empty.any():
            break
        empty &= ~_nonempty(layout.frame[name])
    if empty.any():
        layout.frame, layout.lines = layout.frame[~empty].reset_index(drop=True), layout.lines[~empty]
    if layout.frame.empty and not layout.faults:
        raise TableRefused(
            Trouble("no_rows", "a header and no row below it", "a row a customer", line=layout.header_line)
        )
    return layout


def refuse_names(names: tuple[str, ...], line: int) -> None:
    """Make sure that these can be a table's columns; an empty name is an index, or nothing.

    Raises:
        TableRefused: too few, too many, one twice, or numbers.
    """
    headings = [name for name in names if name]
    if len(headings) < 2:
        raise TableRefused(Trouble("one_column", "fewer than two columns have a name", "one column a field", line=line))
    if len(names) > MOST_COLUMNS:
        raise TableRefused(Trouble("not_a_table", f"{len(names)} columns", f"at most {MOST_COLUMNS}", line=line))
    twice = next((name for place, name in enumerate(headings) if name in headings[:place]), None)
    if twice is not None:
        raise TableRefused(
            Trouble("column_twice", "two columns have this name", "one", "rename or remove one", line, twice)
        )
    if all(numeral(name) is not None for name in headings):
        raise TableRefused(
            Trouble("no_header", "the first row holds numbers, no names", "the names of the columns", "add them", line)
        )
