"""What the tests of the database engine stand on: asyncio, and hosts that share one database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.service.ledger.engines import Hosts


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(name="hosts")
async def _hosts(database: str) -> AsyncIterator[Hosts]:
    """Hosts of a database of their own."""
    made = Hosts("postgres", database)
    yield made
    await made.aclose()
