"""What a file holds, told by its first bytes and never by its name: unpacked, within a cap that is really counted."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Final

from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.limits import ReadOptions, check_bytes

CHUNK_BYTES: Final = 1 << 20
_MOST_LAYERS: Final = 3  # a gzipped table in a zip, say
_TABLES: Final = (".csv", ".tsv", ".txt", ".tab", ".gz", ".xlsx", ".xlsm", ".parquet", ".jsonl", ".ndjson", ".json")
_WORKBOOK_PART: Final = "xl/workbook.xml"
_NO_TABLE: Final = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"Rar!", b"7z\xbc\xaf", b"GIF8", b"\x7fELF", b"BZh")
GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK"
MOST_PARTS: Final = 10_000  # blocks of a gzip by bgzip too, which hold 64 KiB each
_PART_BEGINNINGS: Final = (b"\x1f\x8b\x08", b"PK\x01\x02")
_NO_TABLE_PARTS: Final = {
    "content.xml": "this is an OpenDocument file (.ods)",
    "xl/workbook.bin": "this is a binary workbook (.xlsb)",
    "Index/Document.iwa": "this is a spreadsheet of Numbers",
}
"""By a part that only they have, zips of programs whose tables are not read."""
_ENCRYPTED: Final = 1  # the bit of a zip's member that says so
_WIDE_OBJECTS: Final = (b"\xff\xfe{\x00", b"\xfe\xff\x00{")  # an object's first sign in UTF-16
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0"  # xls, and xlsx under a password


class FileKind(StrEnum):
    """What is to be read."""

    DELIMITED = "csv"
    WORKBOOK = "xlsx"
    PARQUET = "parquet"
    JSON_LINES = "json lines"


@dataclass(frozen=True)
class Unpacked:
    """The bytes of a table, what they are, and what they were packed in, outermost first."""

    content: bytes
    kind: FileKind
    name: str
    packing: tuple[str, ...] = ()


def unpacked(content: bytes, name: str, options: ReadOptions) -> Unpacked:
    """The one table in these bytes.

    Raises:
        TableRefused: empty, damaged, no table, several tables, or larger than the limits when unpacked.
    """
    packing: list[str] = []
    while len(packing) < _MOST_LAYERS:
        _check_parts(content)
        if content.startswith(GZIP):
            content, name = _gunzipped(content, options), _without(name, ".gz")
            packing.append("gzip")
        elif content.startswith(ZIP) and not named_workbook(name) and not is_workbook(io.BytesIO(content)):
            content, name = _from_zip(content, options)
            packing.append("zip")
        else:
            break
    return Unpacked(content, kind_of(content, name), name, tuple(packing))


def _check_parts(content: bytes) -> None:
    """Bound the parts of an archive: empty ones unpack to nothing, however many, and each is looked at."""
    if content.startswith((GZIP, ZIP)) and max(map(content.count, _PART_BEGINNINGS)) > MOST_PARTS:
        raise TableRefused(Trouble("too_large", f"an archive of more than {MOST_PARTS:,} parts", advice="pack it anew"))


def kind_of(content: bytes, name: str) -> FileKind:
    """What unpacked bytes are; their beginning is enough.

    Raises:
        TableRefused: nothing, or no kind of table.
    """
    if not content.strip(b"\x00 \r\n\t"):
        raise TableRefused(Trouble("empty", "the file is empty", "a header and a row a customer"))
    if content.startswith(_OLD_EXCEL):
        raise TableRefused(
            Trouble(
                "old_excel", "an old .xls file, or a workbook under a password", advice="save it as .xlsx without one"
            )
        )
    if content.startswith(ZIP):
        return FileKind.WORKBOOK
    if named_workbook(name):
        raise TableRefused(
            Trouble("broken_excel", "named as a workbook, but is none", "a sound .xlsx file", "save it as .xlsx again")
        )
    if content.startswith(b"PAR1"):
        return FileKind.PARQUET
    if content.startswith(_NO_TABLE):
        raise TableRefused(no_table("the first bytes are those of another kind of file"))
    text = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    return FileKind.JSON_LINES if text.startswith((b"{", *_WIDE_OBJECTS)) else FileKind.DELIMITED


def no_table(what: str, line: int = 0) -> Trouble:
    """The trouble of a file that holds no table."""
    return Trouble("not_a_table", what, "a table as CSV, .xlsx, parquet or JSON lines", "save it as one of them", line)


def _gunzipped(content: bytes, options: ReadOptions) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            return _capped(stream, options)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise TableRefused(damaged("gzip")) from None


def damaged(kind: str) -> Trouble:
    """The trouble of an archive that cannot be unpacked."""
    return Trouble("damaged", f"this is a damaged {kind} archive", advice="fetch or pack it again")


def _capped(stream: IO[bytes] | gzip.GzipFile, options: ReadOptions) -> bytes:
    """All of a stream, chunk by chunk, so that no more than the limit is ever unpacked."""
    chunks, size = [], 0
    while chunk := stream.read(CHUNK_BYTES):
        size += len(chunk)
        check_bytes(size, options.limits)
        chunks.append(chunk)
    return b"".join(chunks)


def named_workbook(name: str) -> bool:
    """True if a file's name is that of an .xlsx file."""
    return name.lower().endswith((".xlsx", ".xlsm"))


def _without(name: str, suffix: str) -> str:
    return name[: -len(suffix)] if name.lower().endswith(suffix) else name


def is_workbook(file: IO[bytes]) -> bool:
    """True if a zip is an .xlsx file.

    Raises:
        TableRefused: it is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _WORKBOOK_PART in archive.NameToInfo
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise TableRefused(damaged("zip")) from None


def _from_zip(content: bytes, options: ReadOptions) -> tuple[bytes, str]:
    with zip_member(io.BytesIO(content), options) as (stream, name):
        return _capped(stream, options), name


@contextmanager
def zip_member(file: IO[bytes], options: ReadOptions) -> Iterator[tuple[IO[bytes], str]]:
    """The one table in a zip, unpacked as it is read, and its name.

    Raises:
        TableRefused: the zip is damaged, under a password, or holds no table or several; while it is read too.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            chosen = _pick(archive, options)
            if chosen.flag_bits & _ENCRYPTED:
                raise TableRefused(Trouble("damaged", "the zip is under a password", advice="pack it without one"))
            with archive.open(chosen) as stream:
                yield stream, chosen.filename
    except (zipfile.BadZipFile, EOFError, zlib.error, OSError, NotImplementedError):
        raise TableRefused(damaged("zip")) from None


def _pick(archive: zipfile.ZipFile, options: ReadOptions) -> zipfile.ZipInfo:
    tables = [
        one
        for one in archive.infolist()
        if one.filename.lower().endswith(_TABLES)
        and not one.filename.startswith("__MACOSX/")
        and not one.filename.rpartition("/")[2].startswith(".")
    ]
    for name in filter(None, (options.member, options.prefer)):
        if members := [one for one in tables if name in (one.filename, one.filename.rpartition("/")[2])]:
            return members[0]
    if not tables and (
        what := next((_NO_TABLE_PARTS[one] for one in archive.namelist() if one in _NO_TABLE_PARTS), "")
    ):
        raise TableRefused(no_table(what))
    if options.member or len(tables) != 1:
        names = ", ".join(one.filename for one in tables[:5]) or "no table"
        raise TableRefused(
            Trouble("not_one_table", f"the zip holds {names}", "one table", "pack one alone, or name it (--member)")
        )
    return tables[0]
