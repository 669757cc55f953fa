"""The named rules of cleaning: what each one does, and how often it did it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import numpy as np
import pandas as pd

Mask = np.ndarray | pd.Series


class CleaningRule(StrEnum):
    """Every change that cleaning may make to a cell, and every reason to set a row aside."""

    TRAILING_UNDERSCORE = "trailing_underscore"
    MASKED = "masked"
    EMPTY = "empty"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    NOT_WHOLE = "not_whole"
    COPY_FILL = "copy_fill"
    UNKNOWN_CATEGORY = "unknown_category"
    NEGATIVE_TO_ZERO = "negative_to_zero"
    UNLIKE_OWN_PAST = "unlike_own_past"
    UNLIKE_SALARY = "unlike_salary"
    FROM_OWN_PAST = "from_own_past"
    FROM_SALARY = "from_salary"
    FROM_LOAN_NAMES = "from_loan_names"
    FROM_IDENTITY = "from_identity"
    SHIFT_UNDONE = "salary_emi_shift_undone"
    NO_LOAN_NO_EMI = "no_loan_no_emi"
    IDENTITY_BROKEN = "balance_identity_broken"
    QUARANTINED = "quarantined"


MEANING: Final = {
    CleaningRule.TRAILING_UNDERSCORE: "underscores around a value are taken off",
    CleaningRule.MASKED: "a mask (`_`, `_______`, `!@9#%8`, `#F%$D@*&8`, `NM`, `NA`) counts as missing",
    CleaningRule.EMPTY: "the cell is empty: missing",
    CleaningRule.NOT_A_NUMBER: "text where a number belongs: missing",
    CleaningRule.OUT_OF_RANGE: "outside the range the source's clean values keep: missing",
    CleaningRule.NOT_WHOLE: "a fraction where a whole number belongs: missing",
    CleaningRule.COPY_FILL: "a constant that the copy's maker wrote into missing cells: missing",
    CleaningRule.UNKNOWN_CATEGORY: "a category the contract does not know: missing (a loan's name: not_specified)",
    CleaningRule.NEGATIVE_TO_ZERO: "a count just below zero is the noise of a count at zero: 0",
    CleaningRule.UNLIKE_OWN_PAST: "impossible beside the customer's own last value: missing",
    CleaningRule.UNLIKE_SALARY: "an income that the customer's own salary rules out: missing",
    CleaningRule.FROM_OWN_PAST: "taken from the customer's own last known month",
    CleaningRule.FROM_SALARY: "no past month: twelve salaries",
    CleaningRule.FROM_LOAN_NAMES: "counted from the names of the loans",
    CleaningRule.FROM_IDENTITY: "solved from the balance identity of the same row",
    CleaningRule.SHIFT_UNDONE: "an amount booked from salary to instalments is booked back (the identity names it)",
    CleaningRule.NO_LOAN_NO_EMI: "instalments without a loan: 0",
    CleaningRule.IDENTITY_BROKEN: (
        "the row's amounts contradict each other and nothing says which is wrong: kept, flagged"
    ),
    CleaningRule.QUARANTINED: "set aside, never guessed: a required value is unknown and no own past month tells it",
}


class CleaningTally:
    """Counts cells by (rule, column); a rule that never fired is absent."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, rule: CleaningRule, column: str, mask: Mask) -> None:
        """Count the true cells of `mask` under the rule and column."""
        if count := int(np.count_nonzero(mask)):
            key = (str(rule), column)
            self._counts[key] = self._counts.get(key, 0) + count

    def count(self, rule: CleaningRule, column: str | None = None) -> int:
        """How often the rule fired, in one column or in all."""
        return sum(n for (name, where), n in self._counts.items() if name == rule and column in (None, where))

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        for (rule, column), count in sorted(self._counts.items()):
            yield rule, column, count

    def nested(self) -> dict[str, dict[str, int]]:
        """{rule: {column: cells}}, sorted, ready for JSON."""
        result: dict[str, dict[str, int]] = {}
        for rule, column, count in self:
            result.setdefault(rule, {})[column] = count
        return result
