"""From the raw table to rows the public contract accepts: every change a named, counted rule, no row lost.

Rows in = rows out + rows in quarantine. A missing value is filled from the row itself (loan names, balance identity)
or, unless rows are wanted as the API sees them, from the same customer's earlier months; never from a later month and
never from another customer, so cleaning the months up to March gives the same rows as cleaning the year. What stays
unknown stays null, or, where the contract requires it, sets the row aside with its reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from flows.cleaning.balance_identity import Amounts, fill_gaps, repair
from flows.cleaning.cleaning_rules import CleaningRule, CleaningTally
from flows.cleaning.own_past import OwnPast
from flows.cleaning.parsing import WHOLE, Fills, parse, text
from flows.cleaning.raw_table import BEHAVIOUR_SUMS, INCOME_TO_SALARY, LABEL_COLUMN, PERSONAL_COLUMNS
from service.contract import DESCRIBING_FIELDS, NULLABLE_FIELDS

IDENTITY_COLUMN: Final = "balance_identity"
CLEAN_COLUMNS: Final = ("customer_id", "month", "label", "age", "occupation", *DESCRIBING_FIELDS, IDENTITY_COLUMN)
REQUIRED: Final = tuple(name for name in DESCRIBING_FIELDS if name not in NULLABLE_FIELDS | {"num_loans", "loan_types"})
"""Fields that set a row aside if they stay unknown; loans are always known, by their number or their names."""
# Constants of the customer, or a constant base with small steps: the last known month is the best guess of this one.
NUMBERS_THAT_LAST: Final = (
    "age",
    "num_bank_accounts",
    "num_credit_cards",
    "interest_rate",
    "delay_from_due_date",
    "num_delayed_payments",
    "num_credit_inquiries",
    "changed_credit_limit",
    "outstanding_debt",
    "credit_utilization_ratio",
)
WORDS_THAT_LAST: Final = ("occupation", "credit_mix", "payment_of_min_amount")
Mend = Callable[[Amounts, OwnPast, CleaningTally], np.ndarray]
NOISE_OF_DELAYED_PAYMENTS: Final = 6  # monthly steps are at most 3 either way, so two months differ by at most 6


@dataclass(frozen=True)
class CleanResult:
    """What cleaning gives: clean rows by customer and month, rows set aside with `reason`, and what was done.

    `parsed` are all rows with their cells typed, before any is repaired or set aside: what gates look at.
    """

    frame: pd.DataFrame
    quarantine: pd.DataFrame
    counts: CleaningTally
    parsed: pd.DataFrame


def clean_rows(raw: pd.DataFrame, extra_fills: Fills | None = None, *, as_served: bool = False) -> CleanResult:
    """Clean rows with the columns of Kaggle's train.csv, or of its test.csv without the label.

    The frame has `CLEAN_COLUMNS`, contract-valid; the index is the raw row's. `extra_fills` names constants per raw
    column that a copy's maker wrote into missing cells, beside those of `flows.cleaning.raw_table`. `as_served`: each
    row stands alone, as an applicant does whose earlier months nobody gave, and none of its amounts is corrected.
    """
    tally = CleaningTally()
    raw = raw.reset_index(drop=True)
    parsed = parse(raw, tally, extra_fills)
    reasons = _unusable(parsed, labelled=LABEL_COLUMN in raw.columns, codes=raw)
    frame = parsed[reasons == ""].sort_values(["customer_id", "month"], kind="stable")
    past = OwnPast(frame.index if as_served else frame["customer_id"])
    _loans(frame, tally)
    _reject_unlike_past(frame, past, tally)
    _fill_from_past(frame, past, tally)
    _amounts(frame, past, tally, fill_gaps if as_served else repair)
    unknown = _unknown_required(frame)
    reasons.loc[frame.index] = unknown
    clean = _finish(frame[unknown == ""])
    quarantine = raw.drop(columns=list(PERSONAL_COLUMNS), errors="ignore")[reasons != ""].assign(
        reason=reasons[reasons != ""]
    )
    for reason in quarantine["reason"].unique():
        tally.add(CleaningRule.QUARANTINED, reason, quarantine["reason"] == reason)
    return CleanResult(clean, quarantine, tally, parsed)


def _unusable(parsed: pd.DataFrame, *, labelled: bool, codes: pd.DataFrame) -> pd.Series:
    """Why a row cannot be used at all, empty where it can; of two rows of one customer and month the first stays."""
    reasons = pd.Series("", index=parsed.index, dtype="object")
    if labelled:
        has_label = text(codes[LABEL_COLUMN]) != ""
        reasons[parsed["label"].isna()] = np.where(has_label, "unknown label", "no label")[parsed["label"].isna()]
    reasons[parsed["month"].isna()] = "unknown month"
    reasons[parsed["customer_id"].isna()] = "no customer id"
    usable = parsed[reasons == ""]
    again = usable.duplicated(["customer_id", "month"], keep="first")
    reasons.loc[again[again].index] = "same customer and month twice"
    return reasons


def _loans(frame: pd.DataFrame, tally: CleaningTally) -> None:
    """As many loans as are named; the source names none exactly where there is none."""
    names = frame["loan_types"]
    count = names.str.count(r"\|").to_numpy("float64") + (names != "").to_numpy()
    number = frame["num_loans"].to_numpy("float64")
    wrong = ((count > 0) & (number != count)) | np.isnan(number)
    tally.add(CleaningRule.FROM_LOAN_NAMES, "num_loans", wrong)
    frame["num_loans"] = np.where(wrong, count, number)


def _reject_unlike_past(frame: pd.DataFrame, past: OwnPast, tally: CleaningTally) -> None:
    """Values that the customer's own last one rules out become missing; counts just below zero become zero."""
    delayed = frame["num_delayed_payments"].to_numpy(copy=True)
    limit = frame["changed_credit_limit"].to_numpy(copy=True)
    inquiries = frame["num_credit_inquiries"].to_numpy(copy=True)
    step = limit - past.last(limit)  # the limit moves by whole points only
    unlike = {
        "num_delayed_payments": (delayed < 0) & (past.last(delayed) > NOISE_OF_DELAYED_PAYMENTS),
        "changed_credit_limit": np.abs(step - np.round(step)) > 0.005,
        "num_credit_inquiries": (inquiries == 0) & (past.last(inquiries) > 0),  # they only ever step up
    }
    for column, mask in unlike.items():
        tally.add(CleaningRule.UNLIKE_OWN_PAST, column, mask)
        frame[column] = frame[column].mask(mask)
    for column in ("num_delayed_payments", "num_bank_accounts"):
        negative = frame[column] < 0
        tally.add(CleaningRule.NEGATIVE_TO_ZERO, column, negative)
        frame[column] = frame[column].mask(negative, 0.0)


def _fill_from_past(frame: pd.DataFrame, past: OwnPast, tally: CleaningTally) -> None:
    for column in NUMBERS_THAT_LAST:
        values = frame[column].to_numpy("float64")
        earlier = past.last(values)
        gaps = np.isnan(values) & ~np.isnan(earlier)
        tally.add(CleaningRule.FROM_OWN_PAST, column, gaps)
        frame[column] = np.where(gaps, earlier, values)
    for column in WORDS_THAT_LAST:
        codes, words = pd.factorize(frame[column])
        numbers = np.where(codes < 0, np.nan, codes)
        earlier = past.last(numbers)
        gaps = np.isnan(numbers) & ~np.isnan(earlier)
        tally.add(CleaningRule.FROM_OWN_PAST, column, gaps)
        frame[column] = _words(np.where(gaps, earlier, numbers), list(words), frame.index)
    history = frame["credit_history_months"].to_numpy("float64")
    month = frame["month"].to_numpy("float64")
    grown = past.last(history - month) + month  # one month a month, exactly
    gaps = np.isnan(history) & ~np.isnan(grown)
    tally.add(CleaningRule.FROM_OWN_PAST, "credit_history_months", gaps)
    frame["credit_history_months"] = np.where(gaps, grown, history)


def _words(numbers: np.ndarray, words: list[str], index: pd.Index) -> pd.Series:
    """Codes (NaN for none) back to words, null where there is none."""
    lookup = np.array([*words, None], dtype="object")
    codes = np.where(np.isnan(numbers), len(words), numbers).astype("int64")
    return pd.Series(lookup[codes], index=index, dtype="str")


def _amounts(frame: pd.DataFrame, past: OwnPast, tally: CleaningTally, mend: Mend) -> None:
    """Income, and the five amounts of the balance identity."""
    behaviours = list(BEHAVIOUR_SUMS)
    sums = np.array([*BEHAVIOUR_SUMS.values()], dtype="float64")
    amounts = Amounts(
        income=frame["annual_income"].to_numpy("float64", copy=True),
        salary=frame["monthly_inhand_salary"].to_numpy("float64", copy=True),
        loans=frame["num_loans"].to_numpy("float64", copy=True),
        emi=frame["total_emi_per_month"].to_numpy("float64", copy=True),
        invested=frame["amount_invested_monthly"].to_numpy("float64", copy=True),
        balance=frame["monthly_balance"].to_numpy("float64", copy=True),
        spending=np.array(frame["payment_behaviour"].map(BEHAVIOUR_SUMS), dtype=np.float64),
    )
    frame[IDENTITY_COLUMN] = mend(amounts, past, tally)
    _income(amounts, past, tally)
    frame["annual_income"] = amounts.income
    frame["monthly_inhand_salary"] = amounts.salary
    frame["total_emi_per_month"] = amounts.emi
    frame["amount_invested_monthly"] = amounts.invested
    frame["monthly_balance"] = amounts.balance
    codes = np.where(np.isnan(amounts.spending), np.nan, np.searchsorted(sums, np.nan_to_num(amounts.spending)))
    frame["payment_behaviour"] = _words(codes, behaviours, frame.index)


def _income(amounts: Amounts, past: OwnPast, tally: CleaningTally) -> None:
    ratio = amounts.income / 12 / amounts.salary
    unlike = (ratio < INCOME_TO_SALARY[0]) | (ratio > INCOME_TO_SALARY[1])
    tally.add(CleaningRule.UNLIKE_SALARY, "annual_income", unlike)
    income = np.where(unlike, np.nan, amounts.income)
    earlier = past.last(income)
    gaps = np.isnan(income) & ~np.isnan(earlier)
    tally.add(CleaningRule.FROM_OWN_PAST, "annual_income", gaps)
    income = np.where(gaps, earlier, income)
    earned = np.isnan(income) & ~np.isnan(amounts.salary)
    tally.add(CleaningRule.FROM_SALARY, "annual_income", earned)
    amounts.income = np.where(earned, 12 * amounts.salary, income)


def _unknown_required(frame: pd.DataFrame) -> pd.Series:
    """Names of the required values that are unknown, as the reason; empty if the row is complete."""
    reasons = pd.Series("", index=frame.index, dtype="object")
    for column in REQUIRED:
        unknown = frame[column].isna()
        reasons[unknown] = reasons[unknown].where(reasons[unknown] == "", reasons[unknown] + ", ") + column
    return reasons.mask(reasons != "", "unknown " + reasons)


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    """The agreed columns, in order and typed; the label is null where the file has none."""
    if "label" not in frame.columns:
        frame = frame.assign(label=pd.Series(None, index=frame.index, dtype="str"))
    types: dict[str, str] = {name: "Int64" for name in WHOLE} | {"month": "int64"}
    types |= {name: "str" for name in ("customer_id", "label", "loan_types", IDENTITY_COLUMN)}
    return frame[list(CLEAN_COLUMNS)].astype(types)
