"""Buckets in shared memory: exact over all workers of one host, and kept over a restart.

A fixed table in a memory-mapped file. One step is a lock (a thread lock within the process, a file lock between
processes, freed by the kernel if its holder dies), some arithmetic and a write: about 5 us, no server. The monotonic
clock is the same for every process of a host; it is read under the lock, so that no two steps count the same time. It
starts anew with the machine, which is known by the boot's id: what was left then goes on from there.

The file's blocks are allocated when it is made. A hole in a mapped file is filled at the first touch, and when the disk
is full by then the kernel can only kill the process (SIGBUS).

A file lock is two system calls, each of which lets go of the interpreter's lock: 50 us on a busy machine. So a process
that is alone leaves it out. Who is there is written into the file: each process holds a byte of it locked for life, and
counts the others' when it comes. It then waits longer than any step takes before its own first one, so that nobody who
believed himself alone is still in a step.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

from service import files
from service.access.keystore import ApiKey
from service.access.token_bucket import BucketState, Policy, RateDecision, Terms, of_both, take
from service.addresses import subscriber
from service.errors import Misconfigured

_MAGIC: Final = b"QFLIMIT1"
_SLOT: Final = struct.Struct("<8sddqq")  # name, tokens, monotonic second, UTC day, used today
_NOBODY: Final = b"\0" * 8
SLOTS: Final = 8_192  # keys ever seen; 320 KiB
_PROBES: Final = 32
_HEADER: Final = 128
_MUTEX_AT: Final = 0  # the byte whose lock lets one process change the table
_COUNT_AT: Final = 8  # how many processes use the table, as one byte
_BOOT_AT: Final = 16  # 16 bytes that stand for the boot whose clock the moments are of
_SEATS_AT: Final = 64  # one byte a process, locked while it lives
_SEATS: Final = 64
_GRACE_S: Final = 0.05
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

Clock = Callable[[], float]


class SharedTable:
    """A table of named buckets that several processes change one at a time."""

    def __init__(self, path: Path, *, slots: int = SLOTS, clock: Clock = time.monotonic, boot: str = "") -> None:
        """Opens the file, made if need be; `boot` (this machine's, if not given) tells one run of `clock` from another.

        Raises:
            Misconfigured: no room for it on the disk, or too many processes share it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._slots = slots
        size = _HEADER + slots * _SLOT.size
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._thread_lock = threading.Lock()
        self._places: dict[bytes, int] = {}
        files.lock_byte(self._descriptor, _MUTEX_AT, wait=True)
        try:
            if os.fstat(self._descriptor).st_size != size or os.pread(self._descriptor, 8, 0) != _MAGIC:
                os.ftruncate(self._descriptor, 0)
            self._allocate(path, size)
            os.pwrite(self._descriptor, _MAGIC, 0)
            self._memory = mmap.mmap(self._descriptor, size)
            self._go_on(_mark(boot or _boot_id()), clock())
            others = self._sit_down()
            self._memory[_COUNT_AT] = others + 1
        finally:
            files.free_byte(self._descriptor, _MUTEX_AT)
        if others:
            time.sleep(_GRACE_S)

    def take(self, name: bytes, policy: Terms, cost: int, clock: Clock, wall: Clock) -> RateDecision:
        """`token_bucket.take` on the bucket of this name (8 bytes), as one step for the whole host."""
        with self._thread_lock:
            shared = self._memory[_COUNT_AT] > 1
            if shared:
                files.lock_byte(self._descriptor, _MUTEX_AT, wait=True)
            try:
                now = clock()
                place = self._place(name)
                owner, tokens, at, day, used = _SLOT.unpack_from(self._memory, place)
                state = (
                    BucketState(float(policy.burst), now, 0, 0) if owner != name else BucketState(tokens, at, day, used)
                )
                decision = take(state, policy, cost, now, wall())
                _SLOT.pack_into(self._memory, place, name, state.tokens, state.at, state.day, state.used)
            finally:
                if shared:
                    files.free_byte(self._descriptor, _MUTEX_AT)
        return decision

    def close(self) -> None:
        """Write the counts back and unmap the file, which keeps them."""
        self._memory.flush()
        self._memory.close()
        os.close(self._descriptor)

    def flush(self) -> None:
        """Bring the counts to disk, so that a power cut loses seconds of quota and not a day's."""
        self._memory.flush()

    def _allocate(self, path: Path, size: int) -> None:
        try:
            allocate(self._descriptor, size)
        except OSError as error:
            os.close(self._descriptor)
            raise Misconfigured(f"{path}: no room for its {size} bytes ({error.strerror}); free some disk") from error

    def _go_on(self, boot: bytes, now: float) -> None:
        """After a reboot: every bucket goes on from this moment, with what was left."""
        if self._memory[_BOOT_AT : _BOOT_AT + len(boot)] == boot:
            return
        for place in range(_HEADER, _HEADER + self._slots * _SLOT.size, _SLOT.size):
            name, tokens, _, day, used = _SLOT.unpack_from(self._memory, place)
            if name != _NOBODY:
                _SLOT.pack_into(self._memory, place, name, tokens, now, day, used)
        self._memory[_BOOT_AT : _BOOT_AT + len(boot)] = boot

    def _sit_down(self) -> int:
        """Lock the first free seat until this process ends; returns how many other seats are taken."""
        others, own = 0, False
        for seat in range(_SEATS):
            if not files.lock_byte(self._descriptor, _SEATS_AT + seat, wait=False):
                others += 1
                continue
            if own:
                files.free_byte(self._descriptor, _SEATS_AT + seat)
            own = True
        if not own:
            raise Misconfigured(f"more than {_SEATS} processes share one limits file: raise QF_WORKERS no further")
        return others

    def _place(self, name: bytes) -> int:
        """Offset of the name's slot; for a new name a free one, or the one that was quiet longest."""
        slot = self._places.get(name)
        if slot is not None and self._memory[slot : slot + 8] == name:
            return slot
        start = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "little") % self._slots
        oldest, oldest_at = 0, float("inf")
        for probe in range(_PROBES):
            place = _HEADER + (start + probe) % self._slots * _SLOT.size
            owner, _, at, _, _ = _SLOT.unpack_from(self._memory, place)
            if owner in (name, _NOBODY):
                break
            if at < oldest_at:
                oldest, oldest_at = place, at
        else:
            place = oldest
        if len(self._places) > self._slots:
            self._places.clear()
        self._places[name] = place
        return place


def allocate(descriptor: int, size: int) -> None:
    """Gives a file its length and every block of it.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    rest = os.pread(descriptor, size, 0).ljust(size, b"\0")  # macOS: writing fills holes too
    while rest:
        rest = rest[os.pwrite(descriptor, rest, size - len(rest)) :]


def _boot_id() -> str:
    """An identifier of this boot of the machine; where there is none, a reboot is not noticed."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else "unknown"


def _mark(boot: str) -> bytes:
    return hashlib.blake2b(boot.encode(), digest_size=16).digest()


class SharedLimiter:
    """Limits of partners and their keys, exact on one host. Implements `token_bucket.Limiter`."""

    def __init__(self, table: SharedTable, *, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._table = table
        self._clock = clock
        self._wall = wall

    async def take(self, key: ApiKey, cost: int) -> RateDecision:
        """Take tokens of the key's account, and of the key where its own limits are narrower; or none."""
        if key.account_terms is None:
            return await self._of(key.account, key, cost)
        return await of_both(self._of, key, key.account_terms, cost)

    async def _of(self, name: str, terms: Terms, cost: int) -> RateDecision:
        return self._table.take(bucket_name(name), terms, cost, self._clock, self._wall)


@lru_cache(maxsize=8192)
def bucket_name(name: str) -> bytes:
    """The name of an account's or a key's bucket, 8 bytes."""
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


class FailureLimiter:
    """Throttles who shows bad keys, by address. A good key is never asked about here, so it cannot be locked out."""

    def __init__(
        self, table: SharedTable, *, per_minute: int, clock: Clock = time.monotonic, wall: Clock = time.time
    ) -> None:
        self._table = table
        self._policy = Policy(per_minute / 60, per_minute, 10**15)
        self._clock = clock
        self._wall = wall

    def failed(self, address: str) -> RateDecision:
        """Count one refused key of this address; not allowed means: answer 429 instead of 401."""
        name = hashlib.blake2b(subscriber(address).encode(), digest_size=8).digest()
        return self._table.take(name, self._policy, 1, self._clock, self._wall)
