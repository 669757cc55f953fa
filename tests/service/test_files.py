"""One mechanism for files that several processes share: replaced whole, made once, locked."""

from __future__ import annotations

import ast
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.settings import ROOT
from service import files

# Where a lock is taken without `service.files`, and why.
BY_HAND = {"infra/environment.py": "runs as a script before there is an environment"}


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that runs `code`."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def line(process: subprocess.Popen[str]) -> str:
    """The next line the process prints."""
    assert process.stdout
    return process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    """End a process without letting it clean up."""
    process.kill()
    process.communicate()


def test_a_replaced_file_is_the_new_one_and_nothing_else_is_left(tmp_path: Path) -> None:
    """The folder is made, the content is whole, the draft is gone."""
    path = tmp_path / "new" / "file"
    for content in (b"one", b"", b"three times as long"):
        files.replace(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("mode", "expected"), [(files.PRIVATE, 0o600), (files.PUBLIC, 0o640)], ids=["private", "umask"]
)
def test_the_mode_is_the_callers(tmp_path: Path, mode: int, expected: int) -> None:
    """A private file is private from its first byte; any other is what the umask leaves."""
    before = os.umask(0o027)
    try:
        files.replace(tmp_path / "file", b"x", mode)
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == expected


def test_a_failed_block_leaves_the_old_file(tmp_path: Path) -> None:
    """Half a content never takes the place of a whole one."""
    path = tmp_path / "file"
    files.replace(path, b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as draft:
        draft.write_bytes(b"half")
        raise ZeroDivisionError

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_was_removed_replaces_nothing(tmp_path: Path) -> None:
    """The block may decide that the old file stays."""
    path = tmp_path / "file"
    files.replace(path, b"old")
    with files.replacing(path) as draft:
        draft.unlink()

    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("durable", [True, False])
def test_what_must_last_reaches_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool
) -> None:
    """The content is synced before the rename and the folder after it; what is soon out of date waits for neither."""
    steps = []
    fsync, rename = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    files.replace(tmp_path / "file", b"x", durable=durable)

    assert steps == (["content", "rename", "folder"] if durable else ["rename"])


def test_what_a_killed_process_left_is_taken_up(tmp_path: Path) -> None:
    """A draft with somebody's data does not lie about for ever."""
    path = tmp_path / "file"
    code = """
import sys; from pathlib import Path; from service import files
with files.replacing(Path(sys.argv[1])) as draft:
    draft.write_bytes(b"half of it"); print("here", flush=True); sys.stdin.read()
"""
    writer = run(code, path)
    assert line(writer) == "here"
    kill(writer)
    assert not path.exists()

    files.replace(path, b"new")

    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"new"


def test_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """Threads and processes that replace one file take turns."""
    path = tmp_path / "file"
    code = """
import sys; from pathlib import Path; from service import files
for _ in range(40): files.replace(Path(sys.argv[1]), sys.argv[2].encode() * 20_000)
"""
    others = [run(code, path, letter) for letter in "ab"]

    def write() -> None:
        for _ in range(40):
            files.replace(path, b"c" * 20_000)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(other.poll() is None for other in others):
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 20_000
            assert len(set(content)) == 1
    for thread in threads:
        thread.join()

    assert [other.returncode for other in others] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]
    for other in others:
        other.communicate()


def test_a_file_is_made_once(tmp_path: Path) -> None:
    """Of many makers the first one wins, and its content stands whole."""
    path = tmp_path / "file"
    code = "import sys; from pathlib import Path; from service import files\n"
    code += "print(files.make_once(Path(sys.argv[1]), sys.argv[2].encode() * 32))"
    makers = [run(code, path, letter) for letter in "abcd"]
    first = [maker.communicate()[0].strip() for maker in makers]

    assert sorted(first) == ["False", "False", "False", "True"]
    assert path.read_bytes() == b"abcd"[first.index("True") :][:1] * 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


HOLD = """
import sys; from pathlib import Path; from service import files
with files.locked(Path(sys.argv[1]), holder="the test's other process"):
    print("held", flush=True); sys.stdin.read()
"""


def test_a_held_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    """Who finds it locked can say by whom; a holder that is killed holds nothing."""
    path = tmp_path / "folder" / "lock"
    assert not files.is_locked(path)
    holder = run(HOLD, path)
    assert line(holder) == "held"

    assert files.is_locked(path)
    with pytest.raises(files.LockHeld, match="is locked by the test's other process") as busy:
        files.hold(path, wait=False)
    assert busy.value.holder == files.lock_holder(path) == "the test's other process"
    assert os.strerror(0) not in str(busy.value)

    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with files.locked(path, wait=False):
        assert files.is_locked(path)
    assert not files.is_locked(path)


def test_a_lock_that_was_tidied_away_is_made_again(tmp_path: Path) -> None:
    """Whoever waited on the old file does not end up with a lock that keeps nobody out."""
    path = tmp_path / "lock"
    first = files.hold(path)
    path.unlink()
    second = files.hold(path, wait=False)

    assert not files.is_named(first, path)
    assert files.is_named(second, path)
    assert files.is_locked(path)
    os.close(first)
    os.close(second)


def test_the_lock_of_a_content_knows_whether_it_is_still_the_file(tmp_path: Path) -> None:
    """A file that is gone, held by somebody else, or replaced since is not ours."""
    path = tmp_path / "segment"
    with files.locked_content(path) as ours:
        assert not ours
    path.touch()
    with files.locked_content(path) as ours, files.locked_content(path) as others:
        assert ours
        assert not others


def test_bytes_of_a_file_are_locked_one_by_one(tmp_path: Path) -> None:
    """Another process gets every byte but the one that is held."""
    path = tmp_path / "locks"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    assert files.lock_byte(descriptor, 3, wait=False)
    code = """
import os, sys; from service import files
d = os.open(sys.argv[1], os.O_RDWR)
print([files.lock_byte(d, byte, wait=False) for byte in range(5)], flush=True)
sys.stdin.readline(); print(files.lock_byte(d, 3, wait=False), flush=True)
"""
    other = run(code, path)
    assert line(other) == "[True, True, True, False, True]"
    files.free_byte(descriptor, 3)
    assert other.communicate("\n")[0].strip() == "True"
    os.close(descriptor)


def test_nothing_else_locks_or_renames_by_hand() -> None:
    """Every lock of the product is taken in one module."""
    homes = set()
    for package in ("service", "bentos", "flows", "ui", "infra"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import) and any(name.name == "fcntl" for name in node.names):
                    homes.add(str(path.relative_to(ROOT)))

    assert homes == {"service/files.py", *BY_HAND}


def test_it_costs_the_standard_library_alone() -> None:
    """bentos, flows and infra import it for nothing."""
    code = "import sys; import service.files; print(sorted({'pydantic', 'numpy', 'boto3'} & set(sys.modules)))"
    assert subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout == ("[]\n")


def test_replace_keeps_the_old_file_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails halfway leaves the file as it was."""
    path = tmp_path / "file"
    files.replace(path, b"old")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        files.replace(path, b"new")

    assert path.read_bytes() == b"old"
