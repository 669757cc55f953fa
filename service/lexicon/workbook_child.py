"""A workbook's first visible sheet as lines of JSON, in a process of its own with limits of its own.

Run as a program (`python -I workbook_child.py BYTES SECONDS MEMORY COLUMNS`): the .xlsx on standard input, a line
`[row number, cell, ...]` a row on standard output, `[0, first row, last row]` for cells that are merged, and on failure
one word on standard error that says why. Only the standard library, and none of what a workbook says about its own size
is believed: parts are counted as they unpack.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final
from xml.parsers import expat

CHUNK_BYTES: Final = 1 << 16
MOST_SHARED_TEXTS: Final = 5_000_000
OTHER_SHEETS: Final = 20  # beside the first whose beginnings are told
HEAD_ROWS: Final = 30  # of each: titles and comments above a header end before this
MOST_ROWS: Final = 1 << 24  # a sheet of Excel's has a sixteenth of them
_DATE_FORMATS: Final = {*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)}  # built into Excel
_PERCENT_FORMATS: Final = {9, 10}
_LITERALS: Final = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')

Started = Callable[[str, dict[str, str]], None]
Ended = Callable[[str, str], None]


class Refused(Exception):
    """Ends the child; its text is the word that the parent knows."""


class Enough(Exception):
    """Ends the reading of a sheet of which no more is wanted."""


class Names(dict[str, str]):
    """Elements' names without their prefix."""

    def __missing__(self, tag: str) -> str:
        self[tag] = tag.rpartition(":")[2]
        return self[tag]


class Parts:
    """The parts of the zip, unpacked a chunk at a time and counted."""

    def __init__(self, archive: zipfile.ZipFile, most_bytes: int) -> None:
        self._archive = archive
        self._room = most_bytes

    def parse(self, name: str, started: Started, ended: Ended) -> bool:
        """Tell every element's start, and its end with the text in it; false if there is no such part."""
        if name not in self._archive.NameToInfo:
            return False
        names, text = Names(), []  # type: tuple[Names, list[str]]

        def start(tag: str, attributes: dict[str, str]) -> None:
            if text:
                text.clear()
            started(names[tag], attributes)

        def end(tag: str) -> None:
            ended(names[tag], "".join(text) if text else "")

        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.buffer_size = CHUNK_BYTES
        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = text.append
        parser.StartDoctypeDeclHandler = _no_doctype
        with self._archive.open(name) as part:
            for chunk in self._chunks(part):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
        return True

    def _chunks(self, part: Any) -> Iterator[bytes]:
        while chunk := part.read(CHUNK_BYTES):
            self._room -= len(chunk)
            if self._room < 0:
                raise Refused("too_large")
            yield chunk


def _no_doctype(*_: object) -> None:
    raise Refused("broken_excel")  # no workbook has one; entities grow without end


def visible_sheets(parts: Parts) -> tuple[dict[str, str], bool]:
    """By name the parts that hold the visible sheets, in order, and whether days count from 1904."""
    ids: dict[str, str] = {}
    targets: dict[str, str] = {}
    epochs: list[bool] = []

    def workbook(tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet" and attributes.get("state", "visible") == "visible":
            name = attributes.get("name", "")
            ids.update({name: value for key, value in attributes.items() if key.rpartition(":")[2] == "id"})
        if tag == "workbookPr":
            epochs.append(attributes.get("date1904") in ("1", "true"))

    def relation(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Relationship":
            targets[attributes["Id"]] = posixpath.normpath(posixpath.join("/xl", attributes["Target"])).lstrip("/")

    if not parts.parse("xl/workbook.xml", workbook, _nothing):
        raise Refused("broken_excel")
    parts.parse("xl/_rels/workbook.xml.rels", relation, _nothing)
    sheets = {name: targets[one] for name, one in ids.items() if one in targets}
    if not ids or next(iter(ids)) not in sheets:
        raise Refused("broken_excel")
    return sheets, any(epochs)


def _nothing(_: str, __: str) -> None:
    """For parts whose texts do not matter."""


def shared_texts(parts: Parts) -> list[str]:
    """The texts that cells point to by their place."""
    texts: list[str] = []
    pieces: list[str] = []
    phonetic: list[bool] = []

    def started(tag: str, _: dict[str, str]) -> None:
        if tag == "si":
            pieces.clear()
        if tag == "rPh":
            phonetic.append(True)

    def ended(tag: str, text: str) -> None:
        if tag == "t" and not phonetic:
            pieces.append(text)
        elif tag == "rPh":
            phonetic.clear()
        elif tag == "si":
            texts.append("".join(pieces))
            if len(texts) > MOST_SHARED_TEXTS:
                raise Refused("too_large")

    parts.parse("xl/sharedStrings.xml", started, ended)
    return texts


def styles(parts: Parts) -> list[str]:
    """By style what its numbers are: "date", "percent" or nothing."""
    kinds: dict[int, str] = dict.fromkeys(_DATE_FORMATS, "date") | dict.fromkeys(_PERCENT_FORMATS, "percent")
    by_style: list[str] = []
    inside: list[str] = []

    def started(tag: str, attributes: dict[str, str]) -> None:
        if tag == "numFmt":
            code = _LITERALS.sub("", attributes.get("formatCode", "")).lower()
            kinds[int(attributes["numFmtId"])] = (
                "percent" if "%" in code else "date" if re.search("[dmyhs]", code) else ""
            )
        if tag == "cellXfs":
            inside.append(tag)
        if tag == "xf" and inside:
            by_style.append(kinds.get(int(attributes.get("numFmtId", "0")), ""))

    def ended(tag: str, _: str) -> None:
        if tag == "cellXfs":
            inside.clear()

    parts.parse("xl/styles.xml", started, ended)
    return by_style


class Columns(dict[str, int]):
    """Columns' numbers by their letters."""

    def __missing__(self, letters: str) -> int:
        number = 0
        for letter in letters:
            number = number * 26 + ord(letter) - 64
        self[letters] = number
        return number


class SheetRows:
    """Cells told one by one, written out row by row."""

    def __init__(self, texts: list[str], by_style: list[str], since_1904: bool, most_columns: int) -> None:
        self._texts, self._most_columns = texts, most_columns
        self._rows_wanted = MOST_ROWS
        self._styles = {str(number): kind for number, kind in enumerate(by_style)}
        self._epoch = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)
        self._row, self._column = 0, 0
        self._cells: dict[int, Any] = {}
        self._columns = Columns()
        self._kind, self._style, self._value, self._formula = "", "0", "", ""
        self._pieces: list[str] = []

    def begin_other(self) -> None:
        """Another sheet begins, of which its first rows are told, after -1."""
        self._row, self._rows_wanted = 0, HEAD_ROWS
        sys.stdout.write("[-1]\n")

    def started(self, tag: str, attributes: dict[str, str]) -> None:
        """A row or a cell begins."""
        if tag == "c":
            self._column = (
                self._columns[attributes["r"].rstrip("0123456789")] if "r" in attributes else self._column + 1
            )
            self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "0")
            self._value, self._formula = "", ""
            if self._pieces:
                self._pieces = []
        elif tag == "row":
            self._row = int(attributes.get("r", self._row + 1))
            if self._row > MOST_ROWS:
                raise Refused("broken_excel")
            self._column, self._cells = 0, {}
        elif tag == "mergeCell":
            first, _, last = attributes["ref"].partition(":")
            rows = [int(corner.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) for corner in (first, last or first)]
            sys.stdout.write(json.dumps([0, *rows]) + "\n")

    def ended(self, tag: str, text: str) -> None:
        """A value, a cell or a row is complete."""
        if tag == "v":
            self._value = text
        elif tag == "f":
            self._formula = f"={text}"
        elif tag == "c":
            value = self._cell_value()
            if value is not None and value != "":
                if self._column > self._most_columns:
                    raise Refused("too_wide")
                self._cells[self._column] = value
        elif tag == "t":
            self._pieces.append(text)
        elif tag == "row" and self._cells:
            width = max(self._cells)
            cells = [self._cells.get(place) for place in range(1, width + 1)]
            sys.stdout.write(json.dumps([self._row, *cells], ensure_ascii=False) + "\n")
            self._rows_wanted -= 1
            if not self._rows_wanted:
                raise Enough

    def _cell_value(self) -> Any:
        if self._kind == "inlineStr":
            return "".join(self._pieces)
        if self._value == "":
            return None if self._kind == "str" else self._formula or None  # no text, or not computed: not the same
        if self._kind == "s":
            return self._texts[int(self._value)]
        if self._kind == "b":
            return "True" if self._value == "1" else "False"
        return self._number() if self._kind == "n" else self._value

    def _number(self) -> Any:
        value = float(self._value)
        kind = self._styles.get(self._style, "")
        if kind == "date":
            return (self._epoch + timedelta(days=value)).isoformat(sep=" ", timespec="seconds")
        if kind == "percent":
            value = float(f"{value * 100:.15g}")  # what the sheet shows: 27 % is kept as 0.27
        return int(value) if value.is_integer() and abs(value) < 1e15 else value


def limit(seconds: int, memory_bytes: int, output_bytes: int) -> None:
    """Hold this process to its limits, where the system knows limits."""
    try:
        import resource
    except ImportError:  # Windows: the parent's deadline and the counted bytes are what is left
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_bytes, output_bytes))


def main(arguments: list[str]) -> int:
    """The program."""
    most_bytes, seconds, memory_bytes, most_columns = map(int, arguments)
    limit(seconds, memory_bytes, most_bytes)
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # a file, never a terminal
    try:
        with zipfile.ZipFile(sys.stdin.buffer) as archive:
            if sum(part.file_size for part in archive.infolist()) > most_bytes:
                raise Refused("too_large")  # it says so itself; what says less is counted
            parts = Parts(archive, most_bytes)
            sheets, since_1904 = visible_sheets(parts)
            rows = SheetRows(shared_texts(parts), styles(parts), since_1904, most_columns)
            (_, first), *others = sheets.items()
            if not parts.parse(first, rows.started, rows.ended):
                raise Refused("broken_excel")
            for _, sheet in others[:OTHER_SHEETS]:
                rows.begin_other()
                with suppress(Enough):
                    parts.parse(sheet, rows.started, rows.ended)
        sys.stdout.flush()
    except Refused as refused:
        sys.stderr.write(str(refused))
        return 3
    except (MemoryError, OSError):
        sys.stderr.write("too_large")
        return 3
    except Exception:  # pylint: disable=broad-exception-caught  # whatever a damaged zip or XML makes its parsers raise
        sys.stderr.write("broken_excel")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
