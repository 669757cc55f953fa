"""Input that is accepted but odd: codes that travel in an answer's `warnings` and in the prediction log.

A contradiction is refused (`service.web.decoding`); what is merely unlikely is scored and said. The thresholds are far
from what the training data holds (their 99th percentiles), so a warning is worth a look.
"""

from __future__ import annotations

from typing import Final

from service.contract import Applicant

MONTHS: Final = 12
SALARY_OVER_INCOME: Final = 1.5  # net salary of a year over gross income of a year
SALARY_UNDER_INCOME: Final = 0.2
FULL_LIMIT_PERCENT: Final = 100.0

WARNINGS: Final[dict[str, str]] = {
    "instalments-without-loan": "total_emi_per_month is above 0 though num_loans is 0",
    "loan-kinds-missing": "num_loans is above 0 though loan_types is empty",
    "salary-above-income": "monthly_inhand_salary is far more than a twelfth of annual_income",
    "salary-below-income": "monthly_inhand_salary is far less than a twelfth of annual_income",
    "instalments-above-income": "total_emi_per_month is more than a twelfth of annual_income",
    "investment-above-income": "amount_invested_monthly is more than a twelfth of annual_income",
    "limit-exceeded": "credit_utilization_ratio is above 100 %",
}
NONE: Final[tuple[str, ...]] = ()


def warnings_of(applicant: Applicant) -> tuple[str, ...]:
    """Codes of what is odd about an applicant, in the order of `WARNINGS`."""
    found: list[str] = []
    monthly = applicant.annual_income / MONTHS
    salary, invested = applicant.monthly_inhand_salary, applicant.amount_invested_monthly
    if not applicant.num_loans:
        if applicant.total_emi_per_month > 0:
            found.append("instalments-without-loan")
    elif not applicant.loan_types:
        found.append("loan-kinds-missing")
    if salary is not None:
        if salary > monthly * SALARY_OVER_INCOME:
            found.append("salary-above-income")
        elif salary < monthly * SALARY_UNDER_INCOME:
            found.append("salary-below-income")
    if applicant.total_emi_per_month > monthly:
        found.append("instalments-above-income")
    if invested is not None and invested > monthly:
        found.append("investment-above-income")
    if applicant.credit_utilization_ratio > FULL_LIMIT_PERCENT:
        found.append("limit-exceeded")
    return tuple(found) if found else NONE
