"""A large batch as orders: cut to what the API takes, followed, resumed without the file, refused rows kept apart."""

from __future__ import annotations

import httpx
import pytest

from service.contract import MAX_BATCH_ROWS, MAX_JOB_ROWS, Applicant
from tests.ui.batches.test_jobs import Clock, rows_of
from tests.ui.fake_api import FakeApi
from ui.api.client import Client
from ui.api.errors import KeyRejected, NoConnection, NotFound, OrderCancelled
from ui.api.limits import Limit
from ui.batches.jobs import BackgroundJob, JobStore, Order, UploadJob
from ui.batches.orders import OrderedJob, by_limits, cut
from ui.settings import UiSettings

ROWS = 2_500


def store_of(settings: UiSettings, rows: int) -> JobStore:
    """Ready for so many rows."""
    store = JobStore(settings.state / "batches" / "large")
    store.open(range(2, rows + 2))
    return store


def follow(job: BackgroundJob) -> BackgroundJob:
    """Started and waited for."""
    job.start()
    job.join(60)
    assert not job.progress().running
    return job


def test_ordered_once_and_fetched_in_order(api: FakeApi, settings: UiSettings) -> None:
    """One order, results by the thousand as they come, each at its row's place."""
    api.job_pace = 700
    rows, store = rows_of(ROWS), store_of(settings, ROWS)
    job = follow(OrderedJob("large", rows, store, Client(settings, api.transport()), Clock(api)))
    assert [method for method, *_ in api.requests].count("POST") == 1
    assert job.progress().done == job.progress().total == ROWS and job.progress().error is None
    direct = Client(settings, FakeApi().transport()).score_batch(rows[:MAX_BATCH_ROWS]).value
    answers = store.answers()
    assert [answers[place].score for place in range(MAX_BATCH_ROWS)] == [score.score for score in direct]


def test_sets_are_asked_for_to_the_end(api: FakeApi, settings: UiSettings) -> None:
    """What a batch was opened with holds for every result of it, also for those fetched without the file."""
    store = JobStore(settings.state / "batches" / "large")
    store.open(range(2, ROWS + 2), sets=True)
    api.job_pace, rows = 700, rows_of(ROWS)
    first = OrderedJob("large", rows, store, Client(settings, api.transport()), Clock(api))
    api.fail_after = 3
    follow(first)
    api.fail_after = None
    follow(OrderedJob("large", (), JobStore(store.folder), Client(settings, api.transport()), Clock(api)))
    answers = store.answers()
    assert len(answers) == ROWS and all(score.prediction_set for score in answers.values())


def test_followed_on_without_the_file(api: FakeApi, settings: UiSettings) -> None:
    """A server started anew knows the order by its id: nothing is ordered twice, nothing of an applicant is kept."""
    api.job_pace, rows, store = 600, rows_of(ROWS), store_of(settings, ROWS)

    def broken(request: httpx.Request) -> httpx.Response:
        if len(api.requests) >= 3:
            raise httpx.ConnectError("cut")
        return api.handle(request)

    stopped = follow(OrderedJob("large", rows, store, Client(settings, httpx.MockTransport(broken)), Clock(api)))
    assert isinstance(stopped.progress().error, NoConnection) and 0 < stopped.progress().done < ROWS
    job = follow(OrderedJob("large", (), JobStore(store.folder), Client(settings, api.transport()), Clock(api)))
    assert job.progress().done == ROWS and job.progress().error is None
    assert [method for method, *_ in api.requests].count("POST") == 1
    assert not any(b"outstanding_debt" in kept.read_bytes() for kept in store.folder.glob("orders*"))


def test_a_row_refused_by_the_api_is_no_score(api: FakeApi, settings: UiSettings) -> None:
    """It is told apart with its rule; the others have theirs."""
    api.refuse_debt, store = 7.0, store_of(settings, ROWS)
    follow(OrderedJob("large", rows_of(ROWS), store, Client(settings, api.transport()), Clock(api)))
    assert list(store.refused()) == [7] and store.refused()[7].errors[0]["code"] == "too-large"
    assert len(store.answers()) == ROWS - 1 and len(store.places()) == ROWS


@pytest.mark.parametrize(
    ("trouble", "kind"), [("failed", KeyRejected), ("cancelled", OrderCancelled), ("gone", NotFound)]
)
def test_an_order_that_ends_badly_says_so(api: FakeApi, settings: UiSettings, trouble: str, kind: type) -> None:
    """A key revoked meanwhile, an order that somebody cancelled, or one that is there no more."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return api.handle(request)
        if trouble == "gone":
            return httpx.Response(404, json={"status": 404})
        found = api.handle(request).json() | {"status": trouble, "done": 0, "results": []}
        return httpx.Response(200, json=found)

    store = store_of(settings, ROWS)
    job = follow(OrderedJob("large", rows_of(ROWS), store, Client(settings, httpx.MockTransport(answer)), Clock(api)))
    assert isinstance(job.progress().error, kind) and job.progress().done == 0


def test_an_order_is_never_made_twice_unseen(settings: UiSettings) -> None:
    """A connection that breaks during an order is tried once more under the same Idempotency-Key, then told."""
    asked = []

    def broken(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ReadError("cut")

    with pytest.raises(NoConnection):
        Client(settings, httpx.MockTransport(broken)).order(rows_of(2))
    assert len(asked) == 2 and len({one.headers["idempotency-key"] for one in asked}) == 1


def limit(remaining: float) -> Limit:
    """A limit with so much left."""
    return Limit("burst", remaining, 100_000, 60.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "limits", "begun", "kind"),
    [
        (1_000, (), "", UploadJob),
        (1_001, (), "", OrderedJob),
        (10_000, (limit(10_000), limit(50_000)), "", UploadJob),
        (10_000, (limit(9_999), limit(50_000)), "", OrderedJob),
        (10_001, (limit(50_000),), "", OrderedJob),
        (10_000, (limit(50_000),), "orders", OrderedJob),
        (10_000, (limit(5),), "parts", UploadJob),
    ],
)
def test_what_the_limits_let_through_at_once_is_not_ordered(
    settings: UiSettings, rows: int, limits: tuple[Limit, ...], begun: str, kind: type
) -> None:
    """What must wait is ordered, and what was begun one way goes on that way: nothing is paid for twice."""
    store = store_of(settings, rows)
    if begun == "orders":
        store.keep_orders([Order(0, rows, "job_1")])
    elif begun == "parts":
        api = FakeApi()
        follow(UploadJob("large", rows_of(3), store, Client(settings, api.transport()), Clock(api)))
    assert by_limits(rows, store, limits) is kind


def test_cut_by_rows() -> None:
    """No order has more rows than the API takes of one, and none is left out."""
    row = rows_of(1)
    many: list[Applicant] = row * (MAX_JOB_ROWS + 1)
    found = cut(many)
    assert found[0][0] == 0 and found[-1][1] == len(many)
    assert all(stop == start for (_, stop), (start, _) in zip(found, found[1:], strict=False))
    assert max(stop - start for start, stop in found) <= MAX_JOB_ROWS and len(found) == 2
