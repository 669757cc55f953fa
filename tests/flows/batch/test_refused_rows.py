"""Every refused row finds its way back: line, column, reason and its cells, in a file beside the parts."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from flows.batch.column_forms import checked_rows
from flows.batch.piece_rows import rows_of
from flows.batch.places import ResultPlace
from flows.batch.refused_rows import join_notes, note, note_of
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import pieces_of


def _refused(source: Path, target: Path, rows: int) -> list[list[str]]:
    """What a job over the file writes of its refused rows."""
    place = ResultPlace.of(str(target))
    target.mkdir(exist_ok=True)
    pieces = pieces_of(source, rows)
    for piece in pieces:
        for number, read in enumerate(rows_of(piece, rows)):
            if told := note(read, checked_rows(piece.layout, read)):
                place.at(note_of(piece.part(number))).write(told)
    assert join_notes(pieces, place) == (f"{source.name}.refused.csv",)
    with (target / f"{source.name}.refused.csv").open(encoding="utf-8", newline="") as file:
        return [*csv.reader(file)]


@pytest.mark.parametrize("rows", [2, 7, 1_000])
@pytest.mark.parametrize("packed", [False, True], ids=["cut", "streamed"])
def test_lines_and_cells_are_those_of_the_file(tmp_path: Path, packed: bool, rows: int) -> None:
    """Short and long rows, a cell of two lines, blank lines, no last line end: the line that an editor shows."""
    frame = applicants(12)
    frame.loc[2, "my_id"] = "two\nlines"
    frame.loc[4, "interest_rate"] = 101.0
    lines = as_csv(frame).rstrip("\n").split("\n")
    lines[9:9] = ["", "short,1", ""]  # after row 7, whose line is 10 since row 2 has two
    lines.append(lines[-1].replace("row-11", "long") + ",beyond,more")
    text = "\n".join(lines)
    source = tmp_path / ("a.csv.gz" if packed else "a.csv")
    source.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    header, *refused = _refused(source, tmp_path / "out", rows)

    shown = text.split("\n")
    assert header == ["line", "column", "reason", *frame.columns, "cells beyond the header"]
    assert [(row[0], row[1], row[2].split(";")[0]) for row in refused] == [
        ("7", "interest_rate", "out of range"),
        ("11", "", "2 cells, the header names 21 columns"),
        (str(len(shown)), "", "23 cells, the header names 21 columns"),
    ]
    for row in refused:
        line = shown[int(row[0]) - 1].split(",")
        assert row[3 : 3 + len(line)][: len(frame.columns)] == line[: len(frame.columns)]
    assert refused[-1][-1] == "beyond|more"


def test_a_job_that_goes_on_has_all_its_refused_rows(tmp_path: Path) -> None:
    """Notes stay beside the parts; joined again they are the same file."""
    frame = applicants(9)
    frame.loc[[1, 8], "interest_rate"] = 101.0
    (tmp_path / "a.csv").write_text(as_csv(frame))
    first = _refused(tmp_path / "a.csv", tmp_path / "out", 3)

    pieces = pieces_of(tmp_path / "a.csv", 3)
    assert join_notes(pieces, ResultPlace.of(str(tmp_path / "out"))) == ("a.csv.refused.csv",)
    with (tmp_path / "out" / "a.csv.refused.csv").open(newline="") as file:
        assert [*csv.reader(file)] == first and [row[0] for row in first[1:]] == ["3", "10"]


def test_a_mended_file_of_refused_rows_is_read_again(tmp_path: Path) -> None:
    """Its own columns line and reason are passed on, and told apart from the new ones."""
    frame = applicants(4)
    frame.loc[1, "interest_rate"] = 101.0
    (tmp_path / "a.csv").write_text(as_csv(frame))
    first = _refused(tmp_path / "a.csv", tmp_path / "out", 10)

    (tmp_path / "b.csv").write_text((tmp_path / "out" / "a.csv.refused.csv").read_text())
    again = _refused(tmp_path / "b.csv", tmp_path / "out-b", 10)

    assert again[0][:6] == ["line", "column", "reason", "given line", "given column", "given reason"]
    assert again[1][3:] == first[1] and again[1][0] == "2"


def test_parquet_and_workbook_rows_have_their_own_numbers(tmp_path: Path) -> None:
    """A parquet file's rows count from 1, over row groups."""
    frame = applicants(20)
    frame.loc[[3, 17], "num_loans"] = 60
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=6)

    _, *refused = _refused(tmp_path / "a.parquet", tmp_path / "out", 5)

    assert [(row[0], row[1]) for row in refused] == [("4", "num_loans"), ("18", "num_loans")]
    assert [row[3 + list(frame.columns).index("my_id")] for row in refused] == ["row-3", "row-17"]
