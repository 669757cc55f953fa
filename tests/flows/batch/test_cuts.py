"""Files are cut at row borders, wherever blocks fall; every row is read once, and knows its line."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.batch.cuts import Piece, blocks, cut, survey
from flows.batch.errors import BatchRefused
from flows.batch.layouts import FileLayout, Lane
from flows.batch.piece_rows import rows_of
from flows.batch.places import Source
from service.lexicon.delimited_text import Dialect
from service.lexicon.limits import ReadOptions
from tests.flows.batch.files import applicants
from tests.flows.batch.reading import pieces_of

CELLS = st.text(alphabet='ab",\n\r |é', max_size=8)
TABLES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30)
HEADER = b"left,right\n"


def _layout(path: Path, block: int, content: bytes) -> FileLayout:
    """Of a file of two columns that hold no field: how rows are cut does not ask for any."""
    path.write_bytes(HEADER + content)
    source = Source(str(path), path.stat().st_size, 0)
    laid = Dialect(",", ("left", "right"), 1, len(HEADER), 2)
    return FileLayout(source, 0, Lane.CUT, ReadOptions(), dialect=laid, block=block)


def _pieces(layout: FileLayout) -> list[Piece]:
    pieces = cut(layout, [survey(layout, start, stop) for start, stop in blocks(layout)])
    assert pieces is not None
    return pieces


@settings(max_examples=80)
@given(
    rows=TABLES,
    block=st.integers(1, 60),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_text_is_cut_at_row_borders_alone(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block: int, quoting: int, end: str
) -> None:
    """Quoted line breaks, commas and quotes, blocks of any size: the rows of the file, in order, each on its line."""
    if quoting == csv.QUOTE_MINIMAL:  # the csv module leaves a lone carriage return bare, which ends a row
        rows = [(left.replace("\r", ""), right.replace("\r", "")) for left, right in rows]
    text, lines = io.StringIO(), []
    writer = csv.writer(text, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    for left, right in rows:
        lines.append(2 + len(io.StringIO(text.getvalue(), newline=None).read().split("\n")) - 1)
        writer.writerow((f"x{left}", right))
    layout = _layout(tmp_path_factory.mktemp("cut") / "a.csv", block, text.getvalue().encode())

    pieces = _pieces(layout)
    reads = [read for piece in pieces for read in rows_of(piece, 1)]

    found = [(row["left"], row["right"] or "") for read in reads for row in read.table.to_pylist()]
    assert found == [(f"x{left}", right) for left, right in rows]
    assert [int(line) for read in reads for line in read.lines()] == lines
    assert (pieces[0].start, pieces[-1].stop) == (layout.dialect.start, layout.source.size_bytes)
    assert all(left.stop == right.start for left, right in pairwise(pieces))


@pytest.mark.parametrize("block", [5, 8, 1_000])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param('secret 12" disk,1\n', "a.csv: line 4: a quote stands inside a cell", id="stray-quote"),
        pytest.param('"secret,1\n', "a.csv: line 4: the last quote is never closed", id="open-quote"),
    ],
)
def test_quotes_that_make_borders_guesses_are_refused_with_their_line(
    tmp_path: Path, block: int, line: str, said: str
) -> None:
    """Wherever blocks fall: one clear line, and nothing of the row in it."""
    layout = _layout(tmp_path / "a.csv", block, ('"sec\nret",1\n' + line + "secret,2\n").encode())

    with pytest.raises(BatchRefused, match=said) as refused:
        _pieces(layout)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("group", [7, 100, 250])
def test_row_groups_make_parts_of_a_size(tmp_path: Path, group: int) -> None:
    """Small groups come together, a large one is cut; rows are numbered through the file."""
    frame = applicants(250)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=group)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups == -(-250 // group)

    pieces = pieces_of(tmp_path / "a.parquet", 100)

    reads = [[*rows_of(piece, 100)] for piece in pieces]
    assert [len(one) for one in reads] == [piece.parts for piece in pieces]
    assert max(len(read) for one in reads for read in one) <= 100
    assert [row for one in reads for read in one for row in read.table.column("my_id").to_pylist()] == [*frame["my_id"]]
    assert [int(line) for one in reads for read in one for line in read.lines()] == [*range(1, 251)]
