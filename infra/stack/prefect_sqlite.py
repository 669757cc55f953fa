"""Prefect's server waits for SQLite's one writer instead of refusing.

Prefect begins most transactions that write as DEFERRED. Such a one has read before it writes, and if another wrote in
between SQLite refuses it at once, whatever the time-out: "database is locked", and a click in the page ends with 503.
Begun as IMMEDIATE it waits for its turn instead. May go when Prefect begins them so itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prefect.server.database.configurations import AioSqliteConfiguration

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

_begin = AioSqliteConfiguration.begin_transaction


@asynccontextmanager
async def immediate(
    self: AioSqliteConfiguration, session: AsyncSession, with_for_update: bool = False
) -> AsyncGenerator[AsyncSessionTransaction, None]:
    """A transaction that has the right to write from its begin, whether or not it asked for it."""
    del with_for_update
    async with _begin(self, session, with_for_update=True) as transaction:
        yield transaction


def install() -> None:
    """From now on the databases of this process's server are begun so."""
    AioSqliteConfiguration.begin_transaction = immediate  # type: ignore[method-assign]
