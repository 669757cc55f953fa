"""An hour at 2,000 predictions a second: appending, shipping and dropping go on side by side, and nothing piles up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.ledger.bucket import StoreSettings
from tests.conftest import ObjectStore
from tests.databases import Cluster, cluster
from tests.faults.chaos import client, rows_in
from tests.service.ledger.postgres.hour import DAYS, HOSTS, SEGMENTS_A_DAY, Hour, Plan, Told

# More keys than go with one statement.
QUICK = Plan(rate=300, seconds=4.0, midnight_s=1.5, rows_before=60_000, segments_a_day=2, ship_interval_s=0.4)
MINUTES = 8
RATE = 2_000
FULL = Plan(
    rate=RATE,
    seconds=60.0 * MINUTES,
    midnight_s=60.0 * (MINUTES - 3),
    rows_before=RATE * 60 * (60 - MINUTES),
    segments_a_day=SEGMENTS_A_DAY,
    ship_interval_s=30.0,
)
WINDOW_S = 30
PEAK = 1.5
LONGEST_APPEND_S = 3.0
"""The `lock_timeout` of a session: nobody waits longer for a day that is dropped."""


def lived(plan: Plan, running: Cluster, store: ObjectStore, bucket: str) -> Told:
    """A plan's hour, all of whose rows are in the bucket once; the oldest day is gone, and with it what was too old."""
    client(store).create_bucket(Bucket=bucket)
    hour = Hour(plan, running, StoreSettings(bucket, store.endpoint, store.access_key, store.secret_key))
    hour.fill()
    told = hour.run()
    rows = [row["prediction_id"] for row in rows_in(store, bucket)]
    assert len(rows) == plan.rows and sorted(rows) == sorted(told.places)
    tomorrow = hour.today + timedelta(days=1)
    assert told.days == [tomorrow - timedelta(days=back) for back in reversed(range(DAYS + 1))]
    assert len({place.partition("-")[0] for place in rows}) == 2, "no midnight was crossed"
    assert told.keys_gone_s
    return told


def quantile(times: list[float], share: float) -> float:
    """Of times in seconds, in milliseconds."""
    return 1e3 * sorted(times)[min(len(times) - 1, int(len(times) * share))]


@pytest.mark.slow
def test_an_hour_in_small(object_store: ObjectStore, database_cluster: Cluster) -> None:
    """Over midnight every row is shipped once, the oldest day and the oldest keys go, and no append is refused."""
    lived(QUICK, database_cluster, object_store, "hour-quick")


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_hour_at_two_thousand_a_second(object_store: ObjectStore) -> None:
    """What waits for the bucket does not grow, and no append waits longer for a day that goes than the promise."""
    with cluster(synced=True) as running:
        told = lived(FULL, running, object_store, "hour-full")
    peaks = []
    for start in range(0, int(FULL.seconds), WINDOW_S):
        times = [one.took_s for one in told.appends if start <= one.at_s < start + WINDOW_S]
        peaks.append(max(one.rows for one in told.waiting if start <= one.at_s < start + WINDOW_S))
        print(
            f"\n{start + WINDOW_S:4} s: {len(times)} appended, p50 {quantile(times, 0.5):.1f} ms, p99"
            f" {quantile(times, 0.99):.1f} ms, longest {quantile(times, 1):.0f} ms; at most {peaks[-1]} rows wait",
            end="",
        )
    since, until = told.tidied
    beside = [one.took_s for one in told.appends if since - LONGEST_APPEND_S <= one.at_s <= until]
    print(
        f"\n{len(told.appends)} rows by {HOSTS} hosts onto {FULL.rows_before}, all shipped {told.closed_s:.1f} s after"
        f" the last; {FULL.rows_before} keys gone after {told.keys_gone_s:.0f} s; a day of {FULL.rows_before} rows"
        f" dropped in {until - since:.2f} s, the longest append beside {max(beside):.3f} s"
    )
    third = len(peaks) // 3
    assert max(peaks[-third:]) <= PEAK * max(peaks[:third]), "what waits grows"
    assert max(beside) <= LONGEST_APPEND_S
