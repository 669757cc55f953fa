"""The key tool: `python -m service.keys issue|list|rotate|revoke|expire`.

A new key is printed alone on standard output, once; everything said to people goes to standard error. Changes reach a
running service within two seconds. With QF_DATABASE_URL the keys are those of all hosts.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from service.access.credentials import digest, kept_pepper, mint, read_pepper, shown_webhook_secret
from service.access.keystore import PARTNER_SCOPES, ApiKey, KeyRecord, Scope, changing_keys, read_keys
from service.access.security_log import SecurityEvent, SecurityLog, read_uses
from service.errors import KeyRefused, ServiceError, in_one_line
from service.settings import ServiceSettings, settings

MAX_LIVE_KEYS: Final = 2  # per partner: the one in use and the one being rolled out
MAX_LIFE: Final = timedelta(days=366)
DEFAULT_LIFE: Final = timedelta(days=365)
OVERLAP: Final = timedelta(days=7)
DEFAULT_RATE: Final = 100.0
DEFAULT_BURST: Final = 1_000  # a full batch fits
DEFAULT_DAILY: Final = 1_000_000


def issue(  # pylint: disable=too-many-locals, too-many-arguments  # each limit is an argument of its own
    folder: Path,
    partner: str,
    *,
    rate: float = DEFAULT_RATE,
    burst: int = DEFAULT_BURST,
    daily: int = DEFAULT_DAILY,
    scopes: Sequence[Scope] = PARTNER_SCOPES,
    not_before: datetime | None = None,
    expires: datetime | None = None,
    test: bool = False,
    database: str | None = None,
) -> str:
    """A new key for a partner, in the store of `folder` (QF_SERVICE_DIR), or in the database that all hosts share; a
    test key's answers count nowhere.

    Raises:
        KeyRefused: the partner has two live keys already, or a value is out of range.
    """
    text, key_id = mint(test=test)
    pepper = read_pepper(folder / "pepper")
    with _changing(folder, database) as (records, now):
        try:
            record = KeyRecord(
                id=key_id,
                partner=partner,
                digest=digest(pepper, text.encode()).hex(),
                scopes=tuple(dict.fromkeys(scopes)),
                rate=rate,
                burst=burst,
                daily=daily,
                not_before=not_before or now,
                expires_at=expires or now + DEFAULT_LIFE,
                created_at=now,
                created_by=_operator(),
                test=test,
            )
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise KeyRefused(f"{first['loc'][0]}: {first['msg']}") from None
        _check_life(record, now)
        _add(records, record, now)
    _log_event(folder, SecurityEvent.KEY_ISSUED, key_id)
    return text


def rotate(folder: Path, name: str, *, overlap: timedelta = OVERLAP, database: str | None = None) -> str:
    """A second key like the one named (an id, or a partner with one live key); the old one ends after `overlap`.

    A partner's name means its key for customers, where there is a test key beside it.

    Raises:
        KeyRefused: nothing live by that name, or the partner has two live keys already.
    """
    with _changing(folder, database) as (records, now):
        live = [record for record in records if name in (record.id, record.partner) and record.live(now)]
        live = [record for record in live if not record.test] or live
        if len(live) != 1:
            raise KeyRefused(f"{name}: {len(live)} live keys go by this name; give the id of one (see: list)")
        old = live[0]
        text, key_id = mint(test=old.test)
        new = old.model_copy(
            update={
                "id": key_id,
                "digest": digest(read_pepper(folder / "pepper"), text.encode()).hex(),
                "not_before": now,
                "expires_at": now + DEFAULT_LIFE,
                "created_at": now,
                "created_by": _operator(),
            }
        )
        _add(records, new, now)
        _change(records, old.id, expires_at=min(old.expires_at, now + overlap))
    _log_event(folder, SecurityEvent.KEY_ROTATED, old.id, successor=key_id)
    return text


def revoke(folder: Path, key_id: str, *, database: str | None = None) -> None:
    """Close a key for good.

    Raises:
        KeyRefused: no such id.
    """
    with _changing(folder, database) as (records, now):
        _change(records, key_id, revoked_at=now)
    _log_event(folder, SecurityEvent.KEY_REVOKED, key_id)


def webhook_secret(folder: Path, partner: str, *, test: bool = False) -> str:
    """The secret that a partner's webhooks are signed with, as libraries of standardwebhooks.com take it.

    Raises:
        Misconfigured: this folder has no pepper, so nothing is signed with what could be told here.
    """
    account = ApiKey("", partner, frozenset(), 1, 1, 1, test=test).account
    return shown_webhook_secret(kept_pepper(folder / "pepper"), account)


def expire(folder: Path, key_id: str, when: datetime, *, database: str | None = None) -> None:
    """Set when a key ends.

    Raises:
        KeyRefused: no such id, or later than a year from now.
    """
    with _changing(folder, database) as (records, now):
        _check_end(_change(records, key_id, expires_at=when), now)
    _log_event(folder, SecurityEvent.KEY_EXPIRY_SET, key_id)


@contextmanager
def _changing(folder: Path, database: str | None) -> Iterator[tuple[list[KeyRecord], datetime]]:
    """The records to change, of this host or of all, and the time by the clock that their validity is measured with."""
    with ExitStack() as stack:
        if database is None:
            yield stack.enter_context(changing_keys(folder / "keys.json")), datetime.now(UTC)
            return
        from service.access.database_keys import DatabaseKeys

        there = stack.enter_context(closing(DatabaseKeys(database)))
        yield stack.enter_context(there.changing()), datetime.fromtimestamp(there.now(), UTC)


def key_records(folder: Path, database: str | None = None) -> Sequence[KeyRecord]:
    """The keys of this host, or of all."""
    return _records_and_time(folder, database)[0]


def _records_and_time(folder: Path, database: str | None) -> tuple[Sequence[KeyRecord], datetime]:
    """The keys, and the time by the clock that their validity is measured with."""
    if database is None:
        return read_keys(folder / "keys.json").keys, datetime.now(UTC)
    from service.access.database_keys import DatabaseKeys

    with closing(DatabaseKeys(database)) as there:
        return there.load().keys, datetime.fromtimestamp(there.now(), UTC)


def _log_event(folder: Path, event: SecurityEvent, key_id: str, **more: str) -> None:
    """A line of the security log: what was done, and by whom."""
    log = SecurityLog(folder, read_pepper(folder / "pepper"))
    log.note(event, key=key_id, by=_operator(), **more)
    log.flush()


def _add(records: list[KeyRecord], record: KeyRecord, now: datetime) -> None:
    live = [
        other.id
        for other in records
        if (other.partner, other.test) == (record.partner, record.test) and other.live(now)
    ]
    if len(live) >= MAX_LIVE_KEYS:
        raise KeyRefused(
            f"{record.partner}: has {MAX_LIVE_KEYS} live keys ({', '.join(live)}); revoke or expire one first"
        )
    records.append(record)


def _change(records: list[KeyRecord], key_id: str, **fields: datetime) -> KeyRecord:
    for place, record in enumerate(records):
        if record.id == key_id:
            records[place] = record.model_copy(update=fields)
            return records[place]
    raise KeyRefused(f"{key_id}: no such key (see: list)")


def _check_end(record: KeyRecord, now: datetime) -> None:
    if record.expires_at > now + MAX_LIFE:
        raise KeyRefused(f"expires: at most {MAX_LIFE.days} days from now; rotate the key instead")


def _check_life(record: KeyRecord, now: datetime) -> None:
    _check_end(record, now)
    if record.expires_at <= record.not_before:
        raise KeyRefused("expires: must be after not-before")


def _operator() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return ""


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _state(record: KeyRecord, now: datetime) -> str:
    if record.revoked_at:
        return "revoked"
    if now >= record.expires_at:
        return "expired"
    return "live" if now >= record.not_before else "waiting"


def _list(folder: Path, service_dir: Path, database: str | None) -> None:
    (records, now), uses = _records_and_time(folder, database), read_uses(service_dir)
    for record in records:
        use = uses.get(record.id)
        print(
            record.id,
            f"{record.partner}{' (test)' if record.test else ''}",
            _state(record, now),
            f"rate={record.rate:g}/s burst={record.burst} daily={record.daily}",
            f"from={record.not_before:%Y-%m-%dT%H:%M:%SZ} to={record.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            ",".join(record.scopes),
            f"used={datetime.fromtimestamp(use.last, UTC):%Y-%m-%dT%H:%M:%SZ}" if use else "used=never",
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m service.keys", description="Keys of partners and of staff.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("issue", help="a new key, printed alone on standard output")
    new.add_argument("partner", help="lower-case name of the company, e.g. acme")
    new.add_argument("--rate", type=float, default=DEFAULT_RATE, help="tokens a second")
    new.add_argument("--burst", type=int, default=DEFAULT_BURST, help="tokens at most at once")
    new.add_argument("--daily", type=int, default=DEFAULT_DAILY, help="tokens a UTC day")
    new.add_argument("--scope", action="append", type=Scope, choices=list(Scope), help="may repeat")
    new.add_argument("--test", action="store_true", help="qf_test_...: same rules, in no drift report and no outcome")
    new.add_argument("--not-before", type=_moment, help="date or time (UTC) the key opens from")
    new.add_argument("--expires", type=_moment, help="date or time (UTC) the key ends, at most a year away")
    commands.add_parser("list", help="all keys, without their secrets")
    roll = commands.add_parser("rotate", help="a second key like this one, which then ends after the overlap")
    roll.add_argument("name", help="key id or partner")
    roll.add_argument("--overlap-days", type=float, default=OVERLAP.days)
    hook = commands.add_parser("webhook-secret", help="what a partner's webhooks are signed with, on standard output")
    hook.add_argument("partner")
    hook.add_argument("--test", action="store_true", help="of its test keys")
    commands.add_parser("revoke", help="close a key for good").add_argument("id")
    end = commands.add_parser("expire", help="set when a key ends")
    end.add_argument("id")
    end.add_argument("when", type=_moment)
    return parser


def _run(options: argparse.Namespace, config: ServiceSettings) -> None:
    folder = config.keys_folder
    database = config.database_url.get_secret_value() if config.database_url else None
    commands: dict[str, Callable[[], str | None]] = {
        "issue": lambda: issue(
            folder,
            options.partner,
            rate=options.rate,
            burst=options.burst,
            daily=options.daily,
            scopes=options.scope or PARTNER_SCOPES,
            not_before=options.not_before,
            expires=options.expires,
            test=options.test,
            database=database,
        ),
        "webhook-secret": lambda: webhook_secret(folder, options.partner, test=options.test),
        "list": lambda: _list(folder, config.service_dir, database),
        "rotate": lambda: rotate(folder, options.name, overlap=timedelta(days=options.overlap_days), database=database),
        "revoke": lambda: revoke(folder, options.id, database=database),
        "expire": lambda: expire(folder, options.id, options.when, database=database),
    }
    output = commands[options.command]()
    if output:
        print(output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with one line on standard error if not."""
    options = _parser().parse_args(arguments)
    try:
        _run(options, settings())
    except ServiceError as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"keys: the keys' folder cannot be written ({in_one_line(error)})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
