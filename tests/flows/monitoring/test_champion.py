"""An override that ends is told before and after, and shown as metrics."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from bentos.registry.decision import Decision
from flows.monitoring.champion import ChampionState, registry_of

LAST = date(2026, 12, 31)


def decision(**changes: object) -> Decision:
    """An approval in spite of a failed check, until the end of the year."""
    given = {
        "version": 3,
        "digest": "a" * 64,
        "verdict": "approve",
        "reviewer": "ana",
        "at": datetime(2026, 11, 1, tzinfo=UTC),
        "failed_checks": ("macro_f1",),
        "override_reason": "no other version",
        "override_expires": LAST,
        "second_reviewer": "rui",
    }
    return Decision.model_validate(given | changes)


@pytest.mark.parametrize(
    ("today", "said"),
    [
        pytest.param(date(2026, 12, 16), "", id="far"),
        pytest.param(date(2026, 12, 17), "ends on 2026-12-31", id="two weeks before"),
        pytest.param(LAST, "ends on 2026-12-31", id="its last day"),
        pytest.param(date(2027, 1, 1), "ended on 2026-12-31", id="the day after"),
    ],
)
def test_the_end_of_an_override_is_told(today: date, said: str) -> None:
    """From two weeks before on, and for good after it."""
    warning = ChampionState(3, LAST).warning(today)

    assert said in warning and bool(warning) is bool(said)


def test_without_an_override_there_is_nothing_to_tell() -> None:
    """A version that failed no check may answer as long as it is good."""
    assert not ChampionState(3).warning(date(2099, 1, 1))
    assert registry_of(ChampionState(3)).get_sample_value("qf_override_expires_timestamp_seconds") is None


def test_the_metric_ends_with_the_last_day() -> None:
    """Midnight after the last day, UTC; beside it the version that should answer."""
    registry = registry_of(ChampionState(3, LAST))

    ends = registry.get_sample_value("qf_override_expires_timestamp_seconds", {"version": "3"})
    assert ends == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert registry.get_sample_value("qf_champion_info", {"version": "3"}) == 1


@pytest.mark.parametrize(
    ("changes", "today", "ended"),
    [
        pytest.param({}, LAST, False, id="its last day counts"),
        pytest.param({}, date(2027, 1, 1), True, id="after it"),
        pytest.param({"failed_checks": ()}, date(2027, 1, 1), False, id="no check failed"),
        pytest.param({"verdict": "reject"}, date(2027, 1, 1), False, id="rejected"),
    ],
)
def test_an_override_counts_until_its_last_day(changes: dict[str, object], today: date, ended: bool) -> None:
    """The day itself included; an approval without an override never ends."""
    assert decision(**changes).ended(today) is ended
