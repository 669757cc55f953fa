"""Fingerprints change with any byte, path or file, and with nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bentos.digests import combined, differences, file_sha256, fingerprint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files and a byte-code cache."""
    (tmp_path / "sub" / "__pycache__").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / "sub" / "b.txt").write_bytes(b"b")
    (tmp_path / "sub" / "__pycache__" / "b.pyc").write_bytes(b"cache")
    return tmp_path


def test_a_file_has_the_digest_of_its_bytes(folder: Path) -> None:
    """As sha256sum prints it."""
    assert file_sha256(folder / "a.txt") == hashlib.sha256(b"a").hexdigest()


def test_caches_do_not_count(folder: Path) -> None:
    """A run of the code changes no fingerprint."""
    assert sorted(fingerprint(folder)) == ["a.txt", "sub/b.txt"]


def test_differences_name_what_changed(folder: Path) -> None:
    """Changed, added and missing files are named."""
    before = fingerprint(folder)
    (folder / "a.txt").write_bytes(b"A")
    (folder / "c.txt").write_bytes(b"c")
    (folder / "sub" / "b.txt").unlink()
    after = fingerprint(folder)

    assert differences(before, after) == ["a.txt", "c.txt", "sub/b.txt"]
    assert combined(before) != combined(after)
    assert not differences(after, after)
