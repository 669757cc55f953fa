"""Fingerprints change with any byte, path or file, and with nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bentos.digests import bento_digest, combined, differences, file_sha256, fingerprint, require_proved
from bentos.errors import ArtefactDamaged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / "sub" / "b.txt").write_bytes(b"b")
    return tmp_path


def test_a_file_has_the_digest_of_its_bytes(folder: Path) -> None:
    """As sha256sum prints it."""
    assert file_sha256(folder / "a.txt") == hashlib.sha256(b"a").hexdigest()


def test_every_file_counts(folder: Path) -> None:
    """Hidden ones too: what lies there may be read."""
    (folder / ".hidden").write_bytes(b"h")
    assert sorted(fingerprint(folder)) == [".hidden", "a.txt", "sub/b.txt"]


@pytest.mark.parametrize(
    "name",
    [
        *("sub/__pycache__/b.cpython-311.pyc", "sub/b.pyc", "evil.pth", "link.txt", "pipe", "hard.txt", "folder/"),
        *("sitecustomize.py", "usercustomize.py", "__pycache__/x", f"{'d/' * 40}a"),
        *("a.txt\n0000  b.txt", "\u0430.txt", "re\u0301sume", "r\u00e9sume", "a\x1b[2J", "a\udcff", "a\u202etxt"),
    ],
    ids=ascii,
)
def test_what_would_run_unseen_is_refused(name: str, folder: Path) -> None:
    """Byte code that shadows its source, start files, links of both kinds, pipes, names that are not what they look
    like, folders without an end: no digest vouches for them."""
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    if name.startswith("link"):
        path.symlink_to(folder / "a.txt")
    elif name == "hard.txt":
        os.link(folder / "a.txt", path)
    elif name == "folder/":
        path.symlink_to(folder / "sub")
    elif name == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"code")

    with pytest.raises(ArtefactDamaged, match="put there later"):
        fingerprint(folder)


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


@pytest.mark.parametrize("change", ["code", "description", "byte code", "gone", "nothing"])
def test_what_was_changed_since_it_was_proved_is_not_started(change: str, tmp_path: Path) -> None:
    """A start compares every byte with the digest that the trail keeps; the build's time may differ."""
    bento = tmp_path / "bentos" / "credit-score" / "1-a-b"
    (bento / "src").mkdir(parents=True)
    (bento / "bento.yaml").write_text("name: credit-score\ncreation_time: '2026-01-01'\n")
    (bento / "src" / "service.py").write_text("1")
    digest = bento_digest(bento)
    if change == "nothing":
        (bento / "bento.yaml").write_text("name: credit-score\ncreation_time: '2026-02-02'\n")
        require_proved(tmp_path, "credit-score:1-a-b", digest)
        return

    if change == "code":
        (bento / "src" / "service.py").write_text("2")
    elif change == "description":
        (bento / "bento.yaml").write_text("name: other\n")
    elif change == "byte code":
        (bento / "src" / "service.pyc").write_text("2")
    else:
        (bento / "bento.yaml").unlink()

    with pytest.raises(ArtefactDamaged):
        require_proved(tmp_path, "credit-score:1-a-b", digest)
