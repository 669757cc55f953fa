"""The days of the ledger: a partition each, made when its first segment is begun, dropped when it is too old."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

from psycopg import sql

from service.database.migrations import LOCKS, PARTITION_LOCK
from service.database.session import Link

_NAME: Final = re.compile(r"entry_(\d{8})")
# Asked of the catalogue itself: to_regclass would remember that there was none before another host made it.
_THERE: Final = """
SELECT EXISTS (SELECT FROM pg_class WHERE relname = %s AND relnamespace = 'ledger'::regnamespace)
"""
_ALL: Final = """
SELECT child.relname FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'ledger.entry'::regclass
"""
_WAITING: Final = "SELECT EXISTS (SELECT FROM ledger.segment WHERE day = %s AND shipped_at IS NULL)"


def _name(day: date) -> str:
    return f"entry_{day:%Y%m%d}"


def ensure(link: Link, day: date) -> None:
    """The day's partition is there. It is attached, which lets others write on; rows of some kilobytes stay whole."""
    name = _name(day)
    row = link.execute(_THERE, (name,)).fetchone()
    if row and row[0]:
        return
    with link.transaction():
        link.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, PARTITION_LOCK))
        row = link.execute(_THERE, (name,)).fetchone()
        if row and row[0]:
            return
        table = sql.Identifier("ledger", name)
        make = "CREATE TABLE {} (LIKE ledger.entry INCLUDING ALL) WITH (toast_tuple_target = 8160)"
        link.execute(sql.SQL(make).format(table), prepare=False)
        attach = "ALTER TABLE ledger.entry ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
        bounds = sql.Literal(day), sql.Literal(day + timedelta(days=1))
        link.execute(sql.SQL(attach).format(table, *bounds), prepare=False)


def days(link: Link) -> list[date]:
    """The days that there are rows of, oldest first."""
    names = (_NAME.fullmatch(row[0]) for row in link.execute(_ALL))
    return sorted(date(int(one[1][:4]), int(one[1][4:6]), int(one[1][6:])) for one in names if one)


def drop_before(link: Link, day: date) -> list[date]:
    """Drops what is older than a day and was shipped; which days went."""
    dates: list[date] = []
    for old in days(link):
        if old >= day:
            break
        waiting = link.execute(_WAITING, (old,)).fetchone()
        if waiting is None or waiting[0]:
            continue
        with link.transaction():
            link.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("ledger", _name(old))), prepare=False)
            link.execute("DELETE FROM ledger.segment WHERE day = %s", (old,))
        dates.append(old)
    return dates
