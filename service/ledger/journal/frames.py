"""The journal's bytes: frames with a checksum, each one whole answer with the rows it leaves behind.

A file is a header frame, entry frames, and once sealed an index frame and a trailer that points at it. A frame is
`magic, crc32, length, payload`; an entry is all or nothing, so a batch of a thousand rows is durable as one. Space that
was reserved ahead is zeros and reads as the end. Bytes that are neither are a gap: at the end of an unsealed file a
write that a crash cut off (never answered), anywhere else damage. Everything here is pure; files live in `segments`.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from service.ledger.records import RecordKind

_FRAME: Final = struct.Struct("<4sII")  # magic, crc32 of the payload, its length
_ENTRY: Final = struct.Struct(
    "<BBHIIQ16s16s"
)  # kind, length of partner, status, rows, length of body, µs, key, fingerprint
_ROW: Final = struct.Struct("<QIII")  # number in the id, start and end of its answer in the body, length of the line
_INDEX: Final = struct.Struct("<QII")  # number in the id, offset of the frame, position of the row in the entry
_INDEX_ROW: Final = np.dtype([("number", "<u8"), ("offset", "<u4"), ("position", "<u4")])
_TRAILER: Final = struct.Struct("<Q4s")  # offset of the index frame
_HEADER_MAGIC: Final = b"QFJ1"
_ENTRY_MAGIC: Final = b"QFE1"
_INDEX_MAGIC: Final = b"QFX1"
_TRAILER_MAGIC: Final = b"QFT1"
_MAGICS: Final = (_HEADER_MAGIC, _ENTRY_MAGIC, _INDEX_MAGIC)
_PAUSE_ENTRIES: Final = 64
_KEY_AT: Final = struct.calcsize("<BBHIIQ")  # in an entry
NO_KEY: Final = bytes(16)
TRAILER_BYTES: Final = _TRAILER.size


class KeyMark(NamedTuple):
    """An Idempotency-Key as stored: digest of partner, scope and key, fingerprint of the body, 16 bytes each."""

    digest: bytes
    fingerprint: bytes


@dataclass(slots=True)
class JournalEntry:
    """One answer to make durable: its body, and a CSV line, an id and a span of the body for each row.

    `spans` are (start, end) of each row's own answer inside `body`, so that one row of a batch can be read alone.
    `key` is the mark of the claim the request runs under, if it has one.
    """

    kind: RecordKind
    partner: str
    body: bytes
    ids: Sequence[str]
    lines: Sequence[bytes]
    spans: Sequence[tuple[int, int]]
    status: int = 200
    key: KeyMark | None = None


class Row(NamedTuple):
    """One row of a stored entry."""

    number: int
    line: bytes
    answer: bytes


class StoredEntry(NamedTuple):
    """An entry as it was read back; `at_us` is microseconds since 1970."""

    kind: RecordKind
    partner: str
    status: int
    at_us: int
    key: KeyMark | None
    body: bytes
    rows: list[Row]


class _EntryHead(NamedTuple):
    kind: int
    partner_length: int
    status: int
    rows: int
    body_length: int
    at_us: int
    digest: bytes
    fingerprint: bytes


class Gap(NamedTuple):
    """Bytes that are no frame."""

    start: int
    end: int


class Contents(NamedTuple):
    """A file's contents: entries by offset, unreadable bytes, the entries' end; True if sealed, and if rewritten."""

    entries: list[tuple[int, bytes]]
    gaps: list[Gap]
    end: int
    sealed: bool
    rewritten: bool

    @property
    def torn(self) -> bool:
        """A crash cut the last write off: nothing of it was ever answered."""
        return not self.sealed and len(self.gaps) == 1 and self.gaps[0].start == self.end

    @property
    def damaged(self) -> bool:
        """Bytes changed after they were durable."""
        return bool(self.gaps) and not self.torn


def number_of(identifier: str) -> int:
    """The row's number in its run, the last part of the id."""
    return int(identifier.rpartition("-")[2], 16)


def frame(magic: bytes, *payload: bytes) -> bytes:
    """The payload, in parts, with its magic, checksum and length; copied once."""
    checksum = length = 0
    for part in payload:
        checksum, length = zlib.crc32(part, checksum), length + len(part)
    return b"".join((_FRAME.pack(magic, checksum, length), *payload))


def header_frame(*, rewritten: bool = False) -> bytes:
    """The first frame of a file; `rewritten` says that rows were erased from it, so its bytes differ from before."""
    return frame(_HEADER_MAGIC, b"\1" if rewritten else b"\0")


HEADER_BYTES: Final = len(header_frame())


def encode(entry: JournalEntry, numbers: Sequence[int], at_us: int | None = None) -> bytes:
    """The entry as a frame, with the numbers of its rows, stamped with the time in microseconds (now, if not given)."""
    mark = entry.key or (NO_KEY, NO_KEY)
    partner, body, lines = entry.partner.encode(), entry.body, entry.lines
    stamp = time.time_ns() // 1000 if at_us is None else at_us
    head = _ENTRY.pack(entry.kind, len(partner), entry.status, len(lines), len(body), stamp, *mark)
    if len(lines) == 1:  # the hot route: half the time of the general form
        ((start, end),) = entry.spans
        row = _ROW.pack(numbers[0], start, end, len(lines[0]))
        return frame(_ENTRY_MAGIC, b"".join((head, partner, row, body, lines[0])))
    rows = [
        _ROW.pack(number, start, end, len(line))
        for number, (start, end), line in zip(numbers, entry.spans, lines, strict=True)
    ]
    return frame(_ENTRY_MAGIC, b"".join((head, partner, *rows)), body, b"".join(lines))


def decode(payload: bytes) -> StoredEntry:
    """The entry in a frame's payload (whose checksum was right)."""
    head = _EntryHead._make(_ENTRY.unpack_from(payload))
    table = _ENTRY.size + head.partner_length
    start = table + head.rows * _ROW.size
    body, lines = payload[start : start + head.body_length], payload[start + head.body_length :]
    rows: list[Row] = []
    for number, low, high, width in _ROW.iter_unpack(payload[table:start]):
        rows.append(Row(number, lines[:width], body[low:high]))
        lines = lines[width:]
    partner = payload[_ENTRY.size : table].decode()
    return StoredEntry(RecordKind(head.kind), partner, head.status, head.at_us, key_of(payload), body, rows)


def key_of(payload: bytes) -> KeyMark | None:
    """The entry's Idempotency-Key alone, without reading the rest."""
    *_, digest, fingerprint = _ENTRY.unpack_from(payload)
    return None if digest == NO_KEY else KeyMark(digest, fingerprint)


def numbers_of(payload: bytes) -> list[int]:
    """The numbers of the entry's rows."""
    head = _EntryHead._make(_ENTRY.unpack_from(payload))
    table = _ENTRY.size + head.partner_length
    return [number for number, *_ in _ROW.iter_unpack(payload[table : table + head.rows * _ROW.size])]


def entry_at(data: bytes, offset: int = 0) -> bytes | None:
    """The payload of the whole entry frame at the offset; None if there is none, or not all of it yet."""
    part = _frame_at(data, offset)
    return part[1] if part and part[0] == _ENTRY_MAGIC else None


def frame_bytes(payload: bytes) -> int:
    """How many bytes the payload's frame takes in the file."""
    return _FRAME.size + len(payload)


def payload_length(head: bytes) -> int | None:
    """The payload's length told by a frame's first bytes; None if they are no entry frame's."""
    if len(head) < _FRAME.size:
        return None
    magic, _, length = _FRAME.unpack_from(head)
    return int(length) if magic == _ENTRY_MAGIC else None


def is_index(head: bytes) -> bool:
    """True if a frame's first bytes are those of the index, which follows the last entry."""
    return head.startswith(_INDEX_MAGIC)


FRAME_HEAD_BYTES: Final = _FRAME.size


def _frame_at(data: bytes, offset: int) -> tuple[bytes, bytes] | None:
    if offset + _FRAME.size > len(data):
        return None
    magic, checksum, length = _FRAME.unpack_from(data, offset)
    payload = data[offset + _FRAME.size : offset + _FRAME.size + length]
    if magic not in _MAGICS or len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    return magic, payload


def _next_frame(data: bytes, offset: int) -> int:
    """Offset of the next whole frame; the end of the data if there is none."""
    position = data.find(b"QF", offset)
    while position >= 0:
        if _frame_at(data, position):
            return position
        position = data.find(b"QF", position + 1)
    return len(data)


def entries_from(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The whole entries that follow one another from an offset on, each with its own; a header in front is passed."""
    part = _frame_at(data, offset)
    if part and part[0] == _HEADER_MAGIC:
        offset += _FRAME.size + len(part[1])
    while payload := entry_at(data, offset):
        yield offset, payload
        offset += frame_bytes(payload)


class KeyedEntry(NamedTuple):
    """An entry with an Idempotency-Key: the key, the number of its first row, and when it was written."""

    key: KeyMark
    number: int
    at_us: int


def keyed_entry(one: bytes) -> KeyedEntry | None:
    """The key of an entry's frame that is whole and sound; None if it carries none."""
    key_at = _FRAME.size + _KEY_AT
    return None if one[key_at : key_at + len(NO_KEY)] == NO_KEY else _keyed(one[_FRAME.size :])


def _keyed(payload: bytes) -> KeyedEntry:
    *_, at_us, digest, fingerprint = _ENTRY.unpack_from(payload)
    return KeyedEntry(KeyMark(digest, fingerprint), numbers_of(payload)[0], at_us)


def keyed_entries(data: bytes) -> tuple[int, list[KeyedEntry]]:
    """End of the whole entries at the start of these bytes, and those among them that carry a key.

    Every checksum is looked at, since a reader may see the first half of a write; the rest of an entry without a key is
    not.
    """
    entries: list[KeyedEntry] = []
    offset, view = 0, memoryview(data)
    while offset + _FRAME.size + _ENTRY.size <= len(data):
        magic, checksum, length = _FRAME.unpack_from(data, offset)
        start, end = offset + _FRAME.size, offset + _FRAME.size + length
        if magic != _ENTRY_MAGIC or end > len(data) or zlib.crc32(view[start:end]) != checksum:
            break
        if data[start + _KEY_AT : start + _KEY_AT + len(NO_KEY)] != NO_KEY:
            entries.append(_keyed(data[start:end]))
        offset = end
    return offset, entries


def pause_between(count: int, pause_s: float) -> None:
    """Rest after every few entries: long work on a file leaves the disk and the lock to others."""
    if pause_s and not count % _PAUSE_ENTRIES:
        time.sleep(pause_s)


def parse(data: bytes, pause_s: float = 0.0) -> Contents:
    """Everything that is readable in a file's bytes, and where it is not; rests `pause_s` after every few entries."""
    entries: list[tuple[int, bytes]] = []
    gaps: list[Gap] = []
    end, sealed, rewritten = 0, index_offset(data[-TRAILER_BYTES:]) is not None, False
    while part := _frame_after(data, end, gaps):
        offset, magic, payload = part
        if magic == _INDEX_MAGIC:
            sealed = True
            break
        if magic == _ENTRY_MAGIC:
            entries.append((offset, payload))
            pause_between(len(entries), pause_s)
        rewritten |= magic == _HEADER_MAGIC and payload == b"\1"
        end = offset + _FRAME.size + len(payload)
    return Contents(entries, gaps, end, sealed, rewritten)


def _frame_after(data: bytes, offset: int, gaps: list[Gap]) -> tuple[int, bytes, bytes] | None:
    """The next whole frame from an offset on; bytes in between that are no reserved space become a gap."""
    part = _frame_at(data, offset)
    if part:
        return offset, *part
    if not data[offset:].strip(b"\0"):
        return None
    following = _next_frame(data, offset + 1)
    gaps.append(Gap(offset, following))
    part = _frame_at(data, following)
    return (following, *part) if part else None


def seal_bytes(entries: Sequence[tuple[int, Sequence[int]]], offset: int) -> bytes:
    """Index frame and trailer to write at `offset`, for entries given as (offset of the frame, numbers of its rows)."""
    counts = np.array([len(numbers) for _, numbers in entries], np.int64)
    table = np.empty(counts.sum(), _INDEX_ROW)
    table["number"] = np.fromiter(chain.from_iterable(numbers for _, numbers in entries), np.uint64, len(table))
    table["offset"] = np.repeat([start for start, _ in entries], counts)
    table["position"] = np.arange(len(table)) - np.repeat(np.cumsum(counts) - counts, counts)
    index = frame(_INDEX_MAGIC, table[table["number"].argsort(kind="stable")].tobytes())
    return index + _TRAILER.pack(offset, _TRAILER_MAGIC)


def index_offset(trailer: bytes) -> int | None:
    """Offset of the index, by the file's last `TRAILER_BYTES`; None if the file was not sealed."""
    if len(trailer) != _TRAILER.size:
        return None
    offset, magic = _TRAILER.unpack(trailer)
    return int(offset) if magic == _TRAILER_MAGIC else None


def search_index(index: bytes, number: int) -> tuple[int, int] | None:
    """(offset of the frame, position of the row) of a number, by bisection in an index frame; None if it is not there.

    Raises:
        ValueError: the index is damaged.
    """
    part = _frame_at(index, 0)
    if part is None or part[0] != _INDEX_MAGIC:
        raise ValueError("the index is damaged")
    table = part[1]
    low, high = 0, len(table) // _INDEX.size
    while low < high:
        middle = (low + high) // 2
        if _INDEX.unpack_from(table, middle * _INDEX.size)[0] < number:
            low = middle + 1
        else:
            high = middle
    if low < len(table) // _INDEX.size:
        found_number, offset, position = _INDEX.unpack_from(table, low * _INDEX.size)
        if found_number == number:
            return offset, position
    return None


def rebuilt(entries: Iterator[bytes], *, rewritten: bool) -> bytes:
    """A sealed file of these entries' payloads."""
    parts = [header_frame(rewritten=rewritten)]
    offset, table = len(parts[0]), []
    for payload in entries:
        table.append((offset, numbers_of(payload)))
        parts.append(frame(_ENTRY_MAGIC, payload))
        offset += frame_bytes(payload)
    return b"".join((*parts, seal_bytes(table, offset)))
