"""What Kaggle's `train.csv` looks like: its columns, its tokens, and what its cleaning may believe.

Everything known about the source stands here; what its columns are called, in `service.lexicon.headings`. Shares,
ranges and constants were measured on the public file's own rows (see `data/README.md`); another portfolio means another
table, not other code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.lexicon.headings import KAGGLE

LABEL_COLUMN: Final = KAGGLE["label"]
RAW_COLUMNS: Final = tuple(column for column in KAGGLE.values() if column != LABEL_COLUMN)
PERSONAL_COLUMNS: Final = (KAGGLE["name"], KAGGLE["ssn"])
LABELS: Final = ("Poor", "Standard", "Good")

MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
MONTH_NUMBERS: Final = {name: number for number, name in enumerate(MONTHS, start=1)}

LOAN_TYPES: Final = {
    "Auto Loan": "auto",
    "Credit-Builder Loan": "credit_builder",
    "Debt Consolidation Loan": "debt_consolidation",
    "Home Equity Loan": "home_equity",
    "Mortgage Loan": "mortgage",
    "Payday Loan": "payday",
    "Personal Loan": "personal",
    "Student Loan": "student",
    "Not Specified": "not_specified",
}
OCCUPATIONS: Final = (
    "Accountant",
    "Architect",
    "Developer",
    "Doctor",
    "Engineer",
    "Entrepreneur",
    "Journalist",
    "Lawyer",
    "Manager",
    "Mechanic",
    "Media_Manager",
    "Musician",
    "Scientist",
    "Teacher",
    "Writer",
)
CREDIT_MIXES: Final = ("Bad", "Standard", "Good")
MINIMUM_PAYMENTS: Final = ("Yes", "No")

# Monthly_Balance + Total_EMI_per_month + Amount_invested_monthly - Monthly_Inhand_Salary / 10 is this sum, to the cent.
BEHAVIOUR_SUMS: Final = {
    "high_spent_large_value_payments": 240.0,
    "high_spent_medium_value_payments": 250.0,
    "high_spent_small_value_payments": 260.0,
    "low_spent_large_value_payments": 270.0,
    "low_spent_medium_value_payments": 280.0,
    "low_spent_small_value_payments": 290.0,
}


def spelling(behaviour: str) -> str:
    """A payment behaviour as the source writes it: High_spent_Small_value_payments."""
    level, verb, size, *rest = behaviour.split("_")
    return "_".join([level.capitalize(), verb, size.capitalize(), *rest])


# Stand for "not told" wherever they appear, beside the empty cell. `NM` means "not mentioned".
MASKS: Final = ("_", "_______", "!@9#%8", "#F%$D@*&8", "NM", "NA", "nan", "NaN", "None")


@dataclass(frozen=True)
class RawColumn:
    """A numeric column: its name in the contract, the range the source's clean values keep, and its fills."""

    name: str
    low: float
    high: float
    fills: tuple[float, ...] = ()  # constants that a public copy's maker wrote into missing cells


# Ranges: the clean range of the profile in data/README.md. Outliers start far above (cards 15, interest 59, EMI 1,800).
_NUMERIC: Final = (
    RawColumn("age", 14, 56),
    RawColumn("annual_income", 7_000, 180_000),
    RawColumn("monthly_inhand_salary", 300, 15_300, fills=(3093.745,)),
    RawColumn("num_bank_accounts", -1, 11),
    RawColumn("num_credit_cards", 0, 11),
    RawColumn("interest_rate", 1, 34),
    RawColumn("num_loans", 0, 9),
    RawColumn("delay_from_due_date", -10, 70),
    RawColumn("num_delayed_payments", -3, 28),
    RawColumn("changed_credit_limit", -7, 37, fills=(0.0, -1.0, 9.4)),
    RawColumn("num_credit_inquiries", 0, 17),
    RawColumn("outstanding_debt", 0, 5_000),
    RawColumn("credit_utilization_ratio", 0, 100),
    RawColumn("total_emi_per_month", 0, 1_800),
    RawColumn("amount_invested_monthly", 0, 2_000, fills=(0.0, 135.92568154608836)),
    RawColumn("monthly_balance", 0, 1_700, fills=(0.0, 336.71918978926107)),
)
NUMERIC: Final = {KAGGLE[column.name]: column for column in _NUMERIC}
"""By the raw name."""

# Plausible ratios, the extremes of rows whose balance identity holds, rounded outward.
INCOME_TO_SALARY: Final = (0.65, 2.0)  # annual_income / 12 / monthly_inhand_salary; 0.67 to 1.93 measured
EMI_PER_LOAN: Final = (0.0035, 0.0170)  # total_emi / salary / loans; 0.0036 to 0.0166 measured
EMI_PER_LOAN_USUAL: Final = (0.0047, 0.0118)  # the middle 98 %
INVESTED_TO_SALARY: Final = (0.0, 0.17)  # amount_invested / salary; up to 0.156 measured
