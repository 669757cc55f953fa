"""The documents of a version: one screen first, both languages alike, and no person in a partner's."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from bentos.registry.audit_trail import TrailEntry
from bentos.registry.decision import Decision
from flows.documents.dossier import DOCUMENTS, for_readers
from flows.documents.facts import DossierFacts
from flows.documents.risk_register import RISKS, risk_register, standing
from flows.documents.validation_report import validation_report
from flows.documents.wording import CHECK_TITLES_PT, number
from flows.learning.model_metrics import judge
from flows.review.release_checks import CHECKS, run_checks
from flows.review.release_evidence import Evidence, ReleaseCheck, RepairedReport, Result
from tests.flows.small_training import answers

AT = datetime(2026, 11, 23, tzinfo=UTC)
PEOPLE = ("ana.souza", "rui.lima", "eva.prado", "looked at the groups", "quarter ends", "abc1234", "told by phone")


def decision(**changes: object) -> Decision:
    """An approval in spite of a failed check."""
    fields: dict[str, object] = {
        "version": 7,
        "digest": "a" * 64,
        "verdict": "approve",
        "reviewer": "ana.souza",
        "trainer": "eva.prado",
        "note": "looked at the groups",
        "at": AT,
        "champion": 6,
        "failed_checks": ("calibration",),
        "override_reason": "quarter ends",
        "override_expires": date(2027, 1, 31),
        "second_reviewer": "rui.lima",
    }
    return Decision.model_validate(fields | changes)


def entry(event: str, version: str = "5") -> TrailEntry:
    """A line of the audit trail."""
    return TrailEntry(
        sequence=0,
        at="2026-10-01T10:00:00.000+00:00",
        event=event,
        actor="rui.lima",
        version=version,
        digest="",
        replaced="",
        note="told by phone",
        previous="",
    )


def facts(**changes: object) -> DossierFacts:
    """Everything that is known of the version."""
    checks = run_checks(Evidence())
    figures = judge(answers(), draws=20)
    repaired = RepairedReport(rows=1_300, rows_as_served=1_200, figures=figures)
    known = Evidence(pooled=figures, repaired=repaired)
    incidents = (entry("registered"), entry("rolled_back"), entry("promoted"))
    found = DossierFacts(decision(), checks, known, incidents, data_sha256="d" * 64, git_revision="abc1234")
    return DossierFacts(**(vars(found) | changes))


def test_a_partner_reads_no_name_no_note_and_no_revision() -> None:
    """Staff reads all of them; both read the same verdict, checks and dates."""
    documents = for_readers(facts())

    assert set(documents) == {"partner", "staff"}
    assert set(documents["partner"]) == set(documents["staff"])
    assert set(documents["staff"]) == {f"{name}.{language}" for name in DOCUMENTS for language in ("pt", "en")}
    partners, staffs = ("\n".join(documents[reader].values()) for reader in ("partner", "staff"))
    assert [person for person in PEOPLE if person in partners] == []
    assert [person for person in PEOPLE if person not in staffs] == []
    assert "2026-11-23" in partners and "d" * 64 in partners


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_both_languages_hold_the_same_figures(name: str) -> None:
    """As many lines and the same numbers, each as its language writes them."""
    pt, en = (DOCUMENTS[name](facts(), language) for language in ("pt", "en"))

    assert pt != en and pt.count("\n") == en.count("\n")
    digits = [re.findall(r"\d+", text.replace("0,715", "0.715")) for text in (pt, en)]
    assert digits[0] == digits[1]


def test_the_first_screen_says_what_a_signatory_must_know() -> None:
    """Verdict, next validation, what failed: before the first heading."""
    screen = validation_report(facts(), "en").split("\n## ", maxsplit=1)[0]

    assert len(screen.splitlines()) <= 25
    assert "approved by ana.souza, 2026-11-23" in screen
    assert "**Next validation by**: 2027-01-31" in screen  # the override's last day comes before the usual one
    assert "Probabilities come true" in screen
    calm = validation_report(facts(decision=decision(failed_checks=(), override_expires=None)), "en")
    assert "**Next validation by**: 2027-05-25" in calm


def test_both_kinds_of_rows_are_told() -> None:
    """Figures of rows as served come first, those of rows repaired from a past second, with how many suffice alone."""
    pt, en = (validation_report(facts(), language) for language in ("pt", "en"))

    assert "1200 of 1300 rows suffice by themselves" in en and "1200 de 1300 linhas bastam sozinhas" in pt
    assert en.index("by itself, with nothing of the customer's past") < en.index("of which the row is repaired")
    assert en.count("| accuracy |") == pt.count("| accuracy |") == 2
    unmeasured = validation_report(facts(evidence=Evidence()), "en")
    assert "rows suffice" not in unmeasured


def test_every_check_is_reported_the_failed_first() -> None:
    """None is left out, and each has a title in Portuguese."""
    checks = (
        ReleaseCheck(code="size", title="Small", result=Result.PASSED, explanation="", value=5_000_000, threshold=1.5),
        ReleaseCheck(code="fairness", title="Groups", result=Result.NEEDS_REVIEW, explanation="", value=0.7),
        ReleaseCheck(code="calibration", title="True", result=Result.FAILED, explanation="", value=0.05),
    )
    text = validation_report(facts(checks=checks), "en").split("## Every check")[1]

    first_cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert first_cells == ["| check", "| ---", "| True", "| Groups", "| Small"]
    assert {code for code, *_ in CHECKS} == set(CHECK_TITLES_PT)
    assert number(5_000_000, "pt") == "5.000.000" and number(0.1234, "pt") == "0,123" and number(None, "en") == "-"


def test_risks_that_ask_for_attention_come_first() -> None:
    """The worst of a risk's checks is its standing; each check of the release belongs to a risk."""
    one = RISKS[0]
    passed, failed = (
        ReleaseCheck(code=code, title="t", result=result, explanation="e")
        for code, result in ((one.checks[0], Result.PASSED), (one.checks[1], Result.FAILED))
    )
    calm, bad = facts(checks=(passed,)), facts(checks=(passed, failed))

    assert (standing(one, calm), standing(one, bad)) == (Result.PASSED, Result.FAILED)
    assert standing(RISKS[-1], calm) is None
    register = risk_register(bad, "en")
    assert register.index("**failed**") < register.index(RISKS[1].what.en)
    watched = {code for risk in RISKS for code in risk.checks}
    assert watched <= {code for code, *_ in CHECKS}


def test_only_incidents_are_logged() -> None:
    """A promotion is ordinary life, a rollback is none."""
    log = DOCUMENTS["incident_log"](facts(), "en")

    assert "**1 incidents on record**" in log and "the version before answered again" in log
    assert "promoted" not in log
