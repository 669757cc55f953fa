"""A file that is still written is followed row by row, whatever came first in it and whatever became of a write."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.ledger.journal import frames
from service.ledger.journal.live_rows import LiveIndex
from service.ledger.journal.segments import find_row
from tests.service.rows import entry

LARGE = b"x" * (1 << 17)  # more than a reader takes at once


def _frame(number: int, body: bytes = b"{}") -> bytes:
    made = replace(entry(f"20260101-aaaaaaaaaa-{number:x}"), body=body, spans=[(0, len(body))])
    return frames.encode(made, [number])


def _numbers(path: Path, live: LiveIndex, asked: range) -> list[int]:
    return [number for number in asked if find_row(path, number, live)]


@pytest.mark.parametrize("first", [b"{}", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("looked_before", [False, True], ids=["unseen", "looked-at-empty"])
def test_rows_after_the_first_are_found(tmp_path: Path, first: bytes, looked_before: bool) -> None:
    """Also where a batch larger than one read begins the file, before or after somebody looked."""
    path, live = tmp_path / "journal", LiveIndex()
    path.write_bytes(frames.header_frame() + bytes(1 << 20))
    if looked_before:
        assert not _numbers(path, live, range(4))
    written = frames.header_frame()
    for number, body in enumerate((first, b"{}", LARGE, b"{}")):
        written += _frame(number, body)
        path.write_bytes(written + bytes(1 << 20))
        assert _numbers(path, live, range(4)) == list(range(number + 1))


def test_half_a_write_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Seen too early it is nobody's row, and neither are the rows behind it lost."""
    path, live = tmp_path / "journal", LiveIndex()
    one, two = _frame(1), _frame(2)
    path.write_bytes(frames.header_frame() + one[:-7] + bytes(7) + bytes(1 << 20))
    assert not _numbers(path, live, range(4))
    path.write_bytes(frames.header_frame() + one + two + bytes(1 << 20))
    assert _numbers(path, live, range(4)) == [1, 2]


def test_rows_behind_damage_are_found_as_they_come(tmp_path: Path) -> None:
    """One spoilt entry hides itself alone, not what is written later."""
    path, live = tmp_path / "journal", LiveIndex()
    spoilt = bytearray(_frame(1))
    spoilt[-3] ^= 1
    written = frames.header_frame() + _frame(0) + bytes(spoilt)
    for number in (2, 3, 4):
        written += _frame(number)
        path.write_bytes(written + bytes(1 << 20))
        assert _numbers(path, live, range(6)) == [0, *range(2, number + 1)]
