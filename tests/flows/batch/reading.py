"""A file read by the batch flow's own modules, in this process: planned, cut, read and held against the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.batch.column_forms import checked_rows
from flows.batch.cuts import Piece
from flows.batch.piece_rows import RowsRead, rows_of
from flows.batch.places import sources
from flows.batch.planning import planned
from flows.batch.rows import PROBLEMS, Checked
from service.lexicon.limits import ReadOptions
from service.score.features import matrix


def mapped(function: Callable[..., Any], *sequences: Iterable[Any], **same: Any) -> list[Any]:
    """`map` without workers."""
    return [function(*each, **same) for each in zip(*sequences, strict=True)]


@dataclass(frozen=True)
class FileRead:
    """Features, the field at fault and the line of every row, and how the file was understood."""

    features: NDArray[np.float32]
    problems: list[str]
    lines: list[int]
    told: str
    reads: list[RowsRead]
    held: list[Checked]


def pieces_of(path: Path, rows: int = 1_000, options: ReadOptions = ReadOptions()) -> list[Piece]:
    """A file's pieces."""
    return planned(sources(str(path)), rows, options, mapped)


def read_file(path: Path, rows: int = 1_000, options: ReadOptions = ReadOptions()) -> FileRead:
    """All of a file."""
    pieces = pieces_of(path, rows, options)
    features, problems, lines, reads, judged = [], [], [], [], []
    for piece in pieces:
        for read in rows_of(piece, rows):
            held = checked_rows(piece.layout, read)
            features.append(matrix(held.columns))
            problems += [PROBLEMS[one] for one in held.problem]
            lines += [int(line) for line in read.lines()]
            reads.append(read)
            judged.append(held)
    return FileRead(np.vstack(features), problems, lines, pieces[0].layout.description, reads, judged)
