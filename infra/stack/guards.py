"""Guards around a command: one at a time, interrupted in one way, not interrupted while it cleans up."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from infra.errors import StackError
from service.files import LockHeld, locked


@contextmanager
def exclusive(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock of the stack's state for as long as the block lasts; its folder is its user's alone.

    Raises:
        StackError: somebody else holds it, or the folder is not ours to write or to shut.
    """
    with ExitStack() as locks:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _shut(path.parent)
            locks.enter_context(locked(path, holder=f"`make {doing}` (process {os.getpid()})", wait=False))
        except LockHeld as busy:
            raise StackError(f"{busy.holder or 'another command'} is at work on this stack; wait for it") from None
        except OSError as error:
            raise StackError(
                f"cannot write to {path.parent}: {error.strerror}; set QF_STATE_DIR to a folder of yours"
            ) from error
        yield


def _shut(folder: Path) -> None:
    """Take a folder's rights from everybody else: predictions and credentials lie in it, and `make tools`, an unpacked
    backup or a person may have made it before the stack did."""
    mode = folder.stat().st_mode
    if mode & stat.S_ISVTX:
        raise StackError(f"{folder} is everybody's: set QF_STATE_DIR to a folder of the stack's own")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        folder.chmod(stat.S_IRWXU)


@contextmanager
def interruptible() -> Iterator[None]:
    """Make a closed terminal and SIGTERM the same as Ctrl-C: KeyboardInterrupt, so that the block cleans up."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    # SIGINT by name too: a shell that starts us in the background has told the kernel to ignore it.
    old = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Finish cleaning up although Ctrl-C is pressed again."""
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
