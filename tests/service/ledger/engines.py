"""Both engines of the ledger, opened as a worker opens them; and a child process that holds one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.ledger.bucket import ObjectStore
from service.ledger.interface import Ledger
from service.ledger.journal.host import JournalLedger
from tests.service.ledger.memory_store import MemoryStore

PEPPER: Final = b"p" * 32
SHIP_S: Final = 0.2
PATIENCE_S: Final = 60


def opened(engine: str, place: str, store: ObjectStore | None = None) -> Ledger:
    """A worker's ledger in a folder (journal) or a database (postgres)."""
    if engine == "journal":
        return JournalLedger.open(Path(place), PEPPER, store, ship_interval_s=SHIP_S)
    from service.ledger.postgres.host import PostgresLedger

    return PostgresLedger.open(place, PEPPER, store, ship_interval_s=SHIP_S)


@dataclass
class Hosts:
    """An engine's one place, and the workers that were opened on it: hosts of the database, or workers of one host."""

    engine: str
    place: str
    store: MemoryStore = field(default_factory=MemoryStore)
    ledgers: list[Ledger] = field(default_factory=list)

    def open(self, *, ships: bool = False) -> Ledger:
        """One more."""
        made = opened(self.engine, self.place, self.store if ships else None)
        self.ledgers.append(made)
        if ships:
            made.start()
        return made

    def another(self) -> Ledger:
        """A second host. Locks on files tell processes apart alone, so of the journal it is the first worker again."""
        return self.ledgers[0] if self.engine == "journal" else self.open()

    async def aclose(self) -> None:
        """Ends all."""
        for ledger in self.ledgers:
            await ledger.aclose()
        self.ledgers.clear()

    async def shipped(self, rows: int) -> None:
        """Until the bucket holds that many predictions."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.store.ids()) < rows:
            assert time.monotonic() < deadline, f"{len(self.store.ids())} of {rows} rows arrived"
            await asyncio.sleep(0.05)

    def child(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """A process that runs a script with `engine`, `place` and the arguments; its lines can be read."""
        return subprocess.Popen(
            [sys.executable, "-c", script, self.engine, self.place, *arguments], stdout=subprocess.PIPE, text=True
        )
