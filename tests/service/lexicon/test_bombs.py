"""No size that a file tells of itself is believed: what unpacks beyond the limit is refused, whatever it says."""

from __future__ import annotations

import functools
import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.lexicon.errors import TableRefused
from service.lexicon.limits import MIB, UPLOAD, ReadOptions
from service.lexicon.reading import read_table
from service.lexicon.unpacking import MOST_PARTS
from tests.service.lexicon.tables import HEADER, ROWS, delimited, workbook, zipped

OPTIONS = ReadOptions(limits=replace(UPLOAD, unpacked_bytes=MIB, workbook_bytes=MIB))
SHEET = "xl/worksheets/sheet1.xml"


def _rewritten(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """A workbook with its parts changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name in given.namelist():
            made.writestr(name, change(name, given.read(name)))
    return buffer.getvalue()


def _lying(content: bytes, says: int) -> bytes:
    """A zip whose directory and headers say that every part unpacks to `says` bytes."""
    told = bytearray(content)
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = told.find(mark)
        while place >= 0:
            told[place + offset : place + offset + 4] = struct.pack("<I", says)
            place = told.find(mark, place + 4)
    return bytes(told)


@functools.cache
def _large() -> bytes:
    return delimited([ROWS[0]] * 40_000).encode()


@functools.cache
def _large_workbook() -> bytes:
    return workbook([HEADER, *[ROWS[0]] * 20_000])


@functools.cache
def _shared_strings() -> bytes:
    book = openpyxl.Workbook()
    for row in [HEADER, *([*ROWS[0][:-1], "x" * 1_000 + str(number)] for number in range(2_000))]:
        book.active.append(list(row))
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "bomb"),
    [
        pytest.param("a.csv.gz", lambda: gzip.compress(_large()), id="gzip"),
        pytest.param("a.csv.gz", lambda: gzip.compress(_large())[:-4] + struct.pack("<I", 10), id="lying-gzip"),
        pytest.param("a.zip", lambda: zipped({"a.csv": _large()}), id="zip"),
        pytest.param("a.zip", lambda: zipped({"a.csv.gz": gzip.compress(_large())}), id="gzip-in-zip"),
        pytest.param("a.xlsx", _large_workbook, id="workbook"),
        pytest.param("a.xlsx", lambda: _lying(_large_workbook(), 10), id="lying-workbook"),
        pytest.param("a.xlsx", _shared_strings, id="shared-strings"),
        pytest.param("a.xlsx", lambda: _lying(_shared_strings(), 10), id="lying-shared-strings"),
    ],
)
def test_what_unpacks_beyond_the_limit_is_refused(name: str, bomb: Callable[[], bytes]) -> None:
    """In one sentence; a zip that lies is damaged or too large, and never read past its cap."""
    content = bomb()
    assert len(content) < MIB

    with pytest.raises(TableRefused) as refused:
        read_table(content, OPTIONS, name=name)

    assert refused.value.trouble.code in ("too_large", "damaged", "broken_excel")
    assert refused.value.trouble.advice and "Error" not in str(refused.value)


def test_a_zip_that_says_less_than_it_holds_is_never_read_in_part() -> None:
    """The rows that a lying directory hides are not silently lost."""
    with pytest.raises(TableRefused) as refused:
        read_table(_lying(zipped({"a.csv": delimited().encode()}), 40), ReadOptions(limits=UPLOAD), name="a.zip")

    assert refused.value.trouble.code == "damaged"


@pytest.mark.parametrize("says", ["A1:XFD1048576", "A1:A1", "nonsense"])
def test_a_lying_dimension_changes_nothing(says: str) -> None:
    """A sheet's own word on its size is not asked."""

    def lie(name: str, part: bytes) -> bytes:
        return part.replace(b'<dimension ref="A1:F4"', f'<dimension ref="{says}"'.encode()) if name == SHEET else part

    content = _rewritten(workbook([HEADER, *ROWS]), lie)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert says.encode() in archive.read(SHEET)

    table = read_table(content, ReadOptions(limits=UPLOAD), name="a.xlsx")

    assert table.frame["client"].tolist() == ["C-1", "C-2", "C-3"]
    assert table.plain["annual_income"].cells.tolist() == [row[1] for row in ROWS]


def test_entities_that_grow_are_refused() -> None:
    """No workbook declares any."""

    def declare(name: str, part: bytes) -> bytes:
        head = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        return part.replace(b"<worksheet", head + b"<worksheet", 1) if name == SHEET else part

    with pytest.raises(TableRefused) as refused:
        read_table(_rewritten(workbook([HEADER, *ROWS]), declare), ReadOptions(limits=UPLOAD), name="a.xlsx")

    assert refused.value.trouble.code == "broken_excel"


def _many_members(count: int) -> bytes:
    """A zip whose directory has so many entries, all of them one empty part."""
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end


def _parquet(**columns: pa.Array) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def _repeated(text: str, kind: pa.DataType) -> bytes:
    """A parquet file that holds a long text once, and says it twenty thousand times."""
    return _parquet(annual_income=pa.array([text] * 20_000, kind), num_loans=pa.array([1] * 20_000))


def _wide(rows: int) -> bytes:
    names = ",".join(["annual_income", *(f"c{place}" for place in range(499))])
    return (names + "\n" + (",".join(["12"] * 500) + "\n") * rows).encode()


def _object_of(names: list[int]) -> bytes:
    """An object in which each of these names stands, in this order."""
    return ("{" + ",".join(f'"k{name}":1' for name in names) + "}").encode()


def _named(line: int) -> str:
    return json.dumps({f"c{line}-{place}": 1 for place in range(100)})


SMALL = {
    "empty gzip members": ("a.gz", lambda: gzip.compress(b"") * (MOST_PARTS + 1), "too_large"),
    "packed again": ("a.gz", lambda: gzip.compress(gzip.compress(b"") * 1_000_000), "too_large"),
    "zip entries": ("a.zip", lambda: _many_members(MOST_PARTS + 1), "too_large"),
    "a workbook's entries": ("a.xlsx", lambda: _many_members(MOST_PARTS + 1), "too_large"),
    "cells": ("a.csv.gz", lambda: gzip.compress(_wide(UPLOAD.cells // 500 + 1)), "too_large"),
    "separators": ("a.csv.gz", lambda: gzip.compress(b"annual_income,num_loans\n" + b"," * (20 * MIB)), "too_large"),
    "quotes": ("a.csv.gz", lambda: gzip.compress(b"annual_income,num_loans\n" + b'"' * (20 * MIB)), "too_large"),
    "empty lines": (
        "a.csv.gz",
        lambda: gzip.compress(b"annual_income,num_loans\n" + b"\n" * (10 * UPLOAD.rows)),
        "too_many_rows",
    ),
    "names": ("a.jsonl", lambda: "\n".join(map(_named, range(2000))).encode(), "not_a_table"),
    "a long line": ("a.jsonl", lambda: b'{"a":[' + b"{}," * 1_000_000 + b"1]}", "not_a_table"),
    "a deep line": ("a.jsonl", lambda: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_a_table"),
    "a name at last twice": ("a.jsonl", lambda: _object_of([*range(50_000), 49_999]), "column_twice"),
    "texts of parquet": ("a.parquet", lambda: _repeated("x" * 20_000, pa.string()), "too_large"),
    "large texts of parquet": ("a.parquet", lambda: _repeated("x" * 20_000, pa.large_string()), "too_large"),
    "bytes of parquet": ("a.parquet", lambda: _repeated("x" * 20_000, pa.binary()), "too_large"),
    "lists of parquet": (
        "a.parquet",
        lambda: _parquet(annual_income=pa.array([[0] * 20_000] * 200), num_loans=pa.array([1] * 200)),
        "too_large",
    ),
    "texts in lists of parquet": (
        "a.parquet",
        lambda: _parquet(annual_income=pa.array([["x" * 5_000] * 50] * 500), num_loans=pa.array([1] * 500)),
        "too_large",
    ),
}


@pytest.mark.parametrize("kind", SMALL)
def test_what_is_small_and_takes_much_is_refused(kind: str) -> None:
    """By what it is made of, counted before anything is made of that: in a moment, within an upload's limits."""
    name, bomb, code = SMALL[kind]
    content = bomb()
    assert len(content) < 20 * MIB

    with pytest.raises(TableRefused) as refused:
        read_table(content, ReadOptions(limits=UPLOAD), name=name)

    assert refused.value.trouble.code == code


def test_a_hundred_thousand_rows_of_the_raw_file_are_within_the_limits() -> None:
    """Twenty-eight columns; packed in blocks, as bgzip does."""
    header = ",".join(["annual_income", "num_loans", *(f"c{place}" for place in range(26))])
    lines = [header, *[",".join(["1"] * 28)] * 100_000]
    blocks = [
        gzip.compress("".join(f"{line}\n" for line in lines[at : at + 1000]).encode()) for at in range(0, 100_001, 1000)
    ]

    table = read_table(b"".join(blocks), ReadOptions(limits=UPLOAD), name="a.csv.gz")

    assert table.frame.shape == (100_000, 28)


def test_a_row_that_no_sheet_has_is_refused() -> None:
    """Its number is no number of a line."""

    def move(name: str, part: bytes) -> bytes:
        return part.replace(b'<row r="2"', b'<row r="' + b"9" * 4000 + b'"', 1) if name == SHEET else part

    with pytest.raises(TableRefused) as refused:
        read_table(_rewritten(workbook([HEADER, *ROWS]), move), ReadOptions(limits=UPLOAD), name="a.xlsx")

    assert refused.value.trouble.code == "broken_excel"
