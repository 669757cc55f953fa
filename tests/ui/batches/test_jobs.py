"""A batch in parts: paced, retried, kept, resumed; and nothing of an applicant on disk."""

from __future__ import annotations

import os
import stat
import time

import httpx
import pytest

from service.contract import Applicant
from tests.ui.fake_api import FakeApi
from ui.api.client import Client
from ui.api.errors import KeyRejected, Unavailable, Unexpected
from ui.applicant.examples import EXAMPLES
from ui.batches.jobs import KEEP_DAYS, JobStore, UploadJob, digest_of, with_sets
from ui.settings import UiSettings


def rows_of(count: int) -> list[Applicant]:
    """Applicants that differ in one value, so that a mix-up shows."""
    base = EXAMPLES["ordinary"].model_dump()
    return [Applicant.model_validate({**base, "outstanding_debt": float(place)}) for place in range(count)]


class Clock:
    """A wait that takes no time and fills the API's bucket."""

    def __init__(self, api: FakeApi, rate: float = 100.0) -> None:
        self.api, self.rate, self.waits = api, rate, list[float]()

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.api.tokens = min(self.api.quota, self.api.tokens + seconds * self.rate)


def job_of(rows: list[Applicant], api: FakeApi, settings: UiSettings, clock: Clock) -> UploadJob:
    """A job ready to start."""
    digest = digest_of(rows, "mark")
    store = JobStore(settings.state / "batches" / digest)
    store.open(range(2, len(rows) + 2))
    return UploadJob(digest, rows, store, Client(settings, api.transport()), clock)


def run(job: UploadJob) -> UploadJob:
    """Started and waited for."""
    job.start()
    job.join(60)
    assert not job.progress().running
    return job


def sent(api: FakeApi) -> list[int]:
    """Rows of each request."""
    return [len(body["applicants"]) for _, _, body, _ in api.requests]


def test_all_rows_in_order(api: FakeApi, settings: UiSettings) -> None:
    """Small first part, then as large as the API takes; each answer at its row's place."""
    rows = rows_of(2_500)
    job = run(job_of(rows, api, settings, Clock(api)))
    assert sent(api) == [100, 1000, 1000, 400]
    answers = JobStore(settings.state / "batches" / job.digest).answers()
    direct = Client(settings, FakeApi().transport()).score_batch(rows[:1000]).value
    assert [answers[place].score for place in range(1000)] == [score.score for score in direct]
    assert job.progress().done == job.progress().total == 2_500


@pytest.mark.parametrize("sets", [False, True])
def test_sets_come_where_they_are_asked_for(api: FakeApi, settings: UiSettings, sets: bool) -> None:
    """A batch opened with sets tells them of every row; its name is another than the same rows' without."""
    rows = rows_of(150)
    digest = with_sets(digest_of(rows, "mark")) if sets else digest_of(rows, "mark")
    store = JobStore(settings.state / "batches" / digest)
    store.open(range(2, 152), sets=sets)
    run(UploadJob(digest, rows, store, Client(settings, api.transport()), Clock(api)))
    assert [bool(score.prediction_set) for score in store.answers().values()] == [sets] * 150
    assert len(digest) == 64 and with_sets(digest) != digest


def test_known_limits_need_no_small_part(api: FakeApi, settings: UiSettings) -> None:
    """Whoever has asked what the key may do sends whole parts from the first one on."""
    rows, client = rows_of(1_500), Client(settings, api.transport())
    store = JobStore(settings.state / "batches" / "known")
    store.open(range(2, 1_502))
    run(UploadJob("known", rows, store, client, Clock(api), limits=client.model().limits))
    assert [len(body["applicants"]) for _, path, body, _ in api.requests if path != "/v1/model"] == [1000, 500]


def test_the_key_is_paced(settings: UiSettings) -> None:
    """No part is larger than the burst, and the bucket is waited for, not run into."""
    api = FakeApi(quota=50, tokens=50)
    clock = Clock(api, rate=5)
    job = run(job_of(rows_of(200), api, settings, clock))
    accepted = [size for size in sent(api) if size <= 50]
    assert sum(accepted) == 200 and len(api.requests) == len(accepted) + 1
    assert job.progress().done == 200 and sum(clock.waits) >= 29


def test_a_failed_part_is_tried_again(api: FakeApi, settings: UiSettings) -> None:
    """Trouble that passes costs time, no rows; the same token is sent again."""

    class Flaky(Clock):
        """The service comes back while we wait."""

        def __call__(self, seconds: float) -> None:
            super().__call__(seconds)
            if len(self.waits) == 2:
                api.fail = 0

    api.fail = 503
    job = run(job_of(rows_of(10), api, settings, Flaky(api)))
    assert job.progress().done == 10 and len(api.requests) == 3
    assert len({headers["idempotency-key"] for *_, headers in api.requests}) == 1


def test_trouble_that_stays_stops_it_and_it_goes_on(api: FakeApi, settings: UiSettings) -> None:
    """After some tries it stops with the error and what is done; started again it sends only the rest."""
    api.fail_after = 1
    job = run(job_of(rows_of(300), api, settings, Clock(api)))
    assert isinstance(job.progress().error, Unavailable) and job.progress().done == 100
    api.fail_after = None
    api.requests.clear()
    run(job)
    assert job.progress().error is None and sum(sent(api)) == 200


def test_a_revoked_key_stops_it_at_once(api: FakeApi, settings: UiSettings) -> None:
    """What does not pass by itself is not tried again."""
    api.fail = 401
    job = run(job_of(rows_of(5), api, settings, Clock(api)))
    assert isinstance(job.progress().error, KeyRejected) and len(api.requests) == 1


def test_nothing_scored_is_lost(api: FakeApi, settings: UiSettings) -> None:
    """A new server process finds what an earlier one was told, and asks for nothing twice."""
    rows = rows_of(250)
    api.fail_after = 1
    run(job_of(rows, api, settings, Clock(api)))
    later = FakeApi()
    job = run(job_of(rows, later, settings, Clock(later)))
    assert job.progress().done == 250 and sum(sent(later)) == 150


def test_what_is_kept(api: FakeApi, settings: UiSettings) -> None:
    """Answers and row numbers, for us alone; no value of an applicant."""
    rows = [
        Applicant.model_validate(
            {**EXAMPLES["ordinary"].model_dump(), "annual_income": 43_210.55, "customer_ref": "REF77"}
        )
    ]
    run(job_of(rows, api, settings, Clock(api)))
    files = [path for path in (settings.state / "batches").rglob("*") if path.is_file()]
    content = "".join(path.read_text() for path in files)
    assert "43210" not in content and "REF77" not in content and '"score"' in content
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_answers_missing(settings: UiSettings) -> None:
    """A part with fewer answers than rows stops the job: no answer is ever matched to a wrong row."""
    rows = rows_of(3)
    store = JobStore(settings.state / "batches" / "short")
    store.open([2, 3, 4])
    one = httpx.MockTransport(lambda request: httpx.Response(200, json={"scores": [{"prediction_id": "p"}]}))
    job = run(UploadJob("short", rows, store, Client(settings, one)))
    assert isinstance(job.progress().error, Unexpected) and not store.answers()


def test_an_answer_that_is_no_score(settings: UiSettings) -> None:
    """Kept answers are read as the contract says, or refused as `Unexpected`, never shown half."""
    store = JobStore(settings.state / "batches" / "odd")
    store.open([2])
    store.keep(0, b'{"scores": [{"prediction_id": "p"}]}')
    with pytest.raises(Unexpected):
        store.answers()


def test_old_batches_go(api: FakeApi, settings: UiSettings) -> None:
    """What is older than a week is dropped when the next batch begins."""
    old = settings.state / "batches" / ("0" * 64)
    old.mkdir(parents=True)
    past = time.time() - (KEEP_DAYS + 1) * 86_400
    os.utime(old, (past, past))
    job_of(rows_of(1), api, settings, Clock(api))
    assert not old.exists()


def test_two_partners_never_share() -> None:
    """The same rows under another key are another batch."""
    rows = rows_of(2)
    assert digest_of(rows, "one") != digest_of(rows, "other")
    assert digest_of(rows, "one") == digest_of(rows_of(2), "one") != digest_of(rows[:1], "one")


def test_remaining_time(settings: UiSettings) -> None:
    """The estimate is never faster than the limits allow."""
    api = FakeApi(quota=50, tokens=50)
    rows = rows_of(500)

    def handle(request: httpx.Request) -> httpx.Response:
        api.fail = 401 if len(api.requests) > 1 else 0
        return api.handle(request)

    store = JobStore(settings.state / "batches" / "one")
    store.open(range(2, 502))
    job = UploadJob("one", rows, store, Client(settings, httpx.MockTransport(handle)), Clock(api, 5))
    assert job.progress().remaining_s == 0
    run(job)
    assert job.progress().done == 50
    assert job.progress().remaining_s == pytest.approx(450 / 5, rel=0.05)
