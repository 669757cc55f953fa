"""The words and limits of the contract: classes, bands, closed sets, counts, and what a broken rule is called."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MAX_BATCH_ROWS: Final = 1_000
MAX_JOB_ROWS: Final = 10_000
MAX_WEBHOOK_LENGTH: Final = 2_000
MAX_REASONS: Final = 4
MAX_STRENGTHS: Final = 3
MAX_PREVIOUS_CLASSES: Final = 7
SCORE_MAX: Final = 1_000
TEST_KEY_PREFIX: Final = "qf_test_"
"""How a test key begins: same rules as a live one, and its answers reach neither drift nor outcomes."""
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


class ReviewVerdict(StrEnum):
    """What came of a person's review of an answer."""

    REQUESTED = "requested"
    UPHELD = "upheld"
    OVERTURNED = "overturned"


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


class Direction(StrEnum):
    """Which way the named feature lies from the reference that scores better."""

    TOO_HIGH = "too_high"
    TOO_LOW = "too_low"
    MISSING = "missing"
