"""Jobs in folders and in a database obey one contract; a host's own come along when it gets a database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from service import files
from service.errors import IdempotencyRunning, JobEnded, JobsAway
from service.jobs.folders import JobFolders
from service.jobs.store import KEPT_DAYS, JobRecord, JobRepository, new_id
from service.jobs.tables import JobTables
from tests.databases import Cluster

ROWS = [b'{"a":1}', b'{"a":2}', b'{"a":3}']


def job(account: str = "acme", webhook: str = "") -> JobRecord:
    """A new one."""
    return JobRecord(new_id(), account, "k", len(ROWS), time.time(), webhook=webhook)


@pytest.fixture(name="store", params=["folders", "tables"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobRepository]:
    made: JobRepository
    if request.param == "folders":
        made = JobFolders(tmp_path / "jobs")
    else:
        made = JobTables(request.getfixturevalue("database"))
    yield made
    made.close()


def test_a_job_is_kept_run_and_ended(store: JobRepository) -> None:
    """Rows as they came until it ends, results page by page in order, then the state alone."""
    record = job()
    assert store.create(record, ROWS, 10) and store.due(time.time()) == [record.id]
    with store.running(record.id) as mine:
        assert mine == record and store.rows(mine) == ROWS
        store.add_results(mine, [b"one", b"two"])
        store.add_results(mine, [b"three"])
        assert [store.results(mine, offset, 2) for offset in (0, 1, 2, 3)] == [
            [b"one", b"two"], [b"two", b"three"], [b"three"], [],
        ]  # fmt: skip
        store.finish(mine, "done")
    ended = store.read(record.id)
    assert ended is not None and (ended.status, ended.done) == ("done", 3) and ended.finished
    assert store.due(time.time()) == [] and store.results(ended, 0, 9) == [b"one", b"two", b"three"]
    with pytest.raises(JobEnded):
        store.rows(ended)


def test_any_page_costs_what_the_first_costs(tmp_path: Path) -> None:
    """Of ten thousand results no more is read than is asked for, whichever page it is."""
    store, record, me = JobFolders(tmp_path / "jobs"), job(), psutil.Process()
    store.create(record, ROWS, 10)
    lines = [b"%d-%b" % (place, b"x" * (place % 90)) for place in range(10_000)]
    for first in range(0, len(lines), 200):
        store.add_results(record, lines[first : first + 200])
    for offset, count in ((0, 1000), (9000, 1000), (9500, 1000), (9999, 1000), (4321, 7), (10_000, 1)):
        before = me.io_counters().read_chars
        found = store.results(record, offset, count)
        assert found == lines[offset : offset + count]
        assert me.io_counters().read_chars - before < 2 * len(b"".join(found)) + 8192


@pytest.mark.parametrize("left", ["none", "short", "of other results"])
def test_results_are_found_without_their_index(tmp_path: Path, left: str) -> None:
    """A release before left none, and an erasure changes the lines: it is made anew, whether the job goes on or not."""
    store, record = JobFolders(tmp_path / "jobs"), job()
    store.create(record, ROWS, 10)
    folder = tmp_path / "jobs" / record.id
    store.add_results(record, [b"one", b"two"])
    index = folder / "results.ends"
    if left == "none":
        index.unlink()
    elif left == "short":
        index.write_bytes(index.read_bytes()[:8])
    else:
        (folder / "results.jsonl").write_bytes(b"erased\ntwo\n")
        record.results_bytes = 11
    one = b"erased" if left == "of other results" else b"one"
    store.add_results(record, [b"three"])
    assert store.results(record, 0, 9) == [one, b"two", b"three"]
    store.finish(record, "done")
    index.write_bytes(bytes(24))
    assert store.results(record, 1, 9) == [b"two", b"three"]
    (folder / "results.jsonl").write_bytes(b"longer than all others\n" * 3)
    with pytest.raises(JobsAway, match="change while they are read"):
        store.results(record, 0, 9)


def test_a_cancelled_job_is_over(store: JobRepository) -> None:
    """At once and for good, whoever runs it: what was added stays, nothing more is, its rows are gone."""
    record = job(webhook="https://example.com/")
    store.create(record, ROWS, 10)
    with store.running(record.id) as mine:
        assert mine is not None
        store.add_results(mine, [b"one"])
        cancelled = store.cancel(record.id)
        assert cancelled is not None and (cancelled.status, cancelled.done) == ("cancelled", 1)
        assert cancelled.webhook_status == "pending" and store.due(cancelled.finished) == [record.id]
        with pytest.raises(JobEnded):
            store.rows(mine)
        with pytest.raises(JobEnded):
            store.add_results(mine, [b"late", b"later"])
        store.finish(mine, "done")
    assert store.read(record.id) == cancelled == store.cancel(record.id)
    assert store.results(cancelled, 0, 9) == [b"one"]
    assert store.create(job(), ROWS, 1)  # it is open no more


def test_only_what_is_open_can_be_cancelled(store: JobRepository) -> None:
    """One that waits can; one that ended stays as it ended; of none there is none."""
    waiting, ended = job(), job()
    for record in (waiting, ended):
        store.create(record, ROWS, 10)
    store.finish(ended, "failed", "why")
    found = [store.cancel(record.id) for record in (waiting, ended)]
    assert [one.status for one in found if one] == ["cancelled", "failed"]
    assert store.due(time.time()) == []
    assert store.cancel(new_id()) is None and store.cancel("..") is None


def test_a_job_is_made_once(store: JobRepository) -> None:
    """A second order of its id changes nothing of the first."""
    record = job()
    assert store.create(record, ROWS, 10)
    with pytest.raises(IdempotencyRunning):
        store.create(record, ROWS[:1], 10)
    assert store.read(record.id) == record and store.rows(record) == ROWS


def test_an_order_that_fails_leaves_another_s_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same order sent twice, and no file may be opened for the second: the first one's job stands."""
    store, record = JobFolders(tmp_path / "jobs"), job()
    assert store.create(record, ROWS, 10)

    def no_more(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(files, "hold", no_more)
    with pytest.raises(JobsAway):
        store.create(record, ROWS, 10)
    with pytest.raises(JobsAway):
        store.create(other := job(), ROWS, 10)
    assert store.read(record.id) == record and store.rows(record) == ROWS
    assert store.read(other.id) is None and not (tmp_path / "jobs" / other.id).exists()


def test_an_account_has_so_many_open(store: JobRepository) -> None:
    """Another's do not count, and neither do those that ended."""
    first = job()
    assert [store.create(one, ROWS, 2) for one in (first, job(), job(), job("other"))] == [True, True, False, True]
    store.finish(first, "failed", "why")
    assert store.create(job(), ROWS, 2)


@pytest.mark.parametrize("identifier", ["", "..", "job_", "job_" + "0" * 32, "job_\0" + "0" * 31, "JOB_" + "a" * 32])
def test_what_is_no_job_is_none(store: JobRepository, identifier: str) -> None:
    """No text leads anywhere else."""
    assert store.read(identifier) is None


def test_a_webhook_is_due_when_it_is(store: JobRepository) -> None:
    """Ended jobs are looked at again for their webhook alone."""
    record = job(webhook="https://example.com/")
    store.create(record, ROWS, 10)
    store.finish(record, "done")
    assert (store.due(record.finished - 1), store.due(record.finished)) == ([], [record.id])
    record.webhook_due += 60
    store.save(record)
    assert store.due(record.finished) == []
    record.webhook_due = 0.0
    store.save(record)
    assert store.due(record.finished + 61) == []


def test_ended_jobs_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A week of them costs a look and an order nothing: the open ones alone are read, told ones no more."""
    store = JobFolders(tmp_path / "jobs")
    ended, told, waiting = [job() for _ in range(20)], job(webhook="https://example.com/"), job()
    for record in (*ended, told, waiting):
        store.create(record, ROWS, 100)
    for record in (*ended, told):
        store.finish(record, "done")
    read: list[str] = []
    real = store.read
    monkeypatch.setattr(store, "read", lambda identifier: read.append(identifier) or real(identifier))
    assert store.due(time.time()) == [told.id, waiting.id] and sorted(read) == sorted([told.id, waiting.id])
    told.webhook_due = 0.0
    store.save(told)
    read.clear()
    assert store.due(time.time()) == [waiting.id] and read == [waiting.id]
    assert store.create(job(), ROWS, 2) and not store.create(job(), ROWS, 2)


def test_jobs_without_a_mark_are_found(tmp_path: Path) -> None:
    """Those of a release before marks, and of a worker that died before it made or took one away."""
    store = JobFolders(tmp_path / "jobs")
    waiting, ended = job(), job()
    for record in (waiting, ended):
        store.create(record, ROWS, 10)
    store.finish(ended, "done")
    (tmp_path / "jobs" / "open" / waiting.id).unlink()
    (tmp_path / "jobs" / "open" / ended.id).touch()
    assert JobFolders(tmp_path / "jobs").due(time.time()) == [waiting.id]
    (tmp_path / "jobs" / "open" / waiting.id).unlink()
    assert store.due(time.time()) == []
    store.tidy()
    assert store.due(time.time()) == [waiting.id]
    assert [path.name for path in (tmp_path / "jobs" / "open").iterdir()] == [waiting.id]


def test_hosts_share_a_job_and_one_runs_it(database: str) -> None:
    """The second finds it held, goes on where the first stopped, and the first, come back, may add nothing."""
    one, other = JobTables(database), JobTables(database)
    record = job()
    one.create(record, ROWS, 10)
    with one.running(record.id) as mine:
        assert mine is not None
        with other.running(record.id) as theirs:
            assert theirs is None
        one.add_results(mine, [b"one"])
        with psycopg.connect(database, autocommit=True) as link:  # the first host's connections are cut
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            link.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
        for _ in range(2):  # its connections were cut too; what is asked next makes new ones
            with suppress(JobsAway), other.running(new_id()):
                pass
        with other.running(record.id) as theirs:
            assert theirs is not None and theirs.done == 1
            other.add_results(theirs, [b"two", b"three"])
            with pytest.raises(JobsAway, match="does not answer"):
                one.add_results(mine, [b"late"])  # over the broken connection
            with pytest.raises(JobsAway, match="another worker"):
                one.add_results(mine, [b"late"])
    assert one.results(record, 0, 9) == [b"one", b"two", b"three"]
    one.close()
    other.close()


def test_a_host_s_jobs_come_along(database: str, tmp_path: Path) -> None:
    """Those that wait, run half way or have ended, with rows and results; a second start moves nothing."""
    folders, tables = JobFolders(tmp_path / "jobs"), JobTables(database)
    waiting, half, ended = job(), job(), job("other")
    for record in (waiting, half, ended):
        folders.create(record, ROWS, 10)
    folders.add_results(half, [b"one"])
    folders.add_results(ended, [b"one", b"two", b"three"])
    folders.finish(ended, "done")
    assert (tables.take_over(folders), tables.take_over(folders), folders.ids()) == (3, 0, [])
    assert tables.due(time.time()) == [waiting.id, half.id]
    moved = tables.read(half.id)
    assert moved == half and tables.rows(half) == ROWS and tables.results(half, 0, 9) == [b"one"]
    tables.add_results(half, [b"two", b"three"])
    assert tables.results(half, 0, 9) == tables.results(ended, 0, 9) == [b"one", b"two", b"three"]
    tables.close()


def test_moved_results_are_read_in_pieces(database: str, tmp_path: Path) -> None:
    """As if they had been added there, so that a page of many rows costs no more than its rows."""
    folders, tables, record = JobFolders(tmp_path / "jobs"), JobTables(database), job()
    lines = [b"%d" % place for place in range(1001)]
    record.rows = len(lines)
    folders.create(record, ROWS, 10)
    folders.add_results(record, lines)
    folders.finish(record, "done")
    tables.take_over(folders)
    assert [tables.results(record, first, 300) for first in (0, 199, 200, 900)] == [
        lines[first : first + 300] for first in (0, 199, 200, 900)
    ]
    with psycopg.connect(database) as link:
        (most,) = link.execute("SELECT max(rows) FROM ledger.job_result WHERE id = %s", (record.id,)).fetchone() or (0,)
    assert most == 200
    tables.close()


def test_results_go_after_a_week(database: str) -> None:
    """And what was ordered two weeks ago and never ended."""
    tables = JobTables(database)
    old, fresh, stuck = job(), job(), job()
    for record in (old, fresh, stuck):
        tables.create(record, ROWS, 10)
    for record in (old, fresh):
        tables.add_results(record, [b"x"] * 3)
        tables.finish(record, "done")
    with psycopg.connect(database, autocommit=True) as link:
        week = f"interval '{KEPT_DAYS} days 1 hour'"
        link.execute(f"UPDATE ledger.job SET ended_at = now() - {week} WHERE id = %s", (old.id,))  # noqa: S608
        link.execute(f"UPDATE ledger.job SET ordered_at = now() - 2 * {week} WHERE id = %s", (stuck.id,))  # noqa: S608
    tables.tidy()
    assert [tables.read(record.id) is None for record in (old, fresh, stuck)] == [True, False, True]
    assert not tables.results(old, 0, 9)
    tables.close()


def test_a_database_that_is_away_is_said(database: str, database_cluster: Cluster) -> None:
    """Every step says so, and works again when it is back."""
    tables = JobTables(database)
    record = job()
    tables.create(record, ROWS, 10)
    database_cluster.stop()
    try:
        for step in (
            lambda: tables.create(job(), ROWS, 10), lambda: tables.read(record.id), lambda: tables.due(0.0),
            lambda: tables.rows(record), lambda: tables.results(record, 0, 1), lambda: tables.save(record), tables.tidy,
        ):  # fmt: skip
            with pytest.raises(JobsAway, match="does not answer"):
                step()
    finally:
        database_cluster.start()
    assert tables.read(record.id) == record
    tables.close()
