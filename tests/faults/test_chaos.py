"""Nothing answered is lost and nothing is recorded twice: R1 and R5 of the fault matrix."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ObjectStore
from tests.databases import Cluster
from tests.faults.chaos import Chaos, Plan
from tests.faults.hosts import HostsChaos, HostsPlan
from tests.redis_server import redis_server

QUICK = Plan(requests=600, kills=3, duration_s=8.0, outage_s=5.0)
FULL = Plan(requests=10_000, kills=28, duration_s=100.0, outage_s=60.0)


FULL_MARKS = [pytest.mark.full, pytest.mark.timeout(900)]


@pytest.mark.slow
@pytest.mark.parametrize("plan", [QUICK, pytest.param(FULL, marks=FULL_MARKS)], ids=["quick", "full"])
def test_kills_outage_and_lost_acknowledgements(plan: Plan, object_store: ObjectStore, tmp_path: Path) -> None:
    """kill -9, a store that is down, one PUT in five kept but denied: 0 lost, 0 doubled, 0 wrong."""
    started = time.monotonic()
    report = Chaos(plan, tmp_path, object_store, f"chaos-{plan.requests}").run()
    print(
        f"\n{len(report.answered)} answered through {report.kills} kills, {report.retries} retries,"
        f" {report.replays} replays: {len(report.lost)} lost, {len(report.doubled)} doubled;"
        f" drained in {report.drained_s:.1f} s, {time.monotonic() - started:.0f} s in all"
    )
    assert report.kills == plan.kills and len(report.answered) == plan.requests + 1
    assert (report.lost, report.doubled, report.wrong, report.wrong_replays) == ([], [], [], 0)
    assert not list(tmp_path.glob("quarantine/*.damaged"))
    assert report.drained_s <= 30


HOSTS_QUICK = HostsPlan(requests=500, kills=3, duration_s=8.0, outage_s=3.0, restarts=1)
HOSTS_FULL = HostsPlan(requests=10_000, kills=28, duration_s=120.0, outage_s=60.0, restarts=3)
FRONT_FULL = HostsPlan(requests=10_000, kills=28, duration_s=280.0, outage_s=60.0, restarts=3)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [HOSTS_QUICK, pytest.param(HOSTS_FULL, marks=FULL_MARKS)], ids=["quick", "full"])
def test_three_hosts_share_a_database_through_kills_and_restarts(
    plan: HostsPlan, object_store: ObjectStore, database_cluster: Cluster, database: str, tmp_path: Path
) -> None:
    """Hosts killed, PostgreSQL stopped and crashed, the store away: none lost or doubled, each id readable on each."""
    chaos = HostsChaos(plan, tmp_path, object_store, f"hosts-{plan.requests}", database_cluster, database)
    report, told = chaos.run(), chaos.told
    print(
        f"\n{len(report.answered)} answered by {plan.workers} hosts through {report.kills} kills and {told.restarts}"
        f" restarts of PostgreSQL, {report.retries} retries, {report.replays} replays: {len(report.lost)} lost,"
        f" {len(report.doubled)} doubled, {len(told.unreadable)} unreadable; drained in {report.drained_s:.1f} s"
    )
    assert (report.kills, told.restarts, len(report.answered)) == (plan.kills, plan.restarts, plan.requests)
    assert (report.lost, report.doubled, report.wrong, report.wrong_replays) == ([], [], [], 0)
    assert not told.unreadable and sum(report.rows.values()) == len(report.answered)
    assert report.drained_s <= 30


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("plan", [FRONT_FULL], ids=["full"])
def test_served_hosts_behind_the_shipped_proxy_lose_nothing(  # pylint: disable=too-many-arguments, too-many-positional-arguments
    plan: HostsPlan,
    object_store: ObjectStore,
    database_cluster: Cluster,
    database: str,
    tmp_path: Path,
    require_program: Callable[[str], str],
) -> None:
    """Hosts killed, PostgreSQL and Redis too, the store away: none lost or doubled, limits held over all."""
    from tests.factories import pack_small_model
    from tests.faults.front_chaos import PURSE, FrontChaos, Served

    pack_small_model(tmp_path / "model")
    with redis_server(require_program, tmp_path) as redis:
        served = Served(require_program("nginx"), tmp_path / "model", redis)
        chaos = FrontChaos(plan, tmp_path, object_store, database_cluster, database, served)
        report, told = chaos.run(), chaos.told
    print(
        f"\n{len(report.answered)} answered by {plan.workers} hosts behind nginx through {report.kills} kills"
        f" ({chaos.host_kills} of a whole host), {told.restarts} restarts of PostgreSQL, {chaos.redis_kills} of Redis,"
        f" {report.retries} retries, {report.replays} replays: {len(report.lost)} lost, {len(report.doubled)} doubled,"
        f" {len(told.unreadable)} unreadable; drained in {report.drained_s:.1f} s; purses {chaos.admitted}"
    )
    assert (report.kills, told.restarts, chaos.redis_kills) == (plan.kills, plan.restarts, 1)
    assert len(report.answered) == plan.requests
    assert (report.lost, report.doubled, report.wrong, report.wrong_replays) == ([], [], [], 0)
    assert not told.unreadable and sum(report.rows.values()) == len(report.answered)
    assert report.drained_s <= 30 and chaos.admitted == [PURSE, PURSE]


@pytest.mark.slow
@pytest.mark.parametrize(
    "plan",
    [
        Plan(
            requests=100, kills=0, duration_s=2.0, outage_s=0.0, lost_acknowledgements=0.0, cut_uploads=0.5, workers=1
        ),
        pytest.param(
            Plan(requests=5_000, kills=100, duration_s=120.0, outage_s=0.0, cut_uploads=0.3), marks=pytest.mark.full
        ),
    ],
    ids=["quick", "full"],
)
def test_cut_uploads_leave_no_half_objects(plan: Plan, object_store: ObjectStore, tmp_path: Path) -> None:
    """Uploads cut off half way, and uploaders killed: every object is whole, every row there once (R5)."""
    report = Chaos(plan, tmp_path, object_store, f"cut-{plan.requests}").run()
    assert (report.lost, report.doubled, report.wrong) == ([], [], [])


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_served_bento_keeps_its_word(object_store: ObjectStore, tmp_path: Path) -> None:
    """BentoML with two workers, one killed at a time or the whole tree, the store down: nothing lost or doubled."""
    from tests.factories import pack_small_model  # CatBoost and the whole service: seconds the quick forms need not pay
    from tests.faults.served_bento import ServedChaos

    pack_small_model(tmp_path / "model")
    plan = Plan(requests=1_000, kills=4, duration_s=60.0, outage_s=20.0)
    chaos = ServedChaos(plan, tmp_path, object_store, "chaos-served", tmp_path / "model")
    report = chaos.run()
    print(
        f"\n{len(report.answered)} answered through {report.kills} kills ({chaos.tree_kills} of the whole tree),"
        f" {report.retries} retries: {len(report.lost)} lost, {len(report.doubled)} doubled"
    )
    assert len(report.answered) == plan.requests + 1 and chaos.tree_kills > 0
    assert (report.lost, report.doubled, report.wrong, report.wrong_replays) == ([], [], [], 0)
