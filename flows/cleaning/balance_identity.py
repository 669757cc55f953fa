"""The balance identity: what a customer's five amounts of one month say about each other, to the cent.

`balance + emi + invested - salary / 10` is 240, 250 ... 290 by payment behaviour. One unknown of the five can be
solved, and a row that breaks the identity is corrupt. In the source a lasting amount x is booked from salary to
instalments for some customers (the balance was computed before): then the sum is off by 1.1 x, which names x. First a
row speaks for itself, then the customer's own past months speak, and only then are behaviour, investment and balance
solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.cleaning.cleaning_rules import CleaningRule, CleaningTally
from flows.cleaning.own_past import OwnPast
from flows.cleaning.raw_table import EMI_PER_LOAN, EMI_PER_LOAN_USUAL, INCOME_TO_SALARY, INVESTED_TO_SALARY, NUMERIC

Column = NDArray[np.float64]
Mask = NDArray[np.bool_]
CENT: Final = 0.02  # copies round to nine digits; real mismatches start above a unit
SHIFT_EFFECT: Final = 1.1  # x less salary (a tenth counts) and x more instalments
FIRST_SUM, SUM_STEP, LAST_SUM = 240.0, 10.0, 290.0
BALANCE_RANGE: Final = (NUMERIC["Monthly_Balance"].low, NUMERIC["Monthly_Balance"].high)
INVESTED_MOST: Final = NUMERIC["Amount_invested_monthly"].high
IDENTITY: Final = ("salary", "emi", "invested", "balance", "spending")
HOLDS, REPAIRED, BROKEN, UNKNOWN = "holds", "repaired", "broken", "unknown"


@dataclass
class Amounts:
    """The amounts of all rows, NaN where unknown; sorted by customer and month, changed in place."""

    income: Column  # per year
    salary: Column
    loans: Column
    emi: Column
    invested: Column
    balance: Column
    spending: Column  # the identity's sum that the payment behaviour stands for

    def gap(self) -> Column:
        """By how much the identity is missed; NaN where an amount is unknown."""
        return self.balance + self.emi + self.invested - self.salary / 10 - self.spending

    def of_identity(self) -> Column:
        """A copy of the identity's five amounts, in the order of `IDENTITY`: shape (n, 5)."""
        return np.column_stack([getattr(self, name) for name in IDENTITY])

    def emi_per_loan(self) -> Column:
        """Instalments as a share of salary, per loan; infinite or NaN without a loan."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.emi / self.salary / self.loans


def repair(amounts: Amounts, past: OwnPast, tally: CleaningTally) -> NDArray[np.str_]:
    """Mend the amounts in place; per row whether the identity holds, was repaired, is broken or cannot be checked."""
    before = amounts.of_identity()
    broken_at_first = np.abs(amounts.gap()) > CENT
    _no_loan_no_emi(amounts, tally)
    verified = _undo_shift(amounts, past, tally)
    _believe_verified_past(amounts, past, verified, tally)
    _solve_salary_and_emi(amounts, tally)
    _carry_forward(amounts, past, tally)
    _solve_the_rest(amounts, tally)
    gap = np.abs(amounts.gap())
    after = amounts.of_identity()
    changed = (before != after) & ~(np.isnan(before) & np.isnan(after))
    state = np.where(gap <= CENT, np.where(changed.any(axis=1) | broken_at_first, REPAIRED, HOLDS), UNKNOWN)
    state = np.where(gap > CENT, BROKEN, state)
    tally.add(CleaningRule.IDENTITY_BROKEN, "monthly_balance", state == BROKEN)
    return state


def fill_gaps(amounts: Amounts, past: OwnPast, tally: CleaningTally) -> NDArray[np.str_]:
    """Solve what is unknown and let stand what a row told, even where it contradicts itself; states as of `repair`.

    So an applicant's amounts come over the API, and a booked shift is worth knowing: rows of which it was undone are
    far better than a model thinks that never saw it.
    """
    before = amounts.of_identity()
    state = repair(amounts, past, tally)
    after = amounts.of_identity()
    contradicts: Mask = np.any(np.abs(after - before) > CENT, axis=1)
    values = np.where(~np.isnan(before) | np.expand_dims(contradicts, 1), before, after)
    for name, column in zip(IDENTITY, values.T, strict=True):
        setattr(amounts, name, column.copy())
    return np.where(contradicts, BROKEN, state)


def _within(values: Column, bounds: tuple[float, float]) -> Mask:
    with np.errstate(invalid="ignore"):
        inside: Mask = (values >= bounds[0]) & (values <= bounds[1])
    return inside


def _no_loan_no_emi(amounts: Amounts, tally: CleaningTally) -> None:
    """Without a loan there is no instalment: what stands there was booked away from salary."""
    loanless = amounts.loans == 0
    shifted = loanless & (amounts.emi > 0) & ~np.isnan(amounts.salary)
    tally.add(CleaningRule.SHIFT_UNDONE, "monthly_inhand_salary", shifted)
    tally.add(CleaningRule.NO_LOAN_NO_EMI, "total_emi_per_month", loanless & (amounts.emi != 0))
    amounts.salary = np.where(shifted, amounts.salary + amounts.emi, amounts.salary)
    amounts.emi = np.where(loanless, 0.0, amounts.emi)


def _undo_shift(amounts: Amounts, past: OwnPast, tally: CleaningTally) -> Mask:
    """Book back the amount that the row's own identity names; true where salary and instalments are verified.

    A copy's filled investment breaks the identity as well. The shift is believed where the instalments are impossible
    or unusual for the salary and loans and become usual by it, or where the customer's last broken row names the same.
    """
    gap = amounts.gap()
    broken = np.abs(gap) > CENT
    amount = np.where(broken, gap / SHIFT_EFFECT, np.nan)
    now = amounts.emi_per_loan()
    with np.errstate(divide="ignore", invalid="ignore"):
        then = (amounts.emi - amount) / (amounts.salary + amount) / amounts.loans
    impossible = ~_within(now, EMI_PER_LOAN) & _within(then, EMI_PER_LOAN)
    unusual = ~_within(now, EMI_PER_LOAN_USUAL) & _within(then, EMI_PER_LOAN_USUAL)
    lasting = (np.abs(past.last(amount) - amount) < CENT) & _within(then, EMI_PER_LOAN)
    shifted = broken & (amounts.loans > 0) & (impossible | unusual | lasting)
    tally.add(CleaningRule.SHIFT_UNDONE, "monthly_inhand_salary", shifted)
    tally.add(CleaningRule.SHIFT_UNDONE, "total_emi_per_month", shifted)
    amounts.salary = np.where(shifted, amounts.salary + amount, amounts.salary)
    amounts.emi = np.where(shifted, np.maximum(amounts.emi - amount, 0.0), amounts.emi)
    verified: Mask = shifted | ~(broken | np.isnan(gap))
    return verified


def _believe_verified_past(amounts: Amounts, past: OwnPast, verified: Mask, tally: CleaningTally) -> None:
    """Salary and instalments are constant: where the row cannot verify its own, the last verified month's count."""
    rows = past.last_row(verified)
    believed = ~verified & (rows >= 0)
    for column, values in (("monthly_inhand_salary", amounts.salary), ("total_emi_per_month", amounts.emi)):
        earlier = values[rows]
        missing = believed & np.isnan(values)
        unlike = believed & (np.abs(values - earlier) > CENT)
        tally.add(CleaningRule.FROM_OWN_PAST, column, missing)
        tally.add(CleaningRule.UNLIKE_OWN_PAST, column, unlike)
        values[missing | unlike] = earlier[missing | unlike]


def _solve_salary_and_emi(amounts: Amounts, tally: CleaningTally) -> None:
    """Solve salary or instalments from the row's other four amounts, where the result is plausible."""
    rest = amounts.balance + amounts.invested - amounts.spending
    salary = np.where(np.isnan(amounts.salary), 10 * (rest + amounts.emi), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        plausible = _within(amounts.income / 12 / salary, INCOME_TO_SALARY)
        per_loan = amounts.emi / salary / amounts.loans
    plausible &= (amounts.loans == 0) | _within(per_loan, EMI_PER_LOAN)
    tally.add(CleaningRule.FROM_IDENTITY, "monthly_inhand_salary", plausible)
    amounts.salary = np.where(plausible, salary, amounts.salary)
    emi = np.where(np.isnan(amounts.emi), amounts.salary / 10 - rest, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        plausible = _within(emi / amounts.salary / amounts.loans, EMI_PER_LOAN)
    tally.add(CleaningRule.FROM_IDENTITY, "total_emi_per_month", plausible)
    amounts.emi = np.where(plausible, emi, amounts.emi)


def _carry_forward(amounts: Amounts, past: OwnPast, tally: CleaningTally) -> None:
    for column, values in (("monthly_inhand_salary", amounts.salary), ("total_emi_per_month", amounts.emi)):
        earlier = past.last(values)
        missing = np.isnan(values) & ~np.isnan(earlier)
        tally.add(CleaningRule.FROM_OWN_PAST, column, missing)
        values[missing] = earlier[missing]


def _solve_the_rest(amounts: Amounts, tally: CleaningTally) -> None:
    """Solve behaviour, investment and balance of the same row; of a broken row the likeliest one is solved anew."""
    total = amounts.balance + amounts.emi + amounts.invested - amounts.salary / 10
    nearest = np.round(total / SUM_STEP) * SUM_STEP
    exact = (np.abs(total - nearest) < CENT) & _within(nearest, (FIRST_SUM, LAST_SUM))
    spending = exact & ~(np.abs(amounts.gap()) <= CENT)
    tally.add(CleaningRule.FROM_IDENTITY, "payment_behaviour", spending)
    amounts.spending = np.where(spending, nearest, amounts.spending)

    remainder = amounts.spending + amounts.salary / 10 - amounts.emi
    wrong = np.abs(amounts.gap()) > CENT
    invested = remainder - amounts.balance
    low, high = INVESTED_TO_SALARY
    fits = _within(invested, (low - CENT, np.inf)) & (invested <= np.minimum(high * amounts.salary, INVESTED_MOST))
    fits &= np.isnan(amounts.invested) | wrong
    tally.add(CleaningRule.FROM_IDENTITY, "amount_invested_monthly", fits)
    amounts.invested = np.where(fits, np.maximum(invested, 0.0), amounts.invested)

    balance = remainder - amounts.invested
    fits = _within(balance, BALANCE_RANGE) & (np.isnan(amounts.balance) | (wrong & ~fits))
    tally.add(CleaningRule.FROM_IDENTITY, "monthly_balance", fits)
    amounts.balance = np.where(fits, balance, amounts.balance)
