"""What partners get, field by field; `/v1` only ever adds to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from service.contract.terms import MAX_REASONS, MAX_STRENGTHS, SCORE_MAX, Basis, CreditClass, Direction, RiskGrade


class Receipt(BaseModel):
    """What was recorded durably: an outcome or a review."""

    id: str
    prediction_id: str
    created_at: datetime


class Text(BaseModel):
    """One sentence in both languages."""

    pt: str
    en: str


Told = int | float | str | list[str] | None
"""A field's value as an answer repeats it."""


class Reason(BaseModel):
    """One thing that cost points, worst first: moving the field alone to what it is compared with raises the score."""

    code: str
    text: Text
    feature: str
    direction: Direction
    compared_with: Annotated[
        Told, Field(description="The field's value of the reference applicant, see /v1/model.")
    ] = None
    value: Annotated[Told, Field(description="The field's value that was sent; null if it was unknown.")] = None
    points: Annotated[
        int | None,
        Field(description="What it cost against the reference. Absent from answers that are read back late."),
    ] = None


class Strength(BaseModel):
    """One thing that counts in the applicant's favour, most first."""

    code: str
    text: Text
    feature: str
    value: Told = None
    points: Annotated[int, Field(description="What it gained against the reference.")]


class Comparison(BaseModel):
    """What points are counted from: score = reference score - reasons' points + strengths' points + other points."""

    score: Annotated[int, Field(ge=0, le=SCORE_MAX, description="Of the reference applicant, see /v1/model.")]
    other_points: Annotated[int, Field(description="Of everything that is not named.")]


class Probabilities(BaseModel):
    """Calibrated probabilities of the three classes; they add up to one."""

    Poor: Annotated[float, Field(ge=0, le=1)]
    Standard: Annotated[float, Field(ge=0, le=1)]
    Good: Annotated[float, Field(ge=0, le=1)]


class ModelRef(BaseModel):
    """Which model answered."""

    name: str
    version: str
    digest: str


class Score(BaseModel):
    """The answer to one applicant."""

    prediction_id: str
    score: Annotated[int, Field(ge=0, le=SCORE_MAX)]
    band: CreditClass
    predicted_class: CreditClass
    probabilities: Probabilities
    borderline: bool
    risk_grade: Annotated[
        RiskGrade | None,
        Field(
            description="The risk of Poor alone, A least: cut on it to keep Poor out, the score does not rank it."
            " Absent from answers that were stored before there were grades."
        ),
    ] = None
    basis: Annotated[
        Basis | None,
        Field(description="`known_customer` if an observed class was sent. Absent from answers stored before."),
    ] = None
    reasons: Annotated[list[Reason], Field(max_length=MAX_REASONS)]
    strengths: Annotated[
        list[Strength],
        Field(
            max_length=MAX_STRENGTHS,
            description="What counts most in the applicant's favour. Absent from answers that are read back late.",
        ),
    ] = []
    reference: Annotated[
        Comparison | None,
        Field(description="What points are counted from. Absent from answers that are read back late."),
    ] = None
    warnings: list[str]
    model: ModelRef
    created_at: datetime
    prediction_set: Annotated[
        list[CreditClass] | None,
        Field(
            exclude_if=lambda value: value is None,
            description="Of `?prediction_set=true` alone: the classes that the answer leaves open, worst first; nine"
            " sets in ten hold the true class, class by class. Null where the model tells no thresholds, see /v1/model,"
            " or is no longer the one that answered.",
        ),
    ] = None


class Scores(BaseModel):
    """The answers to a batch, in the order of its applicants."""

    scores: list[Score]


class Change(BaseModel):
    """One field of an advice: its value now and after the change."""

    field: str
    before: Told
    after: Told


class Advice(BaseModel):
    """The smallest set of changes that reaches a target, of what a person can change; nothing of it is stored."""

    score: Annotated[int, Field(ge=0, le=SCORE_MAX, description="Now.")]
    band: CreditClass
    reachable: Annotated[bool, Field(description="False: none of the changes that were tried reaches the target.")]
    changes: Annotated[
        list[Change], Field(description="Empty where the target is reached already, or is not reachable.")
    ]
    reached_score: Annotated[
        int, Field(ge=0, le=SCORE_MAX, description="After the changes; the best that was found if it is not reachable.")
    ]
    reached_band: CreditClass


class RefusedRow(BaseModel):
    """What is wrong with one row of a job."""

    errors: list[dict[str, str]]


class JobState(BaseModel):
    """How far a job is, and some of its results."""

    id: str
    status: Annotated[str, Field(description="queued, running, done, failed or cancelled.")]
    rows: int
    done: int
    refused: Annotated[int, Field(description="Rows that broke a rule; each has its faults for a result.")]
    because: Annotated[str | None, Field(description="Why it failed.")] = None
    created_at: datetime
    finished_at: datetime | None = None
    webhook: Annotated[str | None, Field(description="waiting, pending, delivered or failed.")] = None
    results: Annotated[list[Score | RefusedRow] | None, Field(description="Up to 1,000, in order of the rows.")] = None
    next: Annotated[str | None, Field(description="Where the following results are.")] = None
