"""Input that is accepted but odd: codes that travel in an answer's `warnings` and in the prediction log.

A contradiction is refused (`service.web.decoding`); what is merely unlikely is scored and said. The thresholds are far
from what the training data holds (their 99th percentiles), so a warning is worth a look. A number outside of what the
model learned from (`Manifest.ranges`) is said too, field by field: fractions sent for percent, cents for units, nothing
but zeros get an answer like any other, and nobody should rely on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.contract import Applicant
from service.score.features import NUMBERS, Column

MONTHS: Final = 12
SALARY_OVER_INCOME: Final = 1.5  # net salary of a year over gross income of a year
SALARY_UNDER_INCOME: Final = 0.2
FULL_LIMIT_PERCENT: Final = 100.0

WARNINGS: dict[str, str] = {
    "instalments-without-loan": "total_emi_per_month is above 0 though num_loans is 0",
    "loan-kinds-missing": "num_loans is above 0 though loan_types is empty",
    "salary-above-income": "monthly_inhand_salary is far more than a twelfth of annual_income",
    "salary-below-income": "monthly_inhand_salary is far less than a twelfth of annual_income",
    "instalments-above-income": "total_emi_per_month is more than a twelfth of annual_income",
    "investment-above-income": "amount_invested_monthly is more than a twelfth of annual_income",
    "limit-exceeded": "credit_utilization_ratio is above 100 %",
}
RANGED: Final = (*NUMBERS, "credit_utilization_ratio")
"""The fields whose numbers are held against what the model learned from."""
UNUSUAL: Final = {field: f"unusual-{field.replace('_', '-')}" for field in RANGED}
WARNINGS |= {code: f"{field} lies outside of what 99.8 % of the training rows hold" for field, code in UNUSUAL.items()}
NONE: Final[tuple[str, ...]] = ()


def warnings_of(applicant: Applicant) -> tuple[str, ...]:
    """Codes of what is odd about an applicant, in the order of `WARNINGS`."""
    codes: list[str] = []
    monthly = applicant.annual_income / MONTHS
    salary, invested = applicant.monthly_inhand_salary, applicant.amount_invested_monthly
    if not applicant.num_loans:
        if applicant.total_emi_per_month > 0:
            codes.append("instalments-without-loan")
    elif not applicant.loan_types:
        codes.append("loan-kinds-missing")
    if salary is not None:
        if salary > monthly * SALARY_OVER_INCOME:
            codes.append("salary-above-income")
        elif salary < monthly * SALARY_UNDER_INCOME:
            codes.append("salary-below-income")
    if applicant.total_emi_per_month > monthly:
        codes.append("instalments-above-income")
    if invested is not None and invested > monthly:
        codes.append("investment-above-income")
    if applicant.credit_utilization_ratio > FULL_LIMIT_PERCENT:
        codes.append("limit-exceeded")
    return tuple(codes) if codes else NONE


class InputCheck:
    """Warnings of one model: what is odd in itself, and what lies outside of what this model learned from."""

    def __init__(self, ranges: Mapping[str, Sequence[float]]) -> None:
        fields = [field for field in RANGED if field in ranges]
        self._fields = fields
        self._limits = [(ranges[field][0], ranges[field][1], UNUSUAL[field]) for field in fields]
        self._values: Any = attrgetter(*fields) if len(fields) > 1 else None

    def of(self, applicant: Applicant) -> tuple[str, ...]:
        """Codes in the order of `WARNINGS`."""
        odd = warnings_of(applicant)
        if self._values is None:
            return odd
        far = [
            code
            for value, (low, high, code) in zip(self._values(applicant), self._limits, strict=True)
            if value is not None and not low <= value <= high
        ]
        return (*odd, *far) if far else odd

    def of_many(self, applicants: Sequence[Applicant], columns: Mapping[str, Sequence[Any]]) -> list[tuple[str, ...]]:
        """`of` each; only those whose numbers, by columns, hint at something are looked at one by one."""
        number = {name: np.array(columns[name], np.float64) for name in RANGED}  # None becomes NaN, which hints at none
        hinted = _oddities(number, columns["loan_types"])
        for field, (low, high, _) in zip(self._fields, self._limits, strict=True):
            hinted |= (number[field] < low) | (number[field] > high)
        codes = [NONE] * len(applicants)
        for row in np.flatnonzero(hinted).tolist():
            codes[row] = self.of(applicants[row])
        return codes


def _oddities(number: Mapping[str, Column], loan_types: Sequence[Any]) -> NDArray[np.bool_]:
    """Where `warnings_of` finds something."""
    monthly = number["annual_income"] / MONTHS
    salary, instalments = number["monthly_inhand_salary"], number["total_emi_per_month"]
    loans, have_types = number["num_loans"] != 0, np.array([*map(bool, loan_types)])
    return (
        np.where(loans, ~have_types, instalments > 0)
        | (salary > monthly * SALARY_OVER_INCOME)
        | (salary < monthly * SALARY_UNDER_INCOME)
        | (instalments > monthly)
        | (number["amount_invested_monthly"] > monthly)
        | (number["credit_utilization_ratio"] > FULL_LIMIT_PERCENT)
    )
