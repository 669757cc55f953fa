"""What this process keeps of the memory it frees: enough for the next batch, not what a crowd once took."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Final

_KEPT_BYTES: Final = 32 << 20
_MALLOPT: Final = (-1, -2, -3)  # glibc's M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD
_GROWN_BYTES: Final = 12 << 20
_STATM: Final = Path("/proc/self/statm")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def keep() -> None:
    """Have glibc keep what a batch frees: given back, it is faulted in again page by page, a quarter of a batch's time.

    Other C libraries know no `mallopt` and decide for themselves.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter in _MALLOPT:
            mallopt(parameter, _KEPT_BYTES)


class MemoryRelease:
    """Gives memory back to the system when the process has grown and nothing is being answered."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._settled = resident_bytes()

    async def release(self, *, idle: bool) -> None:
        """Give memory back if the process has grown and nothing is being answered; call it about once a second."""
        size = resident_bytes()
        self._settled = min(self._settled, size) if self._settled else size
        if idle and self._trim is not None and size - self._settled > _GROWN_BYTES:
            await asyncio.to_thread(self._trim, 0)
            self._settled = resident_bytes()


def resident_bytes() -> int:
    """What of this process lies in memory; 0 where the system does not say."""
    return int(_STATM.read_text("ascii").split()[1]) * _PAGE if _STATM.exists() else 0
