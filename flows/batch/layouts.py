"""How each file of a job is laid out: looked at once, before its pieces are read by whoever scores them.

What Arrow reads well stays out of core: delimited text is cut into ranges of bytes (`CUT`), or read as a stream where
it is packed (`STREAM`), a parquet file by its row groups. Every other kind of table is read whole by the shared reader.
What a delimited file does not say of itself in its first bytes (the decimal mark, say) is looked for in all of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import IO, Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from flows.batch.contract_columns import refuse_types, require_fields, untold
from flows.batch.errors import BatchRefused
from flows.batch.places import Source, short, system_words
from service.lexicon.cells import ColumnForm
from service.lexicon.delimited_text import Dialect, dialect
from service.lexicon.errors import TableRefused, Trouble
from service.lexicon.headings import fields_of
from service.lexicon.layout import refuse_names
from service.lexicon.limits import MIB, ReadLimits, ReadOptions
from service.lexicon.reading import read_table
from service.lexicon.row_borders import row_borders
from service.lexicon.strictness import Reader, hold
from service.lexicon.text_encoding import WINDOWS, holds_utf8_letters
from service.lexicon.understanding import (
    Layout,
    TableRead,
    two_columns,
)
from service.lexicon.unpacking import (
    GZIP,
    ZIP,
    FileKind,
    damaged,
    is_workbook,
    kind_of,
    named_workbook,
    no_table,
    zip_member,
)

LIMITS: Final = ReadLimits(unpacked_bytes=1024 * MIB, rows=5_000_000)
"""Of a file that is read whole; what is cut or streamed has none."""
SAMPLE_BYTES: Final = 1 << 18
UTF8: Final = "utf-8"
_ONE_BYTE: Final = {"cp1252", "iso8859-1", "iso8859-15"}  # as Python names them: their line ends are those of ASCII
Packing = Literal["gzip", "zip", ""]
_ESCAPED_QUOTE: Final = b'\\"'


class Lane(StrEnum):
    """How a file is read."""

    CUT = "cut"
    STREAM = "stream"
    PARQUET = "parquet"
    WHOLE = "whole"


@dataclass(frozen=True)
class FileLayout:
    """What a worker must know of a file to read a piece of it."""

    source: Source
    number: int  # of the file in its job
    lane: Lane
    options: ReadOptions
    schema: pa.Schema | None = None  # None where it is read whole: each reading finds it anew
    fields: Mapping[str, str] = field(default_factory=dict)  # by field its column
    forms: Mapping[str, ColumnForm] = field(default_factory=dict)  # by field; settled before anything is scored
    dialect: Dialect = Dialect(",", (), 0, 0, 1)  # of text; `start` counts the file's own bytes
    encoding: str = UTF8
    packing: Packing = ""
    block: int = 0  # of text: bytes that hold about as many rows as a part has
    complete: bool = False  # whether the sample is all of it
    description: str = ""  # what was understood, in words
    untold: str = ""  # the fields that no column holds, in words

    @property
    def name(self) -> str:
        """The file's own name."""
        return short(self.source.address)

    @property
    def read_as(self) -> str:
        """The file's name and what was understood of it, for the job's summary."""
        return "; ".join(filter(None, (f"{self.name}: {self.description}", self.untold)))

    def refused(self, trouble: Trouble) -> BatchRefused:
        """The refusal of this file for a trouble."""
        return refusal(self.source, trouble)


def refusal(source: Source, trouble: Trouble) -> BatchRefused:
    """The refusal of a file: its name, line and column, what was expected, the next step."""
    return BatchRefused(str(TableRefused(trouble, short(source.address))))


@contextmanager
def stream_of(source: Source, packing: Packing, options: ReadOptions = ReadOptions()) -> Iterator[IO[bytes]]:
    """The file's bytes from its start, unpacked as they are read; of a zip those of its one table.

    Raises:
        TableRefused: it is a damaged zip, or one of no table or several.
    """
    with source.opened() as place:
        if packing == "zip":
            with place.system.open_input_file(place.path) as file, zip_member(file, options) as (member, _):
                yield member
            return
        with place.system.open_input_stream(place.path, compression=packing or None) as stream:
            yield stream


def opened(source: Source, number: int, rows: int, options: ReadOptions) -> FileLayout:
    """How file `number` of a job is laid out, for parts of about `rows` rows.

    Raises:
        BatchRefused: it cannot be read, or its columns are not the contract's.
    """
    try:
        return _opened(source, number, rows, options)
    except TableRefused as refused:
        raise refusal(source, refused.trouble) from None
    except pa.ArrowException:  # whose text may repeat a cell
        raise refusal(source, _DAMAGED) from None
    except EOFError:
        raise refusal(source, damaged("gzip")) from None
    except OSError as error:
        raise BatchRefused(f"{short(source.address)} cannot be read: {system_words(error)}") from error


_DAMAGED: Final = Trouble("damaged", "this is a damaged parquet file", advice="write it again")


def _opened(source: Source, number: int, rows: int, options: ReadOptions) -> FileLayout:
    name = short(source.address)
    with stream_of(source, "") as stream:
        sample = bytes(stream.read(SAMPLE_BYTES))
    packing, name = _packing(source, sample, name, options)
    if packing:
        sample = _unpacked_sample(source, packing, options)
    base = FileLayout(source, number, Lane.WHOLE, options, packing=packing, complete=len(sample) < SAMPLE_BYTES)
    kind = None if sample.startswith((GZIP, ZIP)) else kind_of(sample, name)
    if kind is FileKind.PARQUET and not packing:
        return _parquet(base)
    layout = _text(base, sample, rows) if kind is FileKind.DELIMITED else None
    if layout is not None:
        return layout
    return read_whole_instead(base)


def read_whole_instead(layout: FileLayout) -> FileLayout:
    """The layout of a file that only the shared reader reads; looked at before any is scored, and then read again.

    Raises:
        BatchRefused: it cannot be read as it is.
    """
    try:
        table = read_whole(replace(layout, lane=Lane.WHOLE))
    except TableRefused as refused:
        raise refusal(layout.source, refused.trouble) from None
    missing = untold(table.columns, [str(one) for one in table.frame.columns])
    return replace(layout, lane=Lane.WHOLE, description=_description_of_whole(table), untold=missing, complete=True)


def _packing(source: Source, sample: bytes, name: str, options: ReadOptions) -> tuple[Packing, str]:
    """What the file is packed in, and the name of what is packed; a workbook is a zip too, but none of a table."""
    if sample.startswith(GZIP):
        return "gzip", name[:-3] if name.lower().endswith(".gz") else name
    if not sample.startswith(ZIP) or named_workbook(name):
        return "", name
    with source.opened() as place, place.system.open_input_file(place.path) as file:
        if is_workbook(file):
            return "", name
        with zip_member(file, options) as (_, member):
            return "zip", member


def _unpacked_sample(source: Source, packing: Packing, options: ReadOptions) -> bytes:
    try:
        with stream_of(source, packing, options) as stream:
            return bytes(stream.read(SAMPLE_BYTES))
    except OSError:
        raise TableRefused(damaged(packing)) from None


def read_whole(layout: FileLayout) -> TableRead:
    """The table of a file that is read whole, with nothing open.

    Raises:
        TableRefused, BatchRefused: it cannot be read, something stays open, or a field is missing.
    """
    if layout.source.size_bytes > LIMITS.unpacked_bytes:
        most = LIMITS.unpacked_bytes // MIB
        raise TableRefused(Trouble("too_large", f"this kind of file is read up to {most} MiB", advice="split the file"))
    with layout.source.opened() as place:
        content = place.read()
    table = read_table(content, replace(layout.options, limits=LIMITS), name=layout.name)
    try:
        hold(table.understanding, Reader.BATCH)
    except TableRefused as refused:
        raise TableRefused(without_value(refused.trouble)) from None
    require_fields(layout.name, _description_of_whole(table), table.columns, [str(one) for one in table.frame.columns])
    return table


def _description_of_whole(table: TableRead) -> str:
    told_of = table.understanding
    return str(
        Layout(told_of.kind, told_of.packing, told_of.encoding, told_of.delimiter, told_of.decimal, told_of.header_line)
    )


OPEN_DAY: Final = "a day whose month could be either of its first two numbers"
_OPEN: Final = {"decimal": "a number that a decimal point and a decimal comma both fit", "days": OPEN_DAY}


def without_value(trouble: Trouble) -> Trouble:
    """The trouble without what the cell holds: messages of a job end in logs."""
    return replace(trouble, what=_OPEN.get(trouble.code, trouble.what))


def _parquet(base: FileLayout) -> FileLayout:
    with base.source.opened() as place, pq.ParquetFile(place.path, filesystem=place.system) as file:
        schema = file.schema_arrow
    fields = _fields(base, schema.names, Layout("parquet"))
    refuse_types(schema, fields, base.name)
    return replace(
        base,
        lane=Lane.PARQUET,
        schema=schema,
        fields=fields,
        complete=False,
        description="parquet",
        untold=untold(fields, schema.names),
    )


def _fields(base: FileLayout, names: Sequence[str], layout: Layout) -> dict[str, str]:
    columns_of = fields_of([name for name in names if name])
    for one, columns in columns_of.items():
        if len(columns) > 1:
            raise TableRefused(two_columns(one, columns, layout.header_line).trouble)
    fields = {one: columns[0] for one, columns in columns_of.items()}
    require_fields(base.name, str(layout), fields, [name for name in names if name])
    return fields


def _text(base: FileLayout, sample: bytes, rows: int) -> FileLayout | None:
    """The layout of text that can be cut or streamed; None if it must be read whole."""
    encoding = _encoding(sample, base.options.encoding)
    bare = sample.removeprefix(codecs.BOM_UTF8)
    if encoding is None or bare.lstrip()[:1] in (b"<", b"[") or not bare.strip(b" \r\n\t,;|"):
        return None
    if not base.complete:
        bare = bare[: bare.rfind(b"\n") + 1]
    try:
        text = bare.decode(encoding).encode()
    except UnicodeDecodeError:
        return None
    csv_dialect = dialect(text, base.options)
    refuse_names(csv_dialect.columns, csv_dialect.header_line)
    borders = row_borders(text, csv_dialect.start, csv_dialect.line, csv_dialect.delimiter)
    ends_open = bool(borders.open_quote) and base.complete
    if borders.stray_quotes or ends_open or _ESCAPED_QUOTE in text or b"\n" not in text or borders.lines.size == 0:
        return None
    above = (
        len(text[: csv_dialect.start].decode().encode(encoding))
        + len(sample)
        - len(sample.removeprefix(codecs.BOM_UTF8))
    )
    layout = Layout(
        "csv", (base.packing,) if base.packing else (), encoding, csv_dialect.delimiter, "", csv_dialect.header_line
    )
    names = [name for name in csv_dialect.columns if name]
    fields = _fields(base, names, layout)
    return replace(
        base,
        lane=Lane.STREAM if base.packing else Lane.CUT,
        schema=pa.schema([(name, pa.string()) for name in names]),
        fields=fields,
        dialect=replace(csv_dialect, start=above),
        encoding=encoding,
        block=max(int(rows * (len(text) - csv_dialect.start) / len(borders.lines)), 1),
        description=str(layout),
        untold=untold(fields, names),
    )


def _encoding(sample: bytes, told_encoding: str) -> str | None:
    """UTF-8, or another encoding whose line ends are ASCII's; None for any other."""
    if sample.startswith(codecs.BOM_UTF8):
        return UTF8
    if b"\x00" in sample or sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None
    if told_encoding:
        try:
            name = codecs.lookup(told_encoding).name
        except LookupError:
            return None  # the shared reader says so
        return name if name in (UTF8, *_ONE_BYTE) else None
    if is_utf8(sample):
        return UTF8
    return None if holds_utf8_letters(sample) else WINDOWS  # the shared reader names the line


def is_utf8(content: bytes, *, from_start: bool = True) -> bool:
    """True if bytes cut out of a text are UTF-8, but for a letter that its end, or its start, cuts."""
    if content.isascii():
        return True
    if not from_start:
        cut = next((place for place in range(min(4, len(content))) if content[place] & 0xC0 != 0x80), 0)
        content = content[cut:]
    try:
        codecs.getincrementaldecoder(UTF8)().decode(content, final=False)
    except UnicodeDecodeError:
        return False
    return True


def in_encoding(layout: FileLayout, rows: int, encoding: str) -> FileLayout:
    """The layout of the same file, read in another encoding."""
    return opened(layout.source, layout.number, rows, replace(layout.options, encoding=encoding))


def as_utf8_bytes(layout: FileLayout, content: bytes, line: int) -> bytes:
    """A part of the file's text in UTF-8; `line` is that of its first byte.

    Raises:
        BatchRefused: it is not in the file's encoding, or no text.
    """
    if (place := content.find(b"\x00")) >= 0:
        raise layout.refused(no_table("it holds bytes that no text has", line + content[:place].count(b"\n")))
    if layout.encoding == UTF8:
        return content
    if layout.encoding == WINDOWS and not layout.options.encoding and holds_utf8_letters(content):
        raise layout.refused(wrong_byte(WINDOWS, line))
    try:
        return content.decode(layout.encoding).encode()
    except UnicodeDecodeError as error:
        raise layout.refused(wrong_byte(layout.encoding, line + content[: error.start].count(b"\n"))) from None


def wrong_byte(encoding: str, line: int) -> Trouble:
    """The trouble of a byte that is not of the text's encoding."""
    return Trouble(
        "encoding",
        f"a byte is not {encoding}",
        "text in one encoding",
        "say which (--encoding NAME), or save it as UTF-8",
        line,
    )


def bare_sample(layout: FileLayout) -> tuple[bytes, int]:
    """The whole rows in the beginning of a text, in UTF-8, and the line of the first."""
    with stream_of(layout.source, layout.packing, layout.options) as stream:
        rows = bytes(stream.read(SAMPLE_BYTES))[layout.dialect.start :]
    line = layout.dialect.line
    if not layout.complete:
        rows = rows[: rows.rfind(b"\n") + 1]
        borders = row_borders(rows, 0, line, layout.dialect.delimiter)
        rows = rows[: int(borders.starts[-1])] if len(borders.starts) else b""
    return as_utf8_bytes(layout, rows, line), line


def settled(layout: FileLayout, forms: Mapping[str, ColumnForm]) -> FileLayout:
    """The layout with its columns' forms."""
    marks: set[Any] = {form.decimal for form in forms.values() if form.decimal}
    mark = marks.pop() if len(marks) == 1 and layout.lane in (Lane.CUT, Lane.STREAM) else ""
    mark_name = {",": "comma", ".": "point"}.get(mark, "")
    return replace(
        layout,
        forms=dict(forms),
        description=f"{layout.description}, decimal {mark_name}" if mark_name else layout.description,
    )
