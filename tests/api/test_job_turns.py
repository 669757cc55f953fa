"""A job that goes wrong goes wrong alone, and what else its partner asks for does not stop it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from service.access.token_bucket import BURST, RateDecision
from service.jobs import runner
from service.runtime import Runtime
from tests.api.client import Api, applicant
from tests.api.ordered_jobs import PATIENCE_S, ended, none_under_way, ordered


def test_a_job_that_fails_holds_nobody_up(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw in one partner's job is met again and again; another's, behind it, is done."""
    none_under_way(api, runtime)
    rows = runtime.jobs.jobs.rows

    def breaks(record: Any) -> Any:
        if record.account == "job-fails":
            raise ValueError("nobody foresaw this")
        return rows(record)

    monkeypatch.setattr(runtime.jobs.jobs, "rows", breaks)
    failing, other_key = ordered(api, [applicant()], key=new_key("job-fails")), new_key("job-behind")
    other = ordered(api, [applicant()], key=other_key)
    assert ended(api, runtime, other, other_key).json["status"] == "done"
    assert not runtime.jobs.jobs.read(failing).ended
    assert runtime.jobs.jobs.cancel(failing).status == "cancelled"


def test_a_chunk_of_another_size_is_no_other_order(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key whose burst has changed since its job's rows were scored and not noted takes the job to its end."""
    none_under_way(api, runtime)
    key = new_key("job-changes", burst=5, rate=1e4)
    real, found, died = runtime.jobs.jobs.add_results, runtime.jobs.keys.holder, threading.Event()

    def dies(*_: Any) -> None:
        died.set()
        raise OSError("killed here")

    monkeypatch.setattr(runtime.jobs.jobs, "add_results", dies)
    job = ordered(api, [applicant()] * 12, key=key)
    deadline = time.monotonic() + PATIENCE_S
    while not died.is_set():
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    monkeypatch.setattr(runtime.jobs.jobs, "add_results", real)
    monkeypatch.setattr(runtime.jobs.keys, "holder", lambda *asked: replace(found(*asked), burst=4))
    assert ended(api, runtime, job, key).json["done"] == 12


def _not_run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])


def test_who_asks_how_far_a_job_is_spends_nothing(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job waits for the same tokens: asking, also with none left, and cancelling take none of them."""
    _not_run(runtime, monkeypatch)
    key = new_key("job-asks", rate=1e-6, burst=2, daily=10)
    job = ordered(api, [applicant()] * 2, key=key)
    for _ in range(5):
        answer = api.get(f"/v1/jobs/{job}", key=key)
        assert (answer.status, answer.json["status"], answer.limits) == (200, "queued", {"burst": 1, "daily": 9})
    assert api.score().status == 200
    assert api.get("/v1/model", key=key).limits["burst"] == 0
    assert api.get("/v1/model", key=key).status == 429
    assert api.get(f"/v1/jobs/{job}", key=key).status == 200
    assert api.request("POST", f"/v1/jobs/{job}/cancel", key=key).json["status"] == "cancelled"
    assert api.get(f"/v1/jobs/{job}", key=key).json["status"] == "cancelled"
    assert api.get(f"/v1/jobs/job_{'0' * 32}", key=key).status == 429  # what is not there is paid for


def test_results_before_the_end_leave_the_job_a_token(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told from the row that is asked for on, at a token, and never the last one; how far it is, at none."""
    _not_run(runtime, monkeypatch)
    key = new_key("job-reads", rate=1e-6, burst=4, daily=10)
    job = ordered(api, [applicant()] * 3, key=key)
    record, place = runtime.jobs.jobs.read(job), f"/v1/jobs/{job}"
    assert api.get(f"{place}?offset=0", key=key).json["results"] == []
    runtime.jobs.jobs.add_results(record, [b'{"errors":[]}'] * 2)
    asked = api.get(place, key=key).json
    assert (asked["done"], asked["results"], asked["next"]) == (2, [], f"{place}?offset=0")
    for left in (2, 1):
        answer = api.get(asked["next"], key=key)
        assert (len(answer.json["results"]), answer.json["next"]) == (2, f"{place}?offset=2")
        assert answer.limits["burst"] == left
    assert api.get(f"{place}?offset=2", key=key).json["results"] == []
    assert api.get(f"{place}?offset=1", key=key).status == 429
    runtime.jobs.jobs.finish(record, "done")
    assert len(api.get(place, key=key).json["results"]) == 2
    assert api.get(place, key=key).status == 429


class Contested:
    """A bucket that somebody else keeps so empty."""

    def __init__(self, most: int = 2) -> None:
        self.most, self.tokens, self.spent = most, most, 0

    async def take(self, _key: Any, cost: int) -> RateDecision:
        """One more token since the last time."""
        self.tokens = min(self.most, self.tokens + 1)
        allowed = cost <= self.tokens
        if allowed:
            self.tokens, self.spent = self.tokens - cost, self.spent + cost
        return RateDecision(allowed, None if allowed else BURST, self.tokens, 1, 10**6, 1, None if allowed else 1)


def test_a_job_is_paid_in_parts(api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bucket never holds a whole chunk, it is done all the same, and each row is paid once."""
    none_under_way(api, runtime)
    key, bucket = new_key("job-parts", burst=6), Contested()
    monkeypatch.setattr(runtime.jobs, "limiter", bucket)
    monkeypatch.setattr(runner, "_REST_S", 0.0)
    job = ordered(api, [applicant()] * 11, key=key)
    assert ended(api, runtime, job, key).json["done"] == 11
    assert bucket.spent == 11


def test_parts_of_what_is_cancelled_are_given_back(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last token; a key's other job holds none meanwhile."""
    none_under_way(api, runtime)
    key, bucket = new_key("job-gives-back", burst=6), Contested()
    monkeypatch.setattr(runtime.jobs, "limiter", bucket)
    monkeypatch.setattr(runner, "_REST_S", 3600.0)
    monkeypatch.setattr(runner, "LOOK_S", 3600.0)
    jobs = [ordered(api, [applicant()] * 11, key=key) for _ in range(2)]
    deadline = time.monotonic() + PATIENCE_S
    while not bucket.spent:
        assert time.monotonic() < deadline
        api.runner.run(runtime.jobs.look())
    api.runner.run(runtime.jobs.look())
    assert len(runtime.jobs._parts) == 1  # pylint: disable=protected-access  # what it holds is seen nowhere else
    for job in jobs:
        assert runtime.jobs.jobs.cancel(job).status == "cancelled"
    api.runner.run(runtime.jobs.look())
    assert bucket.spent == 0
    runtime.jobs.news.set()  # so that its own worker waits no hour


def test_a_chunk_is_no_larger_than_what_a_key_holds_in_a_day(
    api: Api, runtime: Runtime, new_key: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would wait for ever."""
    none_under_way(api, runtime)
    asked, bucket, key = list[int](), Contested(2000), new_key("job-few-a-day", burst=100, daily=5)

    async def take(one: Any, cost: int) -> RateDecision:
        asked.append(cost)
        return await bucket.take(one, cost)

    monkeypatch.setattr(runtime.jobs, "limiter", SimpleNamespace(take=take))
    assert ended(api, runtime, ordered(api, [applicant()] * 12, key=key), key).json["done"] == 12
    assert asked == [5, 5, 2]
