"""The signers of a version: trainer and reviewer are two people, an override has a third name, a reason and an end."""

from __future__ import annotations

from datetime import date

from bentos.registry.identities import same_person, skeleton
from flows.review.release_evidence import ReleaseCheck, Result


def people_check(trainer: str, reviewer: str) -> ReleaseCheck:
    """The check that someone else than the trainer approves; it compares people, not spellings."""
    code, title = "approver", "Approved by someone who did not train it"
    known = skeleton(trainer), skeleton(reviewer)
    if not all(known):
        explanation = "not measured: name of the trainer" if not known[0] else "not measured: name of the reviewer"
        return ReleaseCheck(code=code, title=title, result=Result.FAILED, explanation=explanation)
    one = same_person(trainer, reviewer)
    result = Result.FAILED if one else Result.PASSED
    explanation = "the trainer may not approve their own model" if one else "trainer and reviewer are two people"
    return ReleaseCheck(code=code, title=title, result=result, explanation=explanation)


def override_check(
    reason: str, expires: date | None, second: str, others: tuple[str, str], today: date
) -> ReleaseCheck:
    """The check that an override is complete: a reason, an expiry to come, a second name that is none of `others`.

    `others` are trainer and reviewer. An override never makes failed checks pass; it is kept beside them.
    """
    code, title = "override", "Override is complete"
    lacking = []
    if not reason.strip():
        lacking.append("a reason")
    if expires is None or expires <= today:
        lacking.append("an expiry date to come")
    if not skeleton(second) or any(same_person(second, name) for name in others):
        lacking.append("a second name, neither trainer nor reviewer")
    if lacking:
        explanation = f"the override needs {' and '.join(lacking)}"
        return ReleaseCheck(code=code, title=title, result=Result.FAILED, explanation=explanation)
    explanation = f"overridden until {expires}, second name given"
    return ReleaseCheck(code=code, title=title, result=Result.NEEDS_REVIEW, explanation=explanation)
