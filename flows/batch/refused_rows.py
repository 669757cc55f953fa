"""A row's way back: what a job refused, with its line in the file, the column at fault, the reason and its own cells.

Workers write what a part refused before the part itself, so a part that is there has told all; the parent joins them
to one `NAME.refused.csv` a file, which its owner mends and sends again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from flows.batch.cuts import Piece
from flows.batch.piece_rows import RowsRead
from flows.batch.places import REFUSED_ROWS, ResultPlace
from flows.batch.rows import PROBLEMS, ROW, Checked, reason

LINE, COLUMN, REASON, BEYOND = "line", "column", "reason", "cells beyond the header"
_PART: Final = "part-"
_NOTE: Final = "refused-"  # of one part, as lines of JSON; the first has the names of the columns


def note_of(part: str) -> str:
    """Name of the note on what a part refused."""
    return _NOTE + part.removeprefix(_PART).replace(".parquet", ".jsonl")


def note(rows: RowsRead, check: Checked) -> bytes:
    """What was refused of these rows; nothing if no row was."""
    places = np.flatnonzero(check.problem)
    if places.size == 0:
        return b""
    lines = rows.lines()
    records = [json.dumps(list(rows.file_table.column_names), ensure_ascii=False)]
    for place in map(int, places):
        records.append(
            json.dumps([int(lines[place]), *_problem_of(rows, check, place), *rows.cells(place)], ensure_ascii=False)
        )
    return "\n".join(records).encode("utf-8", errors="surrogatepass")


def _problem_of(rows: RowsRead, check: Checked, place: int) -> tuple[str, str]:
    if place in rows.aside:
        return rows.aside[place].column, rows.aside[place].what
    problem = int(check.problem[place])
    field = PROBLEMS[problem]
    return ("" if field == ROW else rows.fields.get(field, field)), reason(problem, int(check.fault[place]))


def join_notes(pieces: Sequence[Piece], target: ResultPlace) -> tuple[str, ...]:
    """Names of the files of refused rows, one a file of the job that has any; written beside the parts."""
    there = sorted(name for name in target.names() if name.startswith(_NOTE))
    layouts = {piece.layout.number: piece.layout for piece in pieces}
    shorts = [layout.name for layout in layouts.values()]
    names = []
    for number, layout in layouts.items():
        notes = [name for name in there if name.startswith(f"{_NOTE}{number:05d}-")]
        if notes:
            name = layout.name if shorts.count(layout.name) == 1 else f"{number:05d}-{layout.name}"
            _join([target.at(one) for one in notes], target.at(name + REFUSED_ROWS))
            names.append(name + REFUSED_ROWS)
    return tuple(names)


def _join(notes: Sequence[ResultPlace], target: ResultPlace) -> None:
    names = next(_rows(notes[0].read()))
    width = len(names)
    widest = max((len(row) - 3 for one in notes for row in _cells(one)), default=width)
    headings = [f"given {name}" if name in (LINE, COLUMN, REASON) else name for name in names]
    header = [LINE, COLUMN, REASON, *headings, *([BEYOND] if widest > width else [])]
    with target.writing() as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogatepass", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_in_width(row, width + 3, len(header)) for one in notes for row in _cells(one))
        text.flush()
        text.detach()


def _in_width(row: list[Any], width: int, whole: int) -> Iterable[Any]:
    fitting = row[:width] + [""] * (width - len(row))
    return fitting if whole == width else [*fitting, "|".join(map(str, row[width:]))]


def _cells(one: ResultPlace) -> Iterator[list[Any]]:
    rows = _rows(one.read())
    next(rows)
    return rows


def _rows(content: bytes) -> Iterator[list[Any]]:
    return (json.loads(line) for line in content.decode("utf-8", errors="surrogatepass").split("\n"))
