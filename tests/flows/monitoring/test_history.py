"""What staff pages read as today's state: the later window, and whether it is history gone through again."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from flows.monitoring.history import REPLAY_AFTER_DAYS, History, ModelInWindow, WindowVerdict, latest, moment_of
from flows.monitoring.verdict_types import DriftState

MADE_AT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def verdict(end: date, made_at: datetime = MADE_AT) -> WindowVerdict:
    """A green verdict of the week before `end`."""
    return WindowVerdict(
        state=DriftState.GREEN,
        window={"start": end - timedelta(days=7), "end": end},
        model=ModelInWindow(name="credit-score", version="1", digest="sha256:0"),
        rows=1,
        compared_rows=1,
        columns=[],
        checks=[],
        outcomes={},
        made_at=made_at,
    )


TODAY, LONG_AGO = verdict(date(2026, 11, 20)), verdict(date(2025, 10, 1), MADE_AT + timedelta(hours=1))


@pytest.mark.parametrize(
    ("known", "made", "shown"),
    [
        (None, LONG_AGO, LONG_AGO),
        (TODAY, LONG_AGO, TODAY),
        (LONG_AGO, TODAY, TODAY),
        (TODAY, TODAY.model_copy(update={"rows": 2}), TODAY.model_copy(update={"rows": 2})),
    ],
    ids=["first", "a replay after today", "today after a replay", "the same window again"],
)
def test_the_later_window_is_shown(known, made, shown):
    """Whichever was judged last: a replay of old months never stands as today's traffic."""
    assert latest(known, made) is shown or latest(known, made) == shown


@pytest.mark.parametrize(("days", "replay"), [(0, False), (REPLAY_AFTER_DAYS, False), (REPLAY_AFTER_DAYS + 1, True)])
def test_an_old_window_is_a_replay(days, replay):
    """Told by how long before its verdict it ended; the same after a round trip through the bucket, and in its line of
    the history."""
    made = verdict(MADE_AT.date() - timedelta(days=days))
    assert made.replay is replay
    assert WindowVerdict.model_validate_json(made.model_dump_json()).replay is replay
    history = History().with_moment(moment_of(made, retrained=False)).model_dump_json()
    assert json.loads(history)["moments"][0]["replay"] is replay and History.model_validate_json(history).moments


def test_versions_of_the_same_trees_have_verdicts_of_their_own():
    """A recalibrated version shares its digest with the version it comes from, and neither folder nor alert."""
    made = verdict(date(2026, 11, 20))
    other = made.model_copy(update={"model": made.model.model_copy(update={"version": "2"})})
    assert made.model.digest == other.model.digest
    assert made.identity != other.identity and made.folder != other.folder
