"""What partners send, field by field: names, types, units and ranges.

Unknown keys, NaN, infinity and wrong types are refused; errors never repeat an applicant's value
(`hide_input_in_errors`).
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, Final, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from service.contract.terms import (
    MAX_BATCH_ROWS,
    MAX_JOB_ROWS,
    MAX_PREVIOUS_CLASSES,
    MAX_WEBHOOK_LENGTH,
    SCORE_MAX,
    CreditClass,
    CreditMix,
    LoanType,
    MinimumPayment,
    PaymentBehaviour,
    ReviewVerdict,
)


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


def _day(value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A date of JSON as RFC 3339 writes it; pydantic alone would take seconds since 1970 in a text for one too."""
    if info.mode != "json" or not isinstance(value, str):
        return read(value)
    try:
        if _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:  # the thirtieth of February
        pass
    raise PydanticCustomError("date", "should be a valid date in the format YYYY-MM-DD")


_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AS_DAY: Final = WrapValidator(_day)


class PreviousClass(Strict):
    """A class that was observed for this customer: the bureau's, never a score or a class of ours."""

    observed_class: Annotated[CreditClass, Field(description="The class that was observed.")]
    observed_at: Annotated[date, Field(description="The day it was observed; before `as_of`."), _AS_DAY]


class Applicant(Strict):
    """One applicant's most recent month. No name, SSN, age or occupation: the score does not need them.

    What may be null may be left out, and means the same.
    """

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
        _AS_DAY,
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
    ] = None
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
    ] = None
    num_credit_inquiries: Annotated[
        int | None,
        _field("Credit inquiries made; null if unknown.", unit="inquiries", group="accounts", ge=0, le=200),
        _WHOLE,
    ] = None
    changed_credit_limit: Annotated[
        float | None,
        _field(
            "Change of the card limit; null if unknown.",
            unit="percentage points",
            group="accounts",
            ge=-100,
            le=100,
        ),
    ] = None
    credit_mix: Annotated[
        CreditMix | None, _field("Mix of credit products; null if unknown.", unit="", group="accounts")
    ] = None
    outstanding_debt: Annotated[float, _field("Debt still to be paid.", unit="currency", group="loans", ge=0, le=1e7)]
    credit_utilization_ratio: Annotated[
        float, _field("Share of the credit limit in use.", unit="%", group="accounts", ge=0, le=1000)
    ]
    credit_history_months: Annotated[
        int | None,
        _field("Age of the credit history; null if unknown.", unit="months", group="payments", ge=0, le=1200),
        _WHOLE,
    ] = None
    payment_of_min_amount: Annotated[
        MinimumPayment | None,
        _field("Pays only the minimum amount due; null if unknown.", unit="", group="payments"),
    ] = None
    total_emi_per_month: Annotated[
        float, _field("Loan instalments per month.", unit="per month", group="loans", ge=0, le=1e6)
    ]
    amount_invested_monthly: Annotated[
        float | None, _field("Invested per month; null if unknown.", unit="per month", group="income", ge=0, le=1e6)
    ] = None
    payment_behaviour: Annotated[
        PaymentBehaviour | None, _field("Spending and size of payments; null if unknown.", unit="", group="payments")
    ] = None
    monthly_balance: Annotated[
        float | None,
        _field(
            "Left over at the end of the month; null if unknown.", unit="per month", group="income", ge=-1e6, le=1e7
        ),
    ] = None

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
        name
        for name, options in kinds.items()
        if any(isinstance(one, type) and issubclass(one, kind) for one in options)
    )


CATEGORY_FIELDS: Final = _takes(StrEnum) - {"loan_types"}
"""One word of a closed set each; `loan_types` is a list of such."""
WHOLE_FIELDS: Final = _takes(int)
NULLABLE_FIELDS: Final = _takes(NoneType)


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
        str | None,
        Field(
            max_length=MAX_WEBHOOK_LENGTH,
            description="An https address that is told, signed, when the job has ended.",
        ),
    ] = None


class Outcome(Strict):
    """The label that came later: how the customer really turned out."""

    prediction_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The answer it belongs to.")]
    observed_class: Annotated[CreditClass, Field(description="The class that was observed.")]
    observed_at: Annotated[date, Field(description="The day it was observed; never in the future."), _AS_DAY]

    @field_validator("observed_at")
    @classmethod
    def _not_in_the_future(cls, value: date) -> date:
        if value > datetime.now(UTC).date():
            raise PydanticCustomError("date_in_future", "must not be in the future")
        return value


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
