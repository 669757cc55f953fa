"""Files that several processes share: replaced whole, made once, locked, many known by one digest. Their only home.

A reader sees the old content or the new one, never a part of either, and so does whoever looks after a power cut. The
standard library alone, so that bentos, flows and infra may import it for nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
PUBLIC: Final = 0o666  # less what the process's umask takes


class LockHeld(BlockingIOError):
    """Another process holds the lock; `holder` is what it wrote into the file about itself, or nothing."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is locked by {holder or 'another process'}")
        self.holder = holder


@contextmanager
def replacing(path: Path, mode: int = PUBLIC, *, durable: bool = True) -> Iterator[Path]:
    """A path beside `path` that takes its place when the block ends well, unless the block removed it.

    Args:
        path: what is replaced; its folder is made if it is missing.
        mode: of the new file.
        durable: whether it must outlive a power cut. False spares two waits for the disk, for what is soon out of date.
    """
    with _draft(path, mode) as draft:
        yield draft
        if not draft.exists():
            return
        if durable:
            _sync(draft)
        os.replace(draft, path)
    if durable:
        sync_folder(path.parent)


def replace(path: Path, content: bytes | memoryview, mode: int = PUBLIC, *, durable: bool = True) -> None:
    """Put these bytes in the place of a file; see `replacing`."""
    with replacing(path, mode, durable=durable) as draft:
        with draft.open("r+b") as file:
            file.write(content)


def make_once(path: Path, content: bytes, mode: int = PRIVATE) -> bool:
    """Make the file, whole and durable; False if somebody else made it first, whose content then stands."""
    with _draft(path, mode) as draft:
        draft.write_bytes(content)
        _sync(draft)
        try:
            os.link(draft, path)  # unlike a rename it never replaces, so the first one wins
        except FileExistsError:
            return False
    sync_folder(path.parent)
    return True


@contextmanager
def _draft(path: Path, mode: int) -> Iterator[Path]:
    """An empty file beside `path`, gone at the end.

    It has one name, so what a killed process left is taken up by the next instead of lying about; and it is locked, so
    two writers at once take turns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    descriptor = hold(draft, mode=mode)
    try:
        os.ftruncate(descriptor, 0)
        yield draft
    finally:
        if is_named(descriptor, draft):
            draft.unlink()
        os.close(descriptor)


def probe(folder: Path) -> None:
    """Write a file into the folder, which is made if it is missing, and take it away again.

    Raises:
        OSError: this process cannot.
    """
    with _draft(folder / "probe", PRIVATE) as draft:
        draft.write_bytes(b"1")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a power cut."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, holder: str = "", wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`, made if it is missing, for as long as the block lasts.

    Args:
        path: the lock file; it stays.
        holder: written into the file for whoever finds it locked.
        wait: whether to wait for the lock.

    Raises:
        LockHeld: it is held, and nobody wanted to wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = hold(path, wait=wait)
    try:
        if holder:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode(), 0)
        yield
    finally:
        os.close(descriptor)


def hold(path: Path, *, wait: bool = True, mode: int = PRIVATE) -> int:
    """The descriptor whose lock holds the file `path` until it is closed or this process dies, however it dies.

    A file that was tidied away before it was locked is made again: a lock without a name keeps nobody out. A link is
    refused: it would have another file locked, and emptied where this one is a draft.

    Raises:
        LockHeld: it is held, and nobody wanted to wait.
        OSError: there is a link in its place.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        if not lock(descriptor, wait=wait):
            os.close(descriptor)
            raise LockHeld(path, lock_holder(path))
        if is_named(descriptor, path):
            return descriptor
        os.close(descriptor)


def lock_holder(path: Path) -> str:
    """What the holder of a lock file wrote about itself; empty where it wrote nothing or there is no file."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def is_locked(path: Path) -> bool:
    """True if somebody holds the lock file at this moment; a file that is missing is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not lock(descriptor, wait=False)
    finally:
        os.close(descriptor)


@contextmanager
def locked_content(path: Path) -> Iterator[bool]:
    """Hold the lock of a file that is itself read or moved; False if somebody else holds it, or it is gone.

    The lock belongs to the file and not to its name, so a file that was moved or replaced meanwhile counts as gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield lock(descriptor, wait=False) and is_named(descriptor, path)
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file for this descriptor alone; False if somebody else holds it and nobody wanted to wait."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def is_named(descriptor: int, path: Path) -> bool:
    """True if the open file still has this name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def combined(digests: Mapping[str, str]) -> str:
    """One SHA-256 for many files, from each one's by path, the way `sha256sum` prints it, sorted by path."""
    text = "".join(f"{sha}  {path}\n" for path, sha in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def lock_byte(descriptor: int, byte: int, *, wait: bool) -> bool:
    """Lock one byte of a file for this process; False if another process holds it and nobody wanted to wait.

    Many small locks in one file. The kernel counts them by process: threads must agree among themselves.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, byte)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    return True


def free_byte(descriptor: int, byte: int) -> None:
    """Free a byte that `lock_byte` locked."""
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)
