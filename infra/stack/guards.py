"""Guards around a command: one at a time, interrupted in one way, not interrupted while it cleans up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from infra.errors import StackError
from service.files import LockHeld, locked


@contextmanager
def exclusive(path: Path, doing: str) -> Iterator[None]:
    """Hold a lock for as long as the block lasts.

    Raises:
        StackError: somebody else holds it, or the folder cannot be written.
    """
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            held.enter_context(locked(path, holder=f"`make {doing}` (process {os.getpid()})", wait=False))
        except LockHeld as busy:
            raise StackError(f"{busy.holder or 'another command'} is at work on this stack; wait for it") from None
        except OSError as error:
            raise StackError(
                f"cannot write to {path.parent}: {error.strerror}; set QF_STATE_DIR to a folder of yours"
            ) from error
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Make a closed terminal and a polite kill the same as Ctrl-C: KeyboardInterrupt, so that the block cleans up."""

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
