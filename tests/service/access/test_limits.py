"""The limiter: exact over time, threads, processes and both stores, whatever the clocks do."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from bentos.processes import free_port
from service.access.keystore import PARTNER_SCOPES, ApiKey
from service.access.limit_headers import limit_headers
from service.access.redis_limits import RemoteLimiter
from service.access.shared_limits import FailureLimiter, SharedLimiter, SharedTable
from service.access.token_bucket import DAY_S, BucketState, Limiter, Policy, take
from tests.redis_server import redis_server

KEY = ApiKey("limitkey", "acme", frozenset(PARTNER_SCOPES), rate=10.0, burst=20, daily=1_000_000)
NOON = 20_000 * DAY_S + DAY_S / 2


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture(scope="session")
def redis_port(require_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Debian's redis-server on a free port."""
    with redis_server(require_program, tmp_path_factory.mktemp("redis")) as server:
        yield server.port


@pytest.fixture(params=["shared memory", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Limiter, Clock, Clock, asyncio.Runner]]:
    """A limiter with clocks in our hand, once for each store."""
    now, wall = Clock(1000.0), Clock(NOON)
    with asyncio.Runner() as runner:
        here = SharedLimiter(SharedTable(tmp_path / "limits.bin"), clock=now, wall=wall)
        if request.param == "shared memory":
            yield here, now, wall, runner
            return
        redis: Redis = Redis.from_url(f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}")
        runner.run(redis.flushall())
        yield RemoteLimiter(redis, here, clock=now, wall=wall), now, wall, runner
        runner.run(redis.aclose())


def test_six_hundred_and_twenty_of_six_thousand(world: Any) -> None:
    """Rate 10, burst 20, 100 requests a second for a minute: 620 admitted, give or take one."""
    limiter, now, _, runner = world

    async def minute() -> int:
        admitted = 0
        for step in range(6000):
            now.at = 1000.0 + step / 100
            admitted += (await limiter.take(KEY, 1)).allowed
        return admitted

    assert abs(runner.run(minute()) - 620) <= 1


def test_retry_after_is_obeyed_and_admitted(world: Any) -> None:
    """Who waits as long as he is told gets in, for every cost that fits the burst."""
    limiter, now, _, runner = world
    for cost in (1, 7, 20):
        runner.run(limiter.take(KEY, 20))
        while (refused := runner.run(limiter.take(KEY, cost))).allowed:
            pass
        now.at += refused.retry_after_s - 0.999
        now.at += 0.999
        assert runner.run(limiter.take(KEY, cost)).allowed


def test_all_or_nothing(world: Any) -> None:
    """A refused batch takes no token; one larger than the burst can never be admitted and says so."""
    limiter, _, _, runner = world
    assert runner.run(limiter.take(KEY, 15)).remaining == 5
    assert not runner.run(limiter.take(KEY, 6)).allowed
    assert runner.run(limiter.take(KEY, 5)).remaining == 0
    assert runner.run(limiter.take(KEY, 21)).retry_after_s is None


def test_asking_takes_nothing_and_giving_back_gives(world: Any) -> None:
    """Cost 0 is a question, a negative cost a refund that never overfills."""
    limiter, _, _, runner = world
    assert runner.run(limiter.take(KEY, 0)).remaining == 20
    assert runner.run(limiter.take(KEY, 20)).remaining == 0
    assert not runner.run(limiter.take(KEY, 0)).allowed
    assert runner.run(limiter.take(KEY, -3)).remaining == 3
    assert runner.run(limiter.take(KEY, -50)).remaining == 20


def test_the_quota_ends_with_the_utc_day(world: Any) -> None:
    """Used up until midnight, and then new; the refusal names the time left."""
    limiter, _, wall, runner = world
    key = replace(KEY, daily=3)
    assert [runner.run(limiter.take(key, 1)).allowed for _ in range(4)] == [True] * 3 + [False]
    refused = runner.run(limiter.take(key, 1))
    assert (refused.violated, refused.retry_after_s) == ("daily", DAY_S // 2)
    wall.at += DAY_S / 2
    assert runner.run(limiter.take(key, 1)).daily_remaining == 2


@pytest.mark.parametrize("jump_s", [-3600, 3600, -1, 1, 5 * 3600], ids=["-1h", "+1h", "leap-", "leap+", "+5h"])
def test_the_wall_clock_moves_no_tokens(world: Any, jump_s: int) -> None:
    """Daylight saving, leap seconds and a clock set back change neither bucket nor quota."""
    limiter, _, wall, runner = world
    before = runner.run(limiter.take(KEY, 5))
    wall.at += jump_s
    after = runner.run(limiter.take(KEY, 0))
    assert (after.remaining, after.daily_remaining) == (before.remaining, before.daily_remaining)


def test_a_clock_set_back_over_midnight_gives_no_second_quota(world: Any) -> None:
    """The later day counts; only a clock that was wrong by more than a day starts anew."""
    limiter, _, wall, runner = world
    key = replace(KEY, daily=2)
    wall.at = NOON + DAY_S / 2 + 60
    runner.run(limiter.take(key, 2))
    wall.at -= 3600
    assert not runner.run(limiter.take(key, 1)).allowed
    wall.at -= 9 * DAY_S
    assert runner.run(limiter.take(key, 1)).allowed


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 25)), max_size=200))
@settings(max_examples=200, deadline=None)
def test_never_more_than_burst_and_rate_allow(steps: list[tuple[float, int]]) -> None:
    """Over any time, admitted tokens are at most the burst and what the rate brought."""
    policy, state, now, spent = Policy(10.0, 20, 10**9), BucketState(20.0, 0.0, 0, 0), 0.0, 0
    for wait, cost in steps:
        now += wait
        if take(state, policy, cost, now, NOON).allowed:
            spent += cost
        assert spent <= 20 + 10 * now + 1e-6
        assert -1e-9 <= state.tokens <= 20


def test_stamps_that_arrive_late_bring_nothing() -> None:
    """Workers whose stamps are 50 ms apart and come out of turn admit what one clock would."""
    policy, state, admitted = Policy(10.0, 1, 10**9), BucketState(1.0, 0.0, 0, 0), 0
    for step in range(1000):
        for late in (0.0, 0.05):
            admitted += take(state, policy, 1, max(0.0, step / 1000 - late), NOON).allowed
    assert admitted <= 11


def test_sixty_four_threads_take_no_token_twice(tmp_path: Path) -> None:
    """10,000 takes of 64 threads on 5,000 tokens admit 5,000."""
    table, policy, admitted = SharedTable(tmp_path / "limits.bin"), Policy(1e-9, 5000, 10**9), []

    def work() -> None:
        for _ in range(157):
            if table.take(b"onebucket"[:8], policy, 1, Clock(1.0), Clock(NOON)).allowed:
                admitted.append(1)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 5000


def _take_many(path: Path, count: int, told: Any) -> None:
    table = SharedTable(path)
    told.put(
        sum(
            table.take(b"together", Policy(1e-9, 1500, 10**9), 1, Clock(1.0), Clock(NOON)).allowed for _ in range(count)
        )
    )


def _press(path: Path, seconds: float, told: Any) -> None:
    table, key = SharedTable(path), replace(KEY, rate=200.0, burst=50)
    limiter, admitted = SharedLimiter(table), 0
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        admitted += asyncio.run(limiter.take(key, 1)).allowed
    told.put((admitted, begun, time.monotonic()))


def test_two_processes_that_press_get_the_rate_and_no_more(tmp_path: Path) -> None:
    """Over the time they really ask, two processes are admitted the burst and what the rate brought, to the token."""
    spawn = multiprocessing.get_context("spawn")
    told, path = spawn.Queue(), tmp_path / "limits.bin"
    workers = [spawn.Process(target=_press, args=(path, 2.0, told)) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [told.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    wall = max(end for *_, end in found) - min(begun for _, begun, _ in found)
    assert sum(admitted for admitted, *_ in found) <= 50 + 200 * wall


def test_a_table_has_every_block_it_maps(tmp_path: Path) -> None:
    """No hole is left for a full disk to turn into SIGBUS, in a new file or in one made sparse before."""
    path = tmp_path / "limits.bin"
    SharedTable(path).close()
    size = path.stat().st_size
    assert path.stat().st_blocks * 512 >= size
    os.truncate(path, 4096)
    os.truncate(path, size)
    SharedTable(path).close()
    assert path.stat().st_blocks * 512 >= size


def test_four_processes_share_one_bucket(tmp_path: Path) -> None:
    """4 x 1,000 takes of four processes on 1,500 tokens admit 1,500, and the count outlives them."""
    spawn = multiprocessing.get_context("spawn")
    told, path = spawn.Queue(), tmp_path / "limits.bin"
    workers = [spawn.Process(target=_take_many, args=(path, 1000, told)) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert sum(told.get(timeout=60) for _ in workers) == 1500
    for worker in workers:
        worker.join()
    assert not SharedTable(path).take(b"together", Policy(1e-9, 1500, 10**9), 1, Clock(1.0), Clock(NOON)).allowed


def test_a_reboot_keeps_counts_and_gives_no_gift(tmp_path: Path) -> None:
    """The monotonic clock starts anew after a reboot: tokens stay as they were and refill from there."""
    now, wall, policy = Clock(500_000.0), Clock(NOON), Policy(10.0, 20, 100)
    table = SharedTable(tmp_path / "limits.bin", clock=now, boot="before")
    table.take(b"rebooted", policy, 20, now, wall)
    table.close()
    now.at = 3.0
    again = SharedTable(tmp_path / "limits.bin", clock=now, boot="after")
    assert not again.take(b"rebooted", policy, 1, now, wall).allowed
    now.at = 4.0
    decision = again.take(b"rebooted", policy, 10, now, wall)
    assert (decision.allowed, decision.daily_remaining) == (True, 70)


def test_a_full_table_forgets_the_quietest(tmp_path: Path) -> None:
    """More names than slots neither fail nor touch a name in use."""
    table, policy = SharedTable(tmp_path / "few.bin", slots=32), Policy(0.001, 5, 100)
    table.take(b"favorite", policy, 5, Clock(0.0), Clock(NOON))
    for number in range(500):
        table.take(f"n{number:07}".encode(), policy, 1, Clock(1.0 + number), Clock(NOON))
        assert not table.take(b"favorite", policy, 1, Clock(1.0 + number), Clock(NOON)).allowed


def test_redis_away_means_limits_per_host(tmp_path: Path) -> None:
    """The burst is still held, and the failure counted; nobody is refused for it."""
    failures: list[str] = []
    now = Clock(1.0)
    here = SharedLimiter(SharedTable(tmp_path / "limits.bin"), clock=now, wall=Clock(NOON))
    redis: Redis = Redis.from_url(f"redis://127.0.0.1:{free_port()}", socket_connect_timeout=0.2)
    limiter = RemoteLimiter(redis, here, on_failure=failures.append)

    async def many() -> list[bool]:
        found = [(await limiter.take(KEY, 1)).allowed for _ in range(25)]
        await redis.aclose()
        return found

    assert asyncio.run(many()) == [True] * 20 + [False] * 5
    assert len(failures) == 25


def test_addresses_are_throttled_by_network(tmp_path: Path) -> None:
    """Twenty failures a minute; an IPv6 customer's /64 counts as one, another address not at all."""
    now = Clock(1.0)
    limiter = FailureLimiter(SharedTable(tmp_path / "failures.bin"), per_minute=20, clock=now, wall=Clock(NOON))
    spread = [limiter.failed(f"2001:db8:1:2::{number:x}").allowed for number in range(40)]
    assert spread == [True] * 20 + [False] * 20
    assert limiter.failed("2001:db8:1:3::1").allowed
    assert limiter.failed("203.0.113.7").allowed
    now.at += 60
    assert limiter.failed("2001:db8:1:2::1").allowed


def test_the_fields_say_what_the_decision_says(tmp_path: Path) -> None:
    """Structured fields of the draft, and Retry-After where waiting helps."""
    limiter = SharedLimiter(SharedTable(tmp_path / "limits.bin"), clock=Clock(1.0), wall=Clock(NOON))
    decision = asyncio.run(limiter.take(replace(KEY, daily=100), 13))
    fields = dict(limit_headers(replace(KEY, daily=100), decision))
    assert fields[b"ratelimit-policy"] == b'"burst";q=20;w=2, "daily";q=100;w=86400'
    assert fields[b"ratelimit"] == b'"burst";r=7;t=2, "daily";r=87;t=43200'
    refused = asyncio.run(limiter.take(replace(KEY, daily=100), 20))
    assert dict(limit_headers(KEY, refused))[b"retry-after"] == b"2"
