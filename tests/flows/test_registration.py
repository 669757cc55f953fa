"""The verdict is asked for until it can be accepted, and is kept as it was given."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.registry.signing import ApprovalClaim, signed
from bentos.registry.version import Version
from flows import registration
from flows.registration import CheckedVersion, Unanswered, ask, decided, question, to_sign
from flows.review.release_evidence import ReleaseCheck, Result
from flows.review.verdict_form import VerdictForm
from flows.settings import FlowSettings
from tests.signing import KEYS, trust

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CHALLENGER = Version(number=4, run_id="r", digest="a" * 64, package_sha256="b" * 64, tags={"trainer": "bob"})


class Quiet:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warning(self, text: str, *values: object) -> None:
        """Keep the line."""
        self.told.append(text % values)


def _checked(*results: Result) -> CheckedVersion:
    checks = tuple(
        ReleaseCheck(code=f"check_{number}", title="t", result=result, explanation="e")
        for number, result in enumerate(results)
    )
    return CheckedVersion(digest="a" * 64, champion=3, champion_digest="c" * 64, checks=checks)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[VerdictForm]:
    """Forms that people hand in, one after the other; the keys of the questions are kept in `asked`."""
    forms: list[VerdictForm] = []
    asked: list[str] = []

    def suspend(**given: object) -> VerdictForm:
        asked.append(str(given["key"]))
        return next(handed_in)

    handed_in: Iterator[VerdictForm] = iter(forms)
    monkeypatch.setattr(registration, "suspend_flow_run", suspend)
    monkeypatch.setattr(registration, "get_run_logger", Quiet)
    monkeypatch.setattr(registration, "asked", asked, raising=False)
    return forms


@pytest.fixture(autouse=True)
def _reviewers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' reviewers are those that the flow believes."""
    monkeypatch.setenv("QF_REVIEWERS", str(trust(tmp_path / "reviewers.json")))


def _signed(checked: CheckedVersion, name: str = "ana") -> str:
    return signed(ApprovalClaim(**to_sign(CHALLENGER, checked).model_dump(), reviewer=name, at=NOW), KEYS[name][0])


def test_a_refused_verdict_is_asked_for_again(answers: list[VerdictForm]) -> None:
    """Each question has a key of its own that names version, bytes and champion."""
    checked, other = _checked(Result.PASSED, Result.NEEDS_REVIEW), _checked(Result.NEEDS_REVIEW, Result.PASSED)
    answers += [
        VerdictForm(reviewer="bob", verdict="approve", signature=_signed(checked, "bob")),
        VerdictForm(reviewer="ana", verdict="approve"),
        VerdictForm(reviewer="ana", verdict="approve", note="seen"),
        VerdictForm(reviewer="ana", verdict="approve", note="seen", signature=_signed(checked, "eva")),
        VerdictForm(reviewer="ana", verdict="approve", note="seen", signature=_signed(other)),
        VerdictForm(reviewer="ana", verdict="approve", note="seen", signature=_signed(checked)),
    ]

    decision = ask(CHALLENGER, checked, FlowSettings())

    assert (decision.reviewer, decision.note, decision.approved) == ("ana", "seen", True)
    asked = vars(registration)["asked"]
    assert asked == [f"verdict-4-aaaaaaaa-against-3-{number}" for number in range(1, 7)]


def test_asking_ends(answers: list[VerdictForm]) -> None:
    """Twenty verdicts that cannot be accepted end the run."""
    answers += [VerdictForm(reviewer="bob", verdict="approve")] * registration.MAX_ATTEMPTS

    with pytest.raises(Unanswered, match="version 4"):
        ask(CHALLENGER, _checked(Result.PASSED), FlowSettings())


def test_an_override_is_kept_with_what_it_overrules() -> None:
    """Failed checks, reason, expiry and second name."""
    form = VerdictForm(
        reviewer="ana",
        verdict="approve",
        override_reason="pilot",
        override_expires="2027-01-31",
        second_reviewer="eva",
    )

    decision = decided(form, CHALLENGER, _checked(Result.FAILED), datetime(2026, 11, 23, tzinfo=UTC))

    assert decision.overridden and decision.failed_checks == ("check_0",)
    assert (decision.override_reason, decision.second_reviewer, str(decision.override_expires)) == (
        "pilot",
        "eva",
        "2027-01-31",
    )


def test_an_override_that_was_not_needed_is_not_kept() -> None:
    """Nor is one of a rejection."""
    form = VerdictForm(reviewer="ana", verdict="approve", override_reason="just in case")

    decision = decided(form, CHALLENGER, _checked(Result.PASSED), datetime(2026, 11, 23, tzinfo=UTC))

    assert not decision.overridden and decision.override_reason == ""


def test_the_question_says_what_matters() -> None:
    """Failed checks, what to look at, and why the last verdict was not accepted."""
    text = question(CHALLENGER, _checked(Result.FAILED, Result.NEEDS_REVIEW), refused="no note")

    assert "trained by bob, against champion 3" in text
    assert "Failed: check_0." in text and "Look at and note: check_1." in text
    assert "not accepted: no note" in text and "override" in text
