"""A database is given its tables by a command, and a start on a wrong one ends with one line that says what to mend."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import psycopg
import pytest

from bentos.processes import free_port
from service.database import migrations
from service.errors import Misconfigured
from service.ledger import __main__ as command
from service.settings import settings
from tests.databases import Cluster

MARK = b"m" * 32


def run(url: str, *statements: str) -> None:
    """Change a database behind the service's back."""
    with psycopg.connect(url, autocommit=True) as link:
        for statement in statements:
            link.execute(statement.encode())


def test_the_steps_are_taken_once(database_cluster: Cluster) -> None:
    """However often, and by several releases' commands at once."""
    url, taken = database_cluster.new_database(), []
    threads = [threading.Thread(target=lambda: taken.append(migrations.migrate(url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [[], [], [], [step.version for step in migrations.MIGRATIONS]]
    assert not migrations.migrate(url)
    migrations.check(url, MARK)


def test_steps_are_numbered_without_a_gap() -> None:
    """And none needs a release that knows more than itself."""
    assert [step.version for step in migrations.MIGRATIONS] == list(range(1, migrations.VERSION + 1))
    assert all(1 <= step.oldest <= step.version for step in migrations.MIGRATIONS)


NEWER = "INSERT INTO ledger.migration VALUES (%d, %d)"
WRONG = {
    "older": (("DELETE FROM ledger.migration",), r"has no tables yet, this release needs \d+; run python -m service"),
    "no tables": (("DROP SCHEMA ledger CASCADE",), r"has no tables yet, this release needs \d+; run python -m service"),
    "newer": (
        (NEWER % (migrations.VERSION + 2, migrations.VERSION + 1),),
        rf"has schema {migrations.VERSION + 2}, which needs a release that knows {migrations.VERSION + 1}",
    ),
    "another pepper": (("UPDATE ledger.pepper SET mark = 'x'",), "its pepper is another than that of the other hosts"),
    "read-only": (("ALTER DATABASE {name} SET default_transaction_read_only = on",), "session is read-only"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_database_that_does_not_fit_stops_the_start(name: str, database: str) -> None:
    """One line, which names what to do, and no password."""
    statements, told = WRONG[name]
    migrations.check(database, MARK)
    run(database, *(statement.replace("{name}", database.rpartition("/")[2]) for statement in statements))
    with pytest.raises(Misconfigured, match=told) as caught:
        migrations.check(database, MARK)
    assert "\n" not in str(caught.value) and "cluster-test-password" not in str(caught.value)


def test_a_newer_schema_that_allows_this_release_is_worked_on(database: str) -> None:
    """Two releases of a rollout share a database."""
    run(database, NEWER % (migrations.VERSION + 1, migrations.VERSION))
    migrations.check(database, MARK)
    assert not migrations.migrate(database)


ADDRESSES: dict[str, tuple[Callable[[Cluster], str], str]] = {
    "empty": (lambda cluster: "", "is no address such as postgresql://"),
    "no address": (lambda cluster: "not an address", "is no address such as postgresql://"),
    "nobody listens": (lambda cluster: cluster.url("postgres", port=free_port()), "Connection refused"),
    "no such database": (lambda cluster: cluster.url("nobody"), 'database "nobody" does not exist'),
    "wrong password": (lambda cluster: cluster.url("postgres", password="secret-x"), "password authentication failed"),
    "wrong user": (lambda cluster: cluster.url("postgres", user="nobody"), "password authentication failed"),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_wrong_address_is_said_in_one_line(
    name: str, database_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command and by the start alike; the password is never part of it."""
    made, told = ADDRESSES[name]
    url = made(database_cluster)
    with pytest.raises(Misconfigured, match=told):
        migrations.check(url, MARK)
    monkeypatch.setenv("QF_DATABASE_URL", url)
    settings.cache_clear()
    assert command.main(["migrate"]) == 1
    settings.cache_clear()
    said = capsys.readouterr().err
    assert said.startswith("ledger: QF_DATABASE_URL: ") and said.count("\n") == 1
    assert "secret-x" not in said


def test_the_command_says_what_it_did(
    database_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tables made, nothing to do, or no database named."""
    said = []
    for url in (database_cluster.new_database(),) * 2:
        monkeypatch.setenv("QF_DATABASE_URL", url)
        settings.cache_clear()
        assert command.main(["migrate"]) == 0
        said.append(capsys.readouterr().out)
    assert said == [
        f"schema {migrations.VERSION}: took steps {[step.version for step in migrations.MIGRATIONS]}\n",
        f"schema {migrations.VERSION}: nothing to do\n",
    ]
    monkeypatch.delenv("QF_DATABASE_URL")
    settings.cache_clear()
    assert command.main(["migrate"]) == 1
    assert capsys.readouterr().err == "ledger: QF_DATABASE_URL: is not set\n"
    settings.cache_clear()


def test_who_names_no_database_does_not_pay_for_one() -> None:
    """A worker on files, the key tool and the erasure start without PostgreSQL's driver."""
    code = "import sys; import service.runtime, service.keys, service.erasure; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
