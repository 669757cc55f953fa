"""What partners send and what they get: the public contract of the API, field by field.

Everything here is fixed by agreement with partners: names, types, units and ranges. The module costs no more than
pydantic to import, so the UI, the flows and the documentation all read the same source. Unknown keys, NaN, infinity
and wrong types are refused; errors never repeat an applicant's value (`hide_input_in_errors`).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

MAX_BATCH_ROWS: Final = 1_000
MAX_JOB_ROWS: Final = 10_000
MAX_REASONS: Final = 4
MAX_STRENGTHS: Final = 3
MAX_PREVIOUS_CLASSES: Final = 7
SCORE_MAX: Final = 1_000
# Pydantic's kinds of error in the API's own words: a rule is called the same before and after sending.
RULE_CODES: Final = {
    "missing": "missing",
    "extra_forbidden": "unknown-key",
    "enum": "not-allowed",
    "string_pattern_mismatch": "pattern",
    "greater_than_equal": "too-small",
    "less_than_equal": "too-large",
    "too_short": "too-few",
    "too_long": "too-many",
    "finite_number": "not-finite",
    "date_in_future": "date-in-future",
    "loan_types_count": "loan-types-count",
    "one_target": "one-target",
    "class_not_before": "date-not-before-as-of",
    "class_dates_doubled": "date-doubled",
}


class CreditClass(StrEnum):
    """The three classes the model learns, worst first."""

    POOR = "Poor"
    STANDARD = "Standard"
    GOOD = "Good"


PRODUCT: Final = "credit-score"
"""The name of model, experiment, Bento and image; MLflow, registries and partners know it."""
POOR_MAX: Final = 300
STANDARD_MAX: Final = 700
BANDS: Final = (
    (CreditClass.POOR, 0, POOR_MAX),
    (CreditClass.STANDARD, POOR_MAX + 1, STANDARD_MAX),
    (CreditClass.GOOD, STANDARD_MAX + 1, SCORE_MAX),
)
"""Each band with its least and greatest score. The only place that states them: kernel, page, guide, charts and judges
derive theirs from here."""
PROBABILITY_COLUMNS: Final = tuple(f"p_{name.lower()}" for name in CreditClass)
"""What files call the probability of each class."""


class LoanType(StrEnum):
    """Kinds of loan an applicant may hold; `not_specified` where the lender did not say."""

    AUTO = "auto"
    CREDIT_BUILDER = "credit_builder"
    DEBT_CONSOLIDATION = "debt_consolidation"
    HOME_EQUITY = "home_equity"
    MORTGAGE = "mortgage"
    PAYDAY = "payday"
    PERSONAL = "personal"
    STUDENT = "student"
    NOT_SPECIFIED = "not_specified"


class CreditMix(StrEnum):
    """The bureau's judgement of the applicant's mix of credit products, worst first."""

    BAD = "Bad"
    STANDARD = "Standard"
    GOOD = "Good"


class MinimumPayment(StrEnum):
    """Whether the applicant pays only the minimum amount due."""

    YES = "Yes"
    NO = "No"


class PaymentBehaviour(StrEnum):
    """How much the applicant spends in a month, and in payments of what size."""

    HIGH_LARGE = "high_spent_large_value_payments"
    HIGH_MEDIUM = "high_spent_medium_value_payments"
    HIGH_SMALL = "high_spent_small_value_payments"
    LOW_LARGE = "low_spent_large_value_payments"
    LOW_MEDIUM = "low_spent_medium_value_payments"
    LOW_SMALL = "low_spent_small_value_payments"


class Strict(BaseModel):
    """Base of everything a partner sends: strict types, no unknown keys, no NaN, no value in an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def _field(description: str, *, unit: str, group: str, **rules: Any) -> Any:
    """A contract field with what a form needs beside the rule: its unit and the group it is shown in."""
    return Field(description=description, json_schema_extra={"unit": unit, "group": group}, **rules)


def whole(value: Any) -> Any:
    """A whole number as an integer, however it was written: JSON Schema counts 2.0 as one, and so do we."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_WHOLE: Final = BeforeValidator(whole)


class PreviousClass(Strict):
    """A class that was observed for this customer: the bureau's, never a score or a class of ours."""

    observed_class: Annotated[CreditClass, Field(description="The class that was observed.")]
    observed_at: Annotated[date, Field(description="The day it was observed; before `as_of`.")]


class Applicant(Strict):
    """One applicant's most recent month. No name, SSN, age or occupation: the score does not need them."""

    customer_ref: Annotated[
        str | None,
        _field(
            "Your own opaque reference of the customer; stored only as a pseudonym.",
            unit="",
            group="reference",
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
        ),
    ] = None
    as_of: Annotated[
        date | None,
        _field("The day the data describes; today if left out, never in the future.", unit="date", group="reference"),
    ] = None
    previous_classes: Annotated[
        list[PreviousClass] | None,
        _field(
            "Classes that were observed for this customer before as_of, at most one a day; never a score or class of"
            " ours. With one of them the customer is known, and the answer far more exact.",
            unit="",
            group="reference",
            max_length=MAX_PREVIOUS_CLASSES,
        ),
    ] = None
    annual_income: Annotated[float, _field("Income per year.", unit="per year", group="income", ge=0, le=1e7)]
    monthly_inhand_salary: Annotated[
        float | None, _field("Net salary per month; null if unknown.", unit="per month", group="income", ge=0, le=1e6)
    ]
    num_bank_accounts: Annotated[
        int, _field("Bank accounts held.", unit="accounts", group="accounts", ge=0, le=50), _WHOLE
    ]
    num_credit_cards: Annotated[int, _field("Credit cards held.", unit="cards", group="accounts", ge=0, le=50), _WHOLE]
    num_loans: Annotated[int, _field("Loans running.", unit="loans", group="loans", ge=0, le=50), _WHOLE]
    loan_types: Annotated[
        list[LoanType],
        _field(
            "Kinds of the loans; may repeat; empty, or as many as num_loans.", unit="", group="loans", max_length=50
        ),
    ]
    interest_rate: Annotated[float, _field("Interest rate on credit cards.", unit="%", group="accounts", ge=0, le=100)]
    delay_from_due_date: Annotated[
        float,
        _field(
            "Average days from due date to payment; negative if early.", unit="days", group="payments", ge=-30, le=365
        ),
    ]
    num_delayed_payments: Annotated[
        int | None,
        _field("Payments delayed; null if unknown.", unit="payments", group="payments", ge=0, le=200),
        _WHOLE,
    ]
    num_credit_inquiries: Annotated[
        int | None,
        _field("Credit inquiries made; null if unknown.", unit="inquiries", group="accounts", ge=0, le=200),
        _WHOLE,
    ]
    changed_credit_limit: Annotated[
        float | None,
        _field(
            "Change of the card limit; null if unknown.",
            unit="percentage points",
            group="accounts",
            ge=-100,
            le=100,
        ),
    ]
    credit_mix: Annotated[
        CreditMix | None, _field("Mix of credit products; null if unknown.", unit="", group="accounts")
    ]
    outstanding_debt: Annotated[float, _field("Debt still to be paid.", unit="currency", group="loans", ge=0, le=1e7)]
    credit_utilization_ratio: Annotated[
        float, _field("Share of the credit limit in use.", unit="%", group="accounts", ge=0, le=1000)
    ]
    credit_history_months: Annotated[
        int | None,
        _field("Age of the credit history; null if unknown.", unit="months", group="payments", ge=0, le=1200),
        _WHOLE,
    ]
    payment_of_min_amount: Annotated[
        MinimumPayment | None,
        _field("Pays only the minimum amount due; null if unknown.", unit="", group="payments"),
    ]
    total_emi_per_month: Annotated[
        float, _field("Loan instalments per month.", unit="per month", group="loans", ge=0, le=1e6)
    ]
    amount_invested_monthly: Annotated[
        float | None, _field("Invested per month; null if unknown.", unit="per month", group="income", ge=0, le=1e6)
    ]
    payment_behaviour: Annotated[
        PaymentBehaviour | None, _field("Spending and size of payments; null if unknown.", unit="", group="payments")
    ]
    monthly_balance: Annotated[
        float | None,
        _field(
            "Left over at the end of the month; null if unknown.", unit="per month", group="income", ge=-1e6, le=1e7
        ),
    ]

    @field_validator("as_of")
    @classmethod
    def _not_in_the_future(cls, value: date | None) -> date | None:
        if value is not None and value > datetime.now(UTC).date():
            raise PydanticCustomError("date_in_future", "must not be in the future")
        return value

    @field_validator("previous_classes")
    @classmethod
    def _observed_before(cls, value: list[PreviousClass] | None, info: ValidationInfo) -> list[PreviousClass] | None:
        # as_of is absent from info.data when it failed itself: that error is enough.
        if not value or "as_of" not in info.data:
            return value
        days = {one.observed_at for one in value}
        if max(days) >= (info.data["as_of"] or datetime.now(UTC).date()):
            raise PydanticCustomError("class_not_before", "must have been observed before as_of")
        if len(days) < len(value):
            raise PydanticCustomError("class_dates_doubled", "must name a day once")
        return value

    @field_validator("loan_types")
    @classmethod
    def _as_many_as_loans(cls, value: list[LoanType], info: ValidationInfo) -> list[LoanType]:
        # num_loans is absent from info.data when it failed itself: that error is enough.
        if value and len(value) != info.data.get("num_loans", len(value)):
            raise PydanticCustomError("loan_types_count", "must be empty, or list as many kinds as num_loans")
        return value


REFERENCE_FIELDS: Final = frozenset({"customer_ref", "as_of", "previous_classes"})
"""What says whose data these are, of when, and what was known before; all other fields describe the month."""
DESCRIBING_FIELDS: Final = tuple(name for name, _ in Applicant.model_fields.items() if name not in REFERENCE_FIELDS)


def _takes(kind: type) -> frozenset[str]:
    kinds = {name: get_args(info.annotation) or (info.annotation,) for name, info in Applicant.model_fields.items()}
    return frozenset(
        name for name, found in kinds.items() if any(isinstance(one, type) and issubclass(one, kind) for one in found)
    )


CATEGORY_FIELDS: Final = _takes(StrEnum) - {"loan_types"}
"""One word of a closed set each; `loan_types` is a list of such."""
WHOLE_FIELDS: Final = _takes(int)


class Batch(Strict):
    """Up to 1,000 applicants, scored in order."""

    applicants: Annotated[list[Applicant], Field(min_length=1, max_length=MAX_BATCH_ROWS)]


class AdviceTarget(Strict):
    """What shall be reached: a band, or a score."""

    band: Annotated[CreditClass | None, Field(description="A band or better; leave out if you name a score.")] = None
    score: Annotated[
        int | None, Field(ge=0, le=SCORE_MAX, description="A score or more; leave out if you name a band.")
    ] = None

    @model_validator(mode="after")
    def _one_of_them(self) -> AdviceTarget:
        if (self.band is None) is (self.score is None):
            raise PydanticCustomError("one_target", "must name a band or a score, and not both")
        return self


class AdviceRequest(Strict):
    """One applicant and a target."""

    applicant: Applicant
    target: AdviceTarget


class JobOrder(Strict):
    """A file of applicants, scored in its own time."""

    applicants: Annotated[list[Applicant], Field(min_length=1, max_length=MAX_JOB_ROWS)]
    webhook: Annotated[
        str | None, Field(max_length=2000, description="An https address that is told, signed, when the job has ended.")
    ] = None


class Outcome(Strict):
    """The label that came later: how the customer really turned out."""

    prediction_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The answer it belongs to.")]
    observed_class: Annotated[CreditClass, Field(description="The class that was observed.")]
    observed_at: Annotated[date, Field(description="The day it was observed; never in the future.")]

    @field_validator("observed_at")
    @classmethod
    def _not_in_the_future(cls, value: date) -> date:
        if value > datetime.now(UTC).date():
            raise PydanticCustomError("date_in_future", "must not be in the future")
        return value


class ReviewVerdict(StrEnum):
    """What came of a person's review of an answer."""

    REQUESTED = "requested"
    UPHELD = "upheld"
    OVERTURNED = "overturned"


class Review(Strict):
    """A person's review of an answer (LGPD art. 20): the request for one, or its verdict."""

    verdict: Annotated[ReviewVerdict, Field(description="Requested, or how it ended.")]
    reviewer: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_-]{1,64}$",
            description="Your own opaque reference of who reviews; no name, no address.",
        ),
    ]
    comment: Annotated[
        str | None,
        Field(
            pattern=r"^[^\x00-\x1f\x7f]{1,500}$",
            description="Why, in one line of at most 500 characters; nothing that identifies the customer.",
        ),
    ] = None


class Receipt(BaseModel):
    """What was recorded durably: an outcome or a review."""

    id: str
    prediction_id: str
    created_at: datetime


class RiskGrade(StrEnum):
    """The risk of Poor in five steps, least first: strictly by the calibrated probability of Poor."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"
    E = "E"


class Basis(StrEnum):
    """What an answer rests on: the month's figures alone, or an observed class of the customer too."""

    APPLICANT = "applicant"
    KNOWN_CUSTOMER = "known_customer"


class Text(BaseModel):
    """One sentence in both languages."""

    pt: str
    en: str


class Direction(StrEnum):
    """Which way the named feature lies from the reference that scores better."""

    TOO_HIGH = "too_high"
    TOO_LOW = "too_low"
    MISSING = "missing"


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
        list[Strength], Field(max_length=MAX_STRENGTHS, description="What counts most in the applicant's favour.")
    ] = []
    reference: Annotated[Comparison | None, Field(description="What points are counted from.")] = None
    warnings: list[str]
    model: ModelRef
    created_at: datetime


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
    status: Annotated[str, Field(description="queued, running, done or failed.")]
    rows: int
    done: int
    refused: Annotated[int, Field(description="Rows that broke a rule; each has its faults for a result.")]
    because: Annotated[str | None, Field(description="Why it failed.")] = None
    created_at: datetime
    finished_at: datetime | None = None
    webhook: Annotated[str | None, Field(description="waiting, pending, delivered or failed.")] = None
    results: Annotated[list[Score | RefusedRow] | None, Field(description="Up to 1,000, in order of the rows.")] = None
    next: Annotated[str | None, Field(description="Where the following results are.")] = None
