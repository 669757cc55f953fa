"""A few rows while the visitor waits: cut to the limits, patient for seconds, not for hours."""

from __future__ import annotations

import pytest

from tests.ui.fake_api import FakeApi
from ui.api.client import Client
from ui.api.errors import LimitReached
from ui.api.pace import score_some
from ui.applicant.examples import EXAMPLES
from ui.settings import UiSettings

ROWS = [EXAMPLES["ordinary"]] * 30


def test_in_parts_the_limits_allow(settings: UiSettings) -> None:
    """A key whose burst is small still gets all its rows, after short waits."""
    api = FakeApi(quota=20, tokens=20)

    def wait(seconds: float) -> None:
        api.tokens = min(20, api.tokens + seconds * 2)

    reply = score_some(Client(settings, api.transport()), ROWS, (), wait)
    assert [score.score for score in reply.value] == [672] * 30


@pytest.mark.parametrize("retry_after_s", [3600, 2], ids=["told to wait an hour", "told again and again"])
def test_not_forever(settings: UiSettings, retry_after_s: int) -> None:
    """A long wait is the visitor's decision: the error says how long."""
    api = FakeApi(fail=429, retry_after_s=retry_after_s, quota=100)
    with pytest.raises(LimitReached):
        score_some(Client(settings, api.transport()), ROWS, (), lambda seconds: None)
    assert len(api.requests) < 12
