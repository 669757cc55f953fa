"""Two hosts of the API on one database: whatever one was asked, the other knows; while it is away both say so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service import keys
from service.middleware.edge import Edge
from service.runtime import Runtime
from service.settings import ServiceSettings
from tests.api.client import Api, applicant
from tests.databases import Cluster

PATIENCE_S = 60


async def _nothing_inside(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("nothing may reach BentoML on the fast route")


@pytest.fixture(name="hosts")
def _hosts(database: str, model_dir: Path, runner: asyncio.Runner, tmp_path: Path) -> Iterator[list[Api]]:
    """Two hosts with folders of their own, one pepper, and one partner's key that was issued once."""
    found, started, key = [], [], ""
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        if found:
            (folder / "pepper").write_bytes((tmp_path / "first" / "pepper").read_bytes())
            (folder / "pepper").chmod(0o600)
        settings = ServiceSettings(
            model_dir=model_dir, service_dir=folder, database_url=database, access_log=False, key_reload_s=0.1
        )
        runtime = Runtime.open(settings)
        edge = Edge(_nothing_inside)
        runner.run(runtime.start(edge))
        started.append(runtime)
        if not found:
            key = keys.issue(folder, "acme", rate=1e5, burst=1_000_000, daily=10**9, database=database)
        found.append(Api(edge, runner, key))
    for api in found:
        until(runner, lambda api=api: api.get("/v1/model").status == 200)
    yield found
    for runtime in started:
        runner.run(runtime.stop())


def until(runner: asyncio.Runner, true: Callable[[], bool]) -> None:
    """Waits, and lets the hosts do their housekeeping meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it never came"
        runner.run(asyncio.sleep(0.05))


def test_what_one_host_was_asked_the_other_knows(hosts: list[Api], tmp_path: Path) -> None:
    """The answer byte for byte, its review and outcome, a repeated Idempotency-Key with the same or another body."""
    first, second = hosts
    answer = first.post("/v1/score", applicant(customer_ref="c-1"), headers={"idempotency-key": "k"})
    identifier = answer.json["prediction_id"]
    assert second.get(f"/v1/predictions/{identifier}").body == answer.body
    again = second.post("/v1/score", applicant(customer_ref="c-1"), headers={"idempotency-key": "k"})
    assert (again.status, again.body) == (200, answer.body) and again.headers["idempotent-replayed"] == "true"
    assert second.post("/v1/score", applicant(customer_ref="c-2"), headers={"idempotency-key": "k"}).status == 422
    batch = second.post("/v1/score/batch", {"applicants": [applicant(), applicant(num_bank_accounts=9)]}).json["scores"]
    assert [first.get(f"/v1/predictions/{one['prediction_id']}").json for one in batch] == batch
    review = second.post(f"/v1/predictions/{identifier}/review", {"verdict": "requested", "reviewer": "analyst-1"})
    told = {"prediction_id": identifier, "observed_class": "Good", "observed_at": datetime.now(UTC).date().isoformat()}
    assert (review.status, second.post("/v1/outcomes", told).status) == (201, 201)
    early = {**told, "observed_at": "2020-01-01"}
    assert second.post("/v1/outcomes", early).status == 422  # the row that the other host wrote tells the day
    assert not list(tmp_path.rglob("*.qfj"))


def test_a_job_of_one_host_is_any_hosts(hosts: list[Api], runner: asyncio.Runner) -> None:
    """Ordered at the first, run by whichever is free, read at both with the same results."""
    first, second = hosts
    order = {"applicants": [applicant(num_bank_accounts=place % 9) for place in range(450)]}
    path = first.post("/v1/jobs", order).headers["location"]
    assert second.get(path).status == 200
    until(runner, lambda: second.get(path).json["status"] == "done")
    found = second.get(path).json
    assert (found["done"], found["refused"]) == (450, 0) and first.get(path).json == found
    identifiers = {one["prediction_id"] for one in found["results"]}
    assert len(identifiers) == 450
    assert first.get(f"/v1/predictions/{max(identifiers)}").status == 200


def test_a_revoked_key_is_shut_out_of_both(
    hosts: list[Api], database: str, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """One command, wherever it is run."""
    (record,) = keys.key_records(tmp_path, database)
    keys.revoke(tmp_path / "second", record.id, database=database)
    for api in hosts:
        until(runner, lambda api=api: api.get("/v1/model").status == 401)


def test_while_the_database_is_away_both_refuse_and_come_back(
    hosts: list[Api], database_cluster: Cluster, runner: asyncio.Runner
) -> None:
    """503 in problem+json with Retry-After, unready, alive; then ready without anybody's help, and nothing was lost."""
    before = hosts[0].score()
    job = hosts[0].post("/v1/jobs", {"applicants": [applicant()]}).headers["location"]
    database_cluster.stop()
    try:
        for api in hosts:
            until(runner, lambda api=api: api.get("/readyz").status == 503)
            refused = api.post("/v1/score", applicant())
            assert refused.status == 503 and int(refused.headers["retry-after"]) >= 1
            assert refused.json["type"].startswith("http") or refused.json["title"]
            assert api.get(f"/v1/predictions/{before.json['prediction_id']}").status == 503
            assert [api.get(job).status, api.post("/v1/jobs", {"applicants": [applicant()]}).status] == [503, 503]
            assert api.get("/livez").status == 200
    finally:
        database_cluster.start()
    for api in hosts:
        until(runner, lambda api=api: api.get("/readyz").status == 200)
        assert api.post("/v1/score", applicant()).status == 200
        until(
            runner,
            lambda api=api: api.get(f"/v1/predictions/{before.json['prediction_id']}").body == before.body,
        )
        until(runner, lambda api=api: api.get(job).json.get("status") == "done")
