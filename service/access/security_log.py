"""The security log: who was refused, what was done to keys, where a key is used from. Apart from the request log.

One JSON line an event in `security/<UTC day>.jsonl`, kept for 90 days. An address stands there as a keyed digest of
itself and of its network, so that equal ones are seen and none is told; or in clear, if the setting says so. No line
holds a key, a body, or text of the caller's.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from service import files
from service.access.credentials import Mac
from service.addresses import network_of

FOLDER: Final = "security"
USES: Final = "uses.json"
DAYS: Final = 90
DAY_BYTES: Final = 64 << 20
"""More lines than this a day say nothing new, and must not fill the disk."""
RESERVED_PART: Final = 8
"""One of so many is for what nobody brings about by asking: a flood of refusals hides no key that is issued."""
_REPEAT_S: Final = 60.0
_NETWORKS_KEPT: Final = 1000
_NAME: Final = re.compile(r"(\d{8})\.jsonl")


class SecurityEvent(StrEnum):
    """What can be seen in the log."""

    KEY_REFUSED = "key-refused"
    TOO_MANY_REFUSED = "too-many-refused-keys"
    SCOPE_REFUSED = "scope-refused"
    LIMIT_HIT = "limit-hit"
    NEW_NETWORK = "key-used-from-new-network"
    KEY_ISSUED = "key-issued"
    KEY_ROTATED = "key-rotated"
    KEY_REVOKED = "key-revoked"
    KEY_EXPIRY_SET = "key-expiry-set"


_ONCE_A_MINUTE: Final = (SecurityEvent.TOO_MANY_REFUSED, SecurityEvent.LIMIT_HIT)
_REFUSALS: Final = (*_ONCE_A_MINUTE, SecurityEvent.KEY_REFUSED, SecurityEvent.SCOPE_REFUSED)


class KeyUse(msgspec.Struct):
    """When a key was last good (seconds since 1970), and the networks it was used from, as digests."""

    last: float = 0.0
    networks: list[str] = []


class SecurityLog:
    """Notes events in memory; `flush` writes them, off the event loop."""

    def __init__(
        self, service_dir: Path, pepper: bytes, *, clear: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        self.dropped = 0
        self._folder, self._uses = service_dir / FOLDER, service_dir / FOLDER / USES
        self._digest = Mac(Mac(pepper).digest(b"addresses")).digest
        self._clear, self._now = clear, now
        # Asked by every request, and few addresses are new.
        self._address_text = lru_cache(maxsize=4096)(self._uncached_address_text)
        self._lines: list[tuple[bool, bytes]] = []  # each with whether it is a refusal
        self._last_lines: dict[tuple[str, str, str], float] = {}
        self._networks: dict[str, set[str]] = {key: set(use.networks) for key, use in read_uses(service_dir).items()}
        self._last: dict[str, float] = {}
        self._new: dict[tuple[str, str], tuple[str, str]] = {}

    def note(self, event: SecurityEvent, *, key: str = "", route: str = "", address: str = "", **more: str) -> None:
        """One event. Those that come by the thousand are said once a minute."""
        now = self._now()
        if event in _ONCE_A_MINUTE:
            name = (event, key, address)
            if now - self._last_lines.get(name, 0.0) < _REPEAT_S:
                return
            if len(self._last_lines) > 10_000:
                self._last_lines.clear()
            self._last_lines[name] = now
        line = {"time": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", "event": event.value}
        line |= {"key": key, "route": route} | self._place(address) | more
        text = msgspec.json.encode({name: value for name, value in line.items() if value}) + b"\n"
        self._lines.append((event in _REFUSALS, text))

    def used(self, key: str, address: str, route: str) -> None:
        """A good key was shown from this address."""
        self._last[key] = self._now()
        network = self._address_text(network_of(address))
        if network not in self._networks.get(key, ()):
            self._networks.setdefault(key, set()).add(network)
            self._new[key, network] = (address, route)

    def flush(self) -> None:
        """Write what was noted, and when keys were used; old days go."""
        self._merge_uses()
        lines, self._lines = self._lines, []
        if not lines:
            return
        path = self._folder / f"{datetime.fromtimestamp(self._now(), UTC):%Y%m%d}.jsonl"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            self._tidy()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size + sum(len(text) for _, text in lines) > DAY_BYTES - DAY_BYTES // RESERVED_PART:
                self.dropped += sum(refusal for refusal, _ in lines)
                lines = [line for line in lines if not line[0]]
            data = b"".join(text for _, text in lines)
            if size + len(data) > DAY_BYTES:
                self.dropped += len(lines)
                return
            os.write(descriptor, data)
        except OSError:
            self.dropped += len(lines)
            raise
        finally:
            os.close(descriptor)

    def _place(self, address: str) -> dict[str, str]:
        if not address:
            return {}
        return {"address": self._address_text(address), "network": self._address_text(network_of(address))}

    def _uncached_address_text(self, address: str) -> str:
        """An address or a network as the log has it."""
        return address if self._clear else self._digest(address.encode()).hex()[:16]

    def _merge_uses(self) -> None:
        """Add this worker's uses to the host's; what is new to all of them is an event, said by one."""
        last, self._last = self._last, {}
        new, self._new = self._new, {}
        if not last:
            return
        with files.locked(self._uses.with_suffix(".lock")):
            uses = _read(self._uses)
            for key, moment in last.items():
                use = uses.setdefault(key, KeyUse(networks=[]))
                use.last = max(use.last, moment)
            for (key, network), (address, route) in new.items():
                use = uses[key]
                if network not in use.networks:
                    use.networks = [*use.networks[1 - _NETWORKS_KEPT :], network]
                    self.note(SecurityEvent.NEW_NETWORK, key=key, route=route, address=address)
            files.replace(self._uses, msgspec.json.encode(uses), files.PRIVATE, durable=False)

    def _tidy(self) -> None:
        oldest = datetime.fromtimestamp(self._now(), UTC) - timedelta(days=DAYS)
        for path in self._folder.iterdir():
            day = _NAME.fullmatch(path.name)
            if day and day[1] < f"{oldest:%Y%m%d}":
                path.unlink(missing_ok=True)


def read_uses(service_dir: Path) -> dict[str, KeyUse]:
    """Last use and networks of each key that was ever used here, by the key's id."""
    return _read(service_dir / FOLDER / USES)


def _read(path: Path) -> dict[str, KeyUse]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, KeyUse])
    except (OSError, msgspec.MsgspecError):
        return {}  # where keys were used from is learned anew
