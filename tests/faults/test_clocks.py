"""Hosts whose clocks are an hour ahead and an hour behind, on one database with a host that is right."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Final

import psycopg
import pytest

from service import keys
from service.docs.examples import APPLICANT
from tests.conftest import ObjectStore
from tests.factories import pack_small_model
from tests.faults.chaos import client, rows_in
from tests.faults.clocks import ahead, wrong_clock
from tests.faults.front import Front
from tests.faults.hosts import drain, environment_of_hosts
from tests.faults.served_bento import kill_tree
from tests.redis_server import redis_server

AHEAD_S: Final = (3600, -3600, 0)
BUCKET: Final = "clocks"
ASKED: Final = 90
PURSE: Final = 20
PATIENCE_S: Final = 60
PAUSE_S: Final = 0.5  # or the hosts take who asks for one that guesses
BODY: Final = json.dumps(APPLICANT).encode()


@pytest.fixture(name="front")
def _front(
    object_store: ObjectStore, database: str, tmp_path: Path, require_program: Callable[[str], str]
) -> Iterator[Front]:
    """Three hosts that are ready, the first of them an hour ahead, the second an hour behind."""
    client(object_store).create_bucket(Bucket=BUCKET)
    pack_small_model(tmp_path / "model", rows=600, trees=10, compile_kernel=False)
    library, running = wrong_clock(tmp_path), []
    with redis_server(require_program, tmp_path) as redis:
        environment = {
            **environment_of_hosts(object_store, BUCKET, database, redis.url),
            "QF_MODEL_DIR": str(tmp_path / "model"),
        }
        made = Front(tmp_path, require_program("nginx"), len(AHEAD_S), environment)
        made.open()
        try:
            for place, seconds in enumerate(AHEAD_S):
                running.append(made.start(place, **ahead(library, seconds)))
                made.await_ready(place)  # so that one with a wrong clock is the first to ship
            yield made
        finally:
            for process in running:
                kill_tree(process)
            made.close()


def spent(front: Front) -> int:
    """How many requests of a key with `PURSE` tokens get in over all hosts, asked in turn."""
    key = front.issue("purse", PURSE)
    statuses: Counter[int] = Counter()
    for place in cycle(range(len(AHEAD_S))):
        status, _ = front.ask(place, "POST", "/v1/score", BODY, key)
        if status in (200, 429):  # a key that a host has not heard of yet is asked for again
            statuses[status] += 1
        if statuses.total() == 3 * PURSE:
            return statuses[200]
    raise AssertionError("a cycle does not end")


def await_word(front: Front, key: str, word: int) -> None:
    """Until every host says this to a key."""
    deadline = time.monotonic() + PATIENCE_S
    while {front.ask(place, "GET", "/v1/model", key=key)[0] for place in range(len(AHEAD_S))} != {word}:
        assert time.monotonic() < deadline, f"not every host says {word}"
        time.sleep(PAUSE_S)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hosts_whose_clocks_are_an_hour_apart_lose_nothing(
    front: Front, object_store: ObjectStore, database: str
) -> None:
    """A key has one answer, each host reads the others', limits and lives of keys hold over all, and all is shipped."""
    places = range(len(AHEAD_S))
    answers: dict[str, str] = {}
    created: dict[int, datetime] = {}
    for number in range(ASKED):
        key = f"key-{number}"
        told = [
            front.ask((number + turn) % len(AHEAD_S), "POST", "/v1/score", BODY, idempotency_key=key) for turn in places
        ]
        assert told[0][0] == 200 and told[1:] == told[:1] * 2
        answer = json.loads(told[0][1])
        answers[answer["prediction_id"]] = key
        created[number % len(AHEAD_S)] = datetime.fromisoformat(answer["created_at"])
    assert created[0] - created[1] > timedelta(hours=1.9), "the clocks are right"
    assert len(answers) == ASKED
    for identifier in answers:
        assert {front.ask(place, "GET", f"/v1/predictions/{identifier}")[0] for place in places} == {200}
    for number, identifier in enumerate(answers):
        outcome = {
            "prediction_id": identifier,
            "observed_class": "Good",
            "observed_at": f"{datetime.now(UTC):%Y-%m-%d}",
        }
        status, _ = front.ask((number + 1) % len(AHEAD_S), "POST", "/v1/outcomes", json.dumps(outcome).encode())
        assert status == 201
    assert spent(front) == PURSE
    key = keys.issue(front.folders[0], "newcomer", database=database)
    await_word(front, key, 200)
    keys.expire(front.folders[0], key[8:16], datetime.now(UTC), database=database)
    await_word(front, key, 401)
    drain(database)
    with psycopg.connect(database) as link:
        days = link.execute("SELECT DISTINCT day FROM ledger.entry").fetchall()
    rows = [row for row in rows_in(object_store, BUCKET) if "score" in row]
    outcomes = [row for row in rows_in(object_store, BUCKET) if "observed_class" in row]
    print(f"\n{len(rows)} rows and {len(outcomes)} outcomes of {ASKED} answers of three hosts, days {days}")
    assert Counter(row["prediction_id"] for row in rows) == Counter(list(answers))
    assert Counter(row["prediction_id"] for row in outcomes) == Counter(list(answers))
    assert {identifier[:8] for identifier in answers} <= {f"{day:%Y%m%d}" for (day,) in days}
