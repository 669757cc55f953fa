"""Keys of all hosts: changed once, obeyed everywhere, and the last good set stays while the database is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from service import keys
from service.access import database_keys, keystore
from service.access.credentials import read_pepper
from service.access.database_keys import DatabaseKeys
from service.access.keystore import KeyStore
from service.database import migrations
from service.errors import DatabaseAway, KeyRefused, KeyStoreBroken
from service.settings import settings
from tests.databases import Cluster, set_clock

PATIENCE_S = 60


@pytest.fixture(name="stores")
def _stores(database: str, tmp_path: Path) -> Iterator[list[KeyStore]]:
    """The keys in force on two hosts."""
    made = []
    for _ in range(2):
        source = DatabaseKeys(database)
        source.start()
        made.append(KeyStore(source, read_pepper(tmp_path / "pepper")))
    yield made
    for store in made:
        store.close()


def until(true: Callable[[], bool]) -> None:
    """Waits as the service's housekeeping does."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def opens(store: KeyStore, key: str) -> bool:
    """Whether a key opens a host, after its housekeeping looked."""
    store.refresh()
    return store.verify(key.encode(), store.now()) is not None


def test_a_change_reaches_every_host(stores: list[KeyStore], database: str, tmp_path: Path) -> None:
    """Issued, rotated, expired and revoked on one, obeyed on all; the file of the host has no part in it."""
    first = keys.issue(tmp_path, "acme", database=database)
    for store in stores:
        until(lambda store=store: opens(store, first))
    second = keys.rotate(tmp_path, "acme", database=database)
    for store in stores:
        until(lambda store=store: opens(store, second))
        assert opens(store, first)
    with pytest.raises(KeyRefused, match="2 live keys"):
        keys.issue(tmp_path, "acme", database=database)
    keys.revoke(tmp_path, first[8:16], database=database)
    for store in stores:
        until(lambda store=store: not opens(store, first))
        assert opens(store, second)
    assert not (tmp_path / "keys.json").exists()
    with pytest.raises(KeyRefused, match="no such key"):
        keys.revoke(tmp_path, "AAAAAAAA", database=database)


def test_a_change_nobody_told_of_is_seen_all_the_same(stores: list[KeyStore], database: str, tmp_path: Path) -> None:
    """The message was lost with a connection: the look every second finds it."""
    key = keys.issue(tmp_path, "acme", database=database)
    until(lambda: opens(stores[0], key))
    with psycopg.connect(database) as link:
        link.execute("DELETE FROM ledger.api_key")
        link.execute("UPDATE ledger.api_key_revision SET revision = revision + 1")
    until(lambda: not opens(stores[0], key))


def test_the_last_good_set_stays_while_the_database_is_away(
    stores: list[KeyStore],
    database: str,
    database_cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an alarm; after fifteen minutes nobody gets in; when it is back all is as before."""
    key, store = keys.issue(tmp_path, "acme", database=database), stores[0]
    until(lambda: opens(store, key))
    database_cluster.stop()
    try:
        until(lambda: opens(store, key) and bool(store.fault))
        assert "\n" not in store.fault and key not in store.fault
        monkeypatch.setattr(keystore, "STALE_AFTER_S", 0.0)
        assert store.closed and not opens(store, key)
        with pytest.raises(DatabaseAway):
            keys.issue(tmp_path, "other", database=database)
        with pytest.raises(KeyStoreBroken):
            DatabaseKeys(database).start()
    finally:
        database_cluster.start()
    until(lambda: opens(store, key) and not store.fault)


def test_a_record_that_is_damaged_is_a_fault_and_not_an_open_door(
    stores: list[KeyStore], database: str, tmp_path: Path
) -> None:
    """The last good set stays, and the line names the field."""
    key, store = keys.issue(tmp_path, "acme", database=database), stores[0]
    until(lambda: opens(store, key))
    with psycopg.connect(database) as link:
        link.execute("INSERT INTO ledger.api_key VALUES ('AAAAAAAA', '{\"id\": \"AAAAAAAA\"}')")
        link.execute("UPDATE ledger.api_key_revision SET revision = revision + 1")
    until(lambda: opens(store, key) and "partner" in store.fault)


def test_the_tool_acts_on_the_database_that_is_set(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key alone on standard output, the list from any host, one line where the database has no tables."""
    monkeypatch.setenv("QF_DATABASE_URL", database)
    monkeypatch.setenv("QF_SERVICE_DIR", str(tmp_path))
    settings.cache_clear()
    assert keys.main(["issue", "acme", "--rate", "5"]) == 0
    key = capsys.readouterr().out.strip()
    assert keys.main(["list"]) == 0
    assert capsys.readouterr().out.startswith(f"{key[8:16]} acme live rate=5/s")
    assert keys.main(["revoke", key[8:16]]) == 0
    assert keys.main(["list"]) == 0
    assert " revoked " in capsys.readouterr().out
    with psycopg.connect(database, autocommit=True) as link:
        link.execute("DROP SCHEMA ledger CASCADE")
    assert keys.main(["list"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("keys: a table is missing, python -m service.ledger migrate") and said.count("\n") == 1
    settings.cache_clear()


def test_hosts_look_often_enough() -> None:
    """A lost message costs a second; the service looks twice in one."""
    assert database_keys.POLL_S + settings().key_reload_s < 2


@pytest.mark.parametrize("ahead_s", [3600, -3600])
def test_lives_of_keys_go_by_the_databases_clock(ahead_s: int, database_cluster: Cluster, tmp_path: Path) -> None:
    """However wrong this host's clock is: a key that was just issued is good, and ends when all hosts end it."""
    url = database_cluster.new_database()
    set_clock(url, ahead_s)
    migrations.migrate(url)
    there = time.time() + ahead_s
    key = keys.issue(tmp_path, "acme", expires=datetime.fromtimestamp(there + 1800, UTC), database=url)
    (record,) = keys.key_records(tmp_path, url)
    assert abs(record.not_before.timestamp() - there) < 1800
    with closing(DatabaseKeys(url)) as source:
        source.load()
        store = KeyStore(source, read_pepper(tmp_path / "pepper"))
        assert store.verify(key.encode(), store.now()) is not None
        assert store.verify(key.encode(), store.now() + 3600) is None
        keys.expire(tmp_path, record.id, datetime.fromtimestamp(there, UTC), database=url)
        source.load()
        assert store.refresh() and store.verify(key.encode(), store.now()) is None
