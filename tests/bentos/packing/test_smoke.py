"""The smoke test passes what answers right, and names the first thing that does not."""

from __future__ import annotations

import pytest

from bentos.errors import SmokeFailed
from bentos.packing.golden_requests import GoldenRequests
from bentos.packing.smoke import Identity, prove
from tests.bentos.fake_service import IDENTITY, KEY, Behaviour, answering

KNOWN = GoldenRequests(body={"num_loans": 5, "previous_classes": [{"observed_class": "Good"}]}, score=500)
GOLDEN = (*(GoldenRequests(body={"num_loans": loans}, score=loans * 100) for loans in range(4)), KNOWN)
WANTED = Identity(version=IDENTITY["version"], digest=IDENTITY["digest"])


def test_a_right_service_is_proved() -> None:
    """The report says what was asked and how fast it was answered."""
    with answering(Behaviour()) as url:
        report = prove(url, KEY, WANTED, GOLDEN, requests=12)

    assert (report.golden, report.requests, report.contract) == (5, 12, 7)
    assert 0 < report.p50_ms <= report.p99_ms
    assert report.engine == "portable"


def test_a_fresh_key_is_waited_for() -> None:
    """A running service learns of a new key within seconds: until then its 401 is no verdict."""
    behaviour = Behaviour()
    behaviour.unknown_for = 2
    with answering(behaviour) as url:
        report = prove(url, KEY, WANTED, GOLDEN, requests=2)

    assert report.requests == 2 and behaviour.unknown_for == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param(
            {"manifest": IDENTITY | {"version": "2"}}, "holds version 2, version 3 was approved", id="version"
        ),
        pytest.param({"manifest": IDENTITY | {"digest": "b" * 64}}, "holds version 3", id="digest"),
        pytest.param({"manifest_status": 503}, "GET /v1/model answers 503", id="no-manifest"),
        pytest.param({"unauthorized": 200}, "POST /v1/score answers 200", id="open-door"),
        pytest.param({"problem_type": "text/plain"}, "answers 401 text/plain", id="no-problem-details"),
        pytest.param({"offset": 1}, "scores 1, the approved model gave 0", id="other-score"),
        pytest.param({"known_offset": 1}, "scores 501, the approved model gave 500", id="other-score-of-the-known"),
        pytest.param({"batch_offset": 1}, "a batch scores other", id="other-batch"),
        pytest.param({"batch_status": 500}, "POST /v1/score/batch answers 500", id="no-batch"),
        pytest.param({"score_status": 503}, "answers 503 to a golden applicant", id="no-score"),
        pytest.param({"model": IDENTITY | {"digest": "b" * 64}}, "names another model", id="other-model"),
        pytest.param({"drop": True}, "stopped answering", id="dropped"),
    ],
)
def test_a_wrong_service_is_refused(changes: dict[str, object], says: str) -> None:
    """One line says what was wrong."""
    behaviour = Behaviour()
    for name, value in changes.items():
        setattr(behaviour, name, value)

    with answering(behaviour) as url, pytest.raises(SmokeFailed, match=says):
        prove(url, KEY, WANTED, GOLDEN, requests=6)
