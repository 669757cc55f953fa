"""Files are cut at row borders, wherever blocks fall, and every row is read once."""

from __future__ import annotations

import csv
import gzip
import io
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.batch.files import FileLayout, Piece, Source, blocks, cut, opened, sources, surveyed, tables, whole
from flows.batch.rows import BatchRefused

CELLS = st.text(alphabet='ab",\n\r |', max_size=8)
TABLES = st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30)


def _source(path: Path) -> Source:
    return sources(str(path))[0]


def _pieces(layout: FileLayout) -> list[Piece]:
    content = Path(layout.source.address).read_bytes()
    found = [surveyed(content[start - 1 : stop + 1], stop - start) for start, stop in blocks(layout)]
    moved = [
        one._replace(borders=tuple(start - 1 + border if border >= 0 else -1 for border in one.borders))
        for one, (start, _) in zip(found, blocks(layout), strict=True)
    ]
    return cut(layout, moved)


def _rows(pieces: list[Piece], rows: int) -> list[dict[str, str | None]]:
    return [row for piece in pieces for table in tables(piece, rows) for row in table.to_pylist()]


@settings(max_examples=60)
@given(rows=TABLES, block=st.integers(1, 60), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_is_cut_at_row_borders_alone(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], block: int, quoting: int
) -> None:
    """Quoted line breaks, commas and quotes, blocks of any size: the pieces hold what the file holds, in order."""
    if quoting == csv.QUOTE_MINIMAL:  # the csv module leaves a lone carriage return bare, which ends a row
        rows = [(left.replace("\r", ""), right.replace("\r", "")) for left, right in rows]
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerows([("left", "right"), *((f"x{left}", right) for left, right in rows)])
    path = tmp_path_factory.mktemp("cut") / "a.csv"
    path.write_bytes(text.getvalue().encode())
    layout = opened(_source(path), 0, 1)[0]._replace(block=block)

    pieces = _pieces(layout)

    assert [(one["left"], one["right"] or "") for one in _rows(pieces, 1)] == [(f"x{a}", b) for a, b in rows]
    assert (pieces[0].start, pieces[-1].stop) == (layout.start, path.stat().st_size)
    assert all(left.stop == right.start for left, right in pairwise(pieces))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param('secret 12" disk,1\n', "a quote stands inside a cell", id="stray-quote"),
        pytest.param('"secret,1\n', "never closed", id="open-quote"),
        pytest.param("secret,1,2\n", "a row of 3 cells, the header names 2", id="too-many-cells"),
        pytest.param("secret\n", "a row of 1 cells, the header names 2", id="too-few-cells"),
        pytest.param("secret,\udcff\n", "cannot be read", id="no-utf-8"),
    ],
)
def test_a_damaged_csv_is_refused_without_a_value(tmp_path: Path, line: str, said: str) -> None:
    """One clear line, and nothing of the row in it."""
    path = tmp_path / "a.csv"
    path.write_bytes(("left,right\nsecret,1\n" + line + "secret,2\n").encode(errors="surrogateescape"))

    with pytest.raises(BatchRefused, match=said) as refused:
        _rows(_pieces(opened(_source(path), 0, 100)[0]), 100)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path, name: str) -> None:
    """As spreadsheets write them."""
    content = "\ufeffleft,right\r\n1,NA\r\n2,\r\n".encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    layout, schema = opened(_source(tmp_path / name), 0, 100)

    pieces = whole(layout, 100) if name.endswith("gz") else _pieces(layout)

    assert schema.names == ["left", "right"]
    assert _rows(pieces, 100) == [{"left": "1", "right": "NA"}, {"left": "2", "right": None}]


def test_a_packed_file_comes_in_parts_of_a_size(tmp_path: Path) -> None:
    """Exactly as many rows a part, the last one fewer: a repeated job finds its parts."""
    pd.DataFrame({"left": range(250)}).to_csv(tmp_path / "a.csv.gz", index=False)
    layout, _ = opened(_source(tmp_path / "a.csv.gz"), 0, 100)

    found = [table.column("left").to_pylist() for table in tables(whole(layout, 100)[0], 100)]

    assert [len(one) for one in found] == [100, 100, 50]
    assert [int(cell) for one in found for cell in one] == list(range(250))


@pytest.mark.parametrize("group", [7, 100, 250])
def test_row_groups_make_parts_of_a_size(tmp_path: Path, group: int) -> None:
    """Small groups come together, a large one is cut."""
    pa.parquet.write_table(pa.table({"left": range(250)}), tmp_path / "a.parquet", row_group_size=group)
    layout, _ = opened(_source(tmp_path / "a.parquet"), 0, 100)

    pieces = whole(layout, 100)

    found = [[len(table) for table in tables(piece, 100)] for piece in pieces]
    assert [len(one) for one in found] == [piece.parts for piece in pieces]
    assert max(length for one in found for length in one) <= 100
    assert [row["left"] for row in _rows(pieces, 100)] == list(range(250))


def test_a_folder_is_its_files_in_order(tmp_path: Path) -> None:
    """Of known kinds, at any depth; what begins with a dot or an underscore is nobody's data."""
    for name in ("b.csv", "sub/a.parquet", "a.csv.gz", "notes.txt", "_SUCCESS.csv", ".a.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    found = [one.address.removeprefix(f"{tmp_path}/") for one in sources(str(tmp_path))]

    assert found == ["a.csv.gz", "b.csv", "sub/a.parquet"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("none.csv", None, "there is no file", id="absent"),
        pytest.param("a.txt", b"x", "neither", id="unknown-kind"),
        pytest.param("a.parquet", b"no parquet", "cannot be read", id="no-parquet"),
        pytest.param("a.csv", b"", "no header", id="empty"),
        pytest.param("a.csv.gz", b"no gzip", "cannot be read", id="no-gzip"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    """One clear line each."""
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(BatchRefused, match=said):
        opened(_source(tmp_path / name), 0, 100)


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    """What is there is not scored as if it were all."""
    pd.DataFrame({"left": range(90_000)}).to_csv(tmp_path / "a.csv.gz", index=False)
    (tmp_path / "a.csv.gz").write_bytes((tmp_path / "a.csv.gz").read_bytes()[:-400])
    layout, _ = opened(_source(tmp_path / "a.csv.gz"), 0, 100)

    with pytest.raises(BatchRefused, match="cannot be read"):
        _rows(whole(layout, 100), 100)
