"""The partners' keys: a JSON file of records without secrets, replaced atomically and re-read without a restart.

The service looks at the file every half second. A file that does not parse keeps the last good set in force and raises
an alarm (metric, log, readiness stays); after 15 minutes of that nobody is let in any more, because a revocation
may be waiting in the broken file. Several hosts keep them in a database instead (`service.access.database_keys`); where
that is away the same holds.
"""

from __future__ import annotations

import hmac
import operator
import time
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from service import files
from service.access.credentials import ID_SLICE, KEY_LENGTH, Mac
from service.access.terms import Policy
from service.errors import KeyStoreBroken

STALE_AFTER_S: Final = 15 * 60.0
_DUMMY: Final = b"\0" * 32
_FILE_MAX_BYTES: Final = 16 << 20


class Scope(StrEnum):
    """What a key may do."""

    SCORE = "score"
    READ = "read"
    DOCS = "docs"
    METRICS = "metrics"
    STAFF = "staff"


PARTNER_SCOPES: Final = (Scope.SCORE, Scope.READ, Scope.DOCS)


class KeyRecord(BaseModel):
    """One key as it is stored: everything but the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{8}$")]
    partner: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    rate: Annotated[float, Field(gt=0, le=1e6, description="tokens a second")]
    burst: Annotated[int, Field(ge=1, le=1_000_000, description="tokens at most at once")]
    daily: Annotated[int, Field(ge=1, le=10**12, description="tokens a UTC day")]
    not_before: AwareDatetime
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None = None
    created_at: AwareDatetime
    created_by: str = ""
    test: Annotated[bool, Field(exclude_if=operator.not_)] = False  # an older service reads a file without test keys

    def live(self, now: datetime) -> bool:
        """True if the key opens anything now or later: neither revoked nor past its expiry."""
        return self.revoked_at is None and now < self.expires_at


class KeyFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    version: Annotated[int, Field(ge=1, le=1)] = 1
    keys: tuple[KeyRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A good key that a request showed: who calls, and what the caller may do."""

    id: str
    partner: str
    scopes: frozenset[Scope]
    rate: float
    burst: int
    daily: int
    expires_ts: float = float("inf")
    test: bool = False
    account_terms: Policy | None = None
    """The account's own limits, where it has other live keys whose limits are wider than this one's."""

    @property
    def account(self) -> str:
        """The account that owns the key's records and pays for its requests: the partner, or the partner's tests."""
        return f"{self.partner}:test" if self.test else self.partner


@dataclass(frozen=True, slots=True)
class _Entry:
    """The part of a record that a request needs, ready to compare."""

    digest: bytes
    key: ApiKey
    not_before_ts: float
    expires_ts: float


def read_keys(path: Path) -> KeyFile:
    """The key file; an absent file holds no keys, so nobody gets in.

    Raises:
        KeyStoreBroken: unreadable, too large, or not what `KeyFile` says.
    """
    try:
        if path.stat().st_size > _FILE_MAX_BYTES:
            raise KeyStoreBroken(f"{path}: larger than {_FILE_MAX_BYTES} bytes; restore it from your backup")
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return KeyFile()
    except OSError as error:
        raise KeyStoreBroken(f"{path}: cannot be read ({error.strerror}); mend its owner or mode") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = "/".join(str(part) for part in first["loc"]) or "the file"
        raise KeyStoreBroken(f"{path}: {where}: {first['msg']}; restore it from your backup") from None


@contextmanager
def changing_keys(path: Path) -> Iterator[list[KeyRecord]]:
    """The records to change in place; written back whole when the block ends well. One writer at a time."""
    with files.locked(path.with_suffix(".lock")):
        records = list(read_keys(path).keys)
        before = list(records)
        yield records
        if records != before:
            content = KeyFile(keys=tuple(records)).model_dump_json(indent=1).encode()
            files.replace(path, content, files.PRIVATE)


class KeySource(Protocol):
    """A source of records that is looked at again and again."""

    def stamp(self) -> Hashable:
        """A mark that changes when the records may have changed; it is cheap to read."""

    def read(self) -> KeyFile:
        """The records.

        Raises:
            KeyStoreBroken: they cannot be read now.
        """

    def now(self) -> float:
        """Seconds since 1970 by the clock that the lives of these keys go by."""

    def close(self) -> None:
        """Release what the source holds open."""


class FileKeys:
    """The records in a file of this host."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._had_some = False

    def stamp(self) -> tuple[int, int, int] | None:
        """Time of change, identity and length of the file."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def read(self) -> KeyFile:
        """The records; a file that is not there yet has none, one that is gone is broken.

        Raises:
            KeyStoreBroken: as `read_keys`.
        """
        if self._had_some and not self._path.exists():
            raise KeyStoreBroken(f"{self._path}: is gone; restore it from your backup")
        content = read_keys(self._path)
        self._had_some = bool(content.keys)
        return content

    def now(self) -> float:
        """Seconds since 1970 by this host's clock."""
        return time.time()

    def close(self) -> None:
        """Does nothing: no file is held open."""


class KeyStore:
    """The keys in force in this process."""

    def __init__(self, source: KeySource, pepper: bytes) -> None:
        self._source = source
        self.now = source.now
        self._mac = Mac(pepper)
        self._stamp: Hashable = None
        self._entries: dict[bytes, _Entry] = {}
        self._broken_since: float | None = None
        self.fault = ""  # one line while the source cannot be used
        self._stamp = source.stamp()
        self._load()

    def verify(self, secret: bytes, now: float) -> ApiKey | None:
        """The key's owner and rights, or None: unknown, wrong, revoked, not yet valid and expired look alike.

        Always one HMAC and one comparison, so that the time taken tells nothing. `now` in seconds since 1970.
        """
        if len(secret) != KEY_LENGTH:
            return None
        entry = self._entries.get(secret[ID_SLICE])
        good = hmac.compare_digest(self._mac.digest(secret), entry.digest if entry else _DUMMY)
        if not good or entry is None or not entry.not_before_ts <= now < entry.expires_ts or self.closed:
            return None
        return entry.key

    def holder(self, key_id: str, now: float) -> ApiKey | None:
        """The key of this id, if it opens anything now: for work that was ordered with it and goes on."""
        entry = self._entries.get(key_id.encode())
        good = entry is not None and entry.not_before_ts <= now < entry.expires_ts and not self.closed
        return entry.key if entry is not None and good else None

    @property
    def closed(self) -> bool:
        """True once the source has been unusable so long that waiting revocations weigh more than partners' service."""
        return self._broken_since is not None and time.monotonic() - self._broken_since > STALE_AFTER_S

    def refresh(self) -> bool:
        """Read the records again if they changed. True if the set in force was replaced."""
        stamp = self._source.stamp()
        if stamp == self._stamp and not self.fault:
            return False
        try:
            self._load()
        except KeyStoreBroken as error:
            self.fault = str(error)
            if self._broken_since is None:
                self._broken_since = time.monotonic()
            return False
        self._stamp, self.fault, self._broken_since = stamp, "", None
        return True

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    def _load(self) -> None:
        now = datetime.fromtimestamp(self.now(), UTC)
        usable = [record for record in self._source.read().keys if record.live(now)]
        terms = account_terms(usable)
        self._entries = {one.id.encode(): _entry(one, terms[one.partner, one.test]) for one in usable}


def account_terms(records: Iterable[KeyRecord]) -> dict[tuple[str, bool], Policy]:
    """The limits that a partner's live keys share: those of the widest key, however many there are."""
    terms: dict[tuple[str, bool], Policy] = {}
    for one in records:
        name = (one.partner, one.test)
        before = terms.get(name, Policy(one.rate, one.burst, one.daily))
        terms[name] = Policy(max(before.rate, one.rate), max(before.burst, one.burst), max(before.daily, one.daily))
    return terms


def _entry(record: KeyRecord, terms: Policy) -> _Entry:
    expires = record.expires_at.timestamp()
    key = ApiKey(
        id=record.id,
        partner=record.partner,
        scopes=frozenset(record.scopes),
        rate=record.rate,
        burst=record.burst,
        daily=record.daily,
        expires_ts=expires,
        test=record.test,
        account_terms=None if terms == Policy(record.rate, record.burst, record.daily) else terms,
    )
    return _Entry(bytes.fromhex(record.digest), key, record.not_before.timestamp(), expires)
