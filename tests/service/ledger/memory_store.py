"""A bucket in memory that may refuse, and may lie about what it did."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from service.ledger import records
from service.ledger.bucket import StoreConflict
from service.ledger.records import RecordKind


class MemoryStore:
    """Keeps objects; refuses while `down`, stores but says it did not while `lying`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[tuple[str, bytes]] = []
        self.down = self.lying = False

    def put(self, key: str, data: bytes, metadata: Mapping[str, str], *, replace: bool) -> None:
        """As a store that honours conditions."""
        assert metadata["sha256"] == hashlib.sha256(data).hexdigest()
        if self.down:
            raise ConnectionError("down")
        self.puts.append((key, data))
        if not replace and self.objects.get(key, data) != data:
            raise StoreConflict(key)
        self.objects[key] = data
        if self.lying:
            raise ConnectionResetError("after the fact")

    def ids(self, kind: RecordKind = RecordKind.PREDICTION) -> list[str]:
        """Ids of all rows of a kind."""
        bodies = [data for key, data in sorted(self.objects.items()) if key.startswith(f"{kind.folder}/")]
        return [row[kind.columns[1]] for data in bodies for row in records.read(data)]
