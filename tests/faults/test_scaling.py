"""Hosts come and go behind the shipped proxy while partners ask: nobody notices, and nothing is left behind."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from service.docs.examples import APPLICANT
from tests.conftest import ObjectStore
from tests.factories import pack_small_model
from tests.faults.chaos import client, rows_in
from tests.faults.front import Front
from tests.faults.hosts import drain, environment_of_hosts
from tests.faults.load import Load
from tests.faults.served_bento import kill_tree
from tests.redis_server import redis_server

HOSTS = 4
RATE = 100
STEADY_S = 5
BUCKET = "scaling"


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_one_host_to_four_and_back(
    object_store: ObjectStore,
    database: str,
    tmp_path: Path,
    require_program: Callable[[str], str],
) -> None:
    """100 requests a second from a client that repeats nothing: none fails, each host answers, every row is shipped."""
    client(object_store).create_bucket(Bucket=BUCKET)
    pack_small_model(tmp_path / "model")
    running: list[subprocess.Popen[bytes]] = []
    with redis_server(require_program, tmp_path) as redis, psycopg.connect(database, autocommit=True) as link:
        environment = {
            **environment_of_hosts(object_store, BUCKET, database, redis.url),
            "QF_MODEL_DIR": str(tmp_path / "model"),
        }
        front = Front(tmp_path, require_program("nginx"), HOSTS, environment)
        front.open()
        try:
            running.append(front.start(0))
            front.await_ready(0)
            with Load(front.port, front.trust, front.api_key, json.dumps(APPLICANT).encode(), rate=RATE) as load:
                for place in range(1, HOSTS):
                    running.append(front.start(place))
                    front.await_ready(place)
                time.sleep(STEADY_S)
                for place in reversed(range(1, HOSTS)):
                    front.leave(running[place])
                    time.sleep(STEADY_S)
            drain(database)
            runs = link.execute("SELECT count(DISTINCT run)::int FROM ledger.entry").fetchone()
        finally:
            for process in running:
                kill_tree(process)
            front.close()
    rows = [row["prediction_id"] for row in rows_in(object_store, BUCKET)]
    times = sorted(load.times)
    print(
        f"\n{load.statuses.total()} requests, failed {load.failed}, {len(rows)} rows of {runs} runs,"
        f" p99 {times[len(times) * 99 // 100]:.3f} s, slowest {times[-1]:.2f} s"
    )
    assert load.failed == {}
    assert runs == (HOSTS,)
    assert len(rows) == len(set(rows)) == load.statuses["200"]
