"""The form a person fills in Prefect while a registration waits, and what makes its answer acceptable.

Plain types with defaults only: nullable and union fields had bugs in Prefect's form up to 3.8.3. Prefect refuses what
is out of bounds before a run starts; what needs knowledge of the version is checked by `refusal`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from prefect.input import RunInput
from pydantic import Field, StringConstraints

from flows.review.release_evidence import Result
from flows.review.signatures import override_check, people_check
from flows.settings import NO_DAY_OR_DAY, ONE_LINE

Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80, pattern=ONE_LINE)]


class VerdictForm(RunInput):
    """A person's verdict on a challenger. Read the checks above before deciding."""

    reviewer: Name = Field(default="", title="Reviewer", description="Your name; not the trainer's.")
    verdict: Literal["approve", "reject"] = Field(title="Verdict")
    signature: Word = Field(
        default="",
        title="Signature",
        description="To approve: what `python -m bentos.reviewers sign` made of table to-sign with your key.",
    )
    note: Annotated[str, StringConstraints(max_length=1000)] = Field(
        default="", title="Note", description="What you looked at; kept with the version and in the audit trail."
    )
    override_reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)] = Field(
        default="", title="Override: reason", description="Only to approve in spite of failed checks."
    )
    override_expires: str = Field(
        default="",
        pattern=NO_DAY_OR_DAY,
        title="Override: expires on",
        description="YYYY-MM-DD, after today and within a year.",
    )
    second_reviewer: Name = Field(
        default="", title="Override: second name", description="A second person who agrees to the override."
    )
    second_signature: Word = Field(
        default="", title="Override: second signature", description="Made by the second person with their key."
    )


MAX_OVERRIDE_DAYS = 366


def refusal(
    form: VerdictForm, *, trainer: str, failed: tuple[str, ...], review_codes: tuple[str, ...], today: date
) -> str:
    """Why this verdict cannot be accepted, in one line; empty if it can.

    Args:
        form: the verdict as filled in.
        trainer: who trained the version.
        failed: codes of failed release checks.
        review_codes: codes of checks that ask for a person's look and note.
        today: the day the override's expiry is compared with.
    """
    if not form.reviewer:
        return "a verdict needs the reviewer's name"
    if form.verdict == "reject":
        return ""
    people = people_check(trainer, form.reviewer)
    if people.result is not Result.PASSED:
        return people.explanation
    if review_codes and not form.note.strip():
        return f"a note is needed on what was seen at {', '.join(review_codes)}"
    return _override_refusal(form, trainer=trainer, today=today) if failed else ""


def _override_refusal(form: VerdictForm, *, trainer: str, today: date) -> str:
    expires = expiry(form)
    check = override_check(form.override_reason, expires, form.second_reviewer, (trainer, form.reviewer), today)
    if check.result is Result.FAILED:
        return check.explanation
    if expires is not None and (expires - today).days > MAX_OVERRIDE_DAYS:
        return "the override must expire within a year"
    return ""


def expiry(form: VerdictForm) -> date | None:
    """The day the override expires, None if none or no such day is given."""
    try:
        return date.fromisoformat(form.override_expires)
    except ValueError:
        return None
