"""The verdict is asked for until it can be accepted, and is kept as it was given."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bentos.errors import AliasMoved
from bentos.registry.audit_trail import Trail
from bentos.registry.catalogue import checks_file, documents_file
from bentos.registry.decision import Decision
from bentos.registry.evidence import text_sha256
from bentos.registry.products import CHECKED, DOCUMENTED
from bentos.registry.signing import ApprovalClaim, signed
from bentos.registry.version import Version
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import BentosSettings
from flows import registration
from flows.registration import CheckedVersion, Unanswered, ask, decided, question, to_sign
from flows.review.release_evidence import ReleaseCheck, Result
from flows.review.verdict_form import VerdictForm
from flows.settings import FlowSettings
from tests.infra.delivery.registered_champion import champion_of, logged_package
from tests.signing import KEYS, approval, trust

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CHALLENGER = Version(number=4, run_id="r", digest="a" * 64, package_sha256="b" * 64, tags={"trainer": "bob"})


class Quiet:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def warning(self, text: str, *values: object) -> None:
        """Keep the line."""
        self.told.append(text % values)

    info = warning


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


def test_a_promotion_that_was_cut_off_is_finished(
    mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between trail and alias: the registration run again moves the alias, writes what is missing or was
    changed, and asks nobody."""
    name = f"credit-score-{uuid.uuid4().hex[:8]}"
    settings = BentosSettings(tracking_uri=mlflow_server, state_dir=tmp_path / "state", model_name=name)
    registry = Registry.connect(settings)
    first = champion_of(registry, tmp_path, {})
    version = registry.register(*logged_package(registry, tmp_path, {}), tags={"trainer": "bob"})
    checks = _checked(Result.PASSED).model_dump_json(indent=2)
    registry.keep(version, CHECKED, checks_file(version.number, first.number), checks, actor="registration")
    with monkeypatch.context() as patch:
        patch.setattr(registry._client, "set_registered_model_alias", _killed)  # pylint: disable=protected-access
        with pytest.raises(KeyboardInterrupt):
            registry.promote(_approval(version, first.number, text_sha256(checks)), expected=first.number)
    assert registry.find(CHAMPION) == first
    version = registry.version(version.number)
    written: list[CheckedVersion] = []
    monkeypatch.setattr(registration, "announce", lambda _: None)
    monkeypatch.setattr(registration, "get_run_logger", Quiet)
    monkeypatch.setattr(registration, "document", lambda *given: written.append(given[-1]))

    assert registration._already(registry, version) == "approved"  # pylint: disable=protected-access

    assert registry.by_alias(CHAMPION).number == version.number and registry.find("challenger") is None
    registry.keep(version, DOCUMENTED, documents_file(version.number), '{"staff": {"a": "b"}}', actor="registration")
    registration._already(registry, version)  # pylint: disable=protected-access
    assert len(written) == 1 and written[0].checks[0].code == "check_0"
    registry.attach(version, documents_file(version.number), '{"staff": {"a": "rewritten"}}')
    registration._already(registry, version)  # pylint: disable=protected-access
    assert len(written) == 2


def test_a_version_is_taken_up_before_anybody_looks_at_it(
    mlflow_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trail names version, bytes and trainer, so that an alias training set is believed no more, the first
    version's too."""
    name = f"credit-score-{uuid.uuid4().hex[:8]}"
    for variable, value in (("MLFLOW_TRACKING_URI", mlflow_server), ("QF_MODEL_NAME", name)):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("QF_STATE_DIR", str(tmp_path / "state"))
    registry = Registry.connect(BentosSettings())
    version = registry.register(*logged_package(registry, tmp_path, {}), tags={"trainer": "bob"})
    registry._client.set_registered_model_alias(name, CHAMPION, "1")  # pylint: disable=protected-access
    monkeypatch.setattr(registration, "take_up", registration.take_up.fn)
    assert not Trail(BentosSettings().trail_file).entries()

    with pytest.raises(AliasMoved, match="no version ever was"):
        registration.registration.fn(version.number)

    (line,) = Trail(BentosSettings().trail_file).entries()
    assert (line.event, line.actor, line.digest) == ("registered", "bob", version.digest)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def _approval(version: Version, champion: int, evidence: str) -> Decision:
    fields = {"version": version.number, "digest": version.digest, "verdict": "approve", "reviewer": "ana"}
    decision = Decision.model_validate(fields | {"trainer": "bob", "at": NOW, "champion": champion})
    return approval(decision, version, evidence=evidence)


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
