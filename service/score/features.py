"""What the model sees of an applicant: one feature code for training and serving.

Every feature is a number (float64, NaN = not known). Categories become ordinals and loan kinds counts here, so the
model needs no category statistics of its own and serves from plain trees. `row` serves one applicant, `matrix` a
million training rows; both hand their numbers to the same `derived`, whose plain arithmetic is exact IEEE on floats
and on arrays alike, so the two agree to the last bit.

Age, occupation, month, `customer_ref` and `as_of` are no features: the first two could discriminate, the month does
not come back, and the last two only identify. Of `previous_classes` only what was observed counts, in whole months and
quarters before `as_of`; who is not known has none of these features, and the model learned both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.contract import Applicant, CreditClass, CreditMix, LoanType, MinimumPayment, PaymentBehaviour

Column = NDArray[np.float64]
Number = TypeVar("Number", float, Column)

NAN: Final = float("nan")


class Coded(NamedTuple):
    """A column of few distinct values: each once, and per row the position of its own; millions of rows cost little."""

    values: list[Any]
    codes: NDArray[np.intp]


class _Ordinals(dict[str | None, float]):
    """Category to ordinal; nothing known (None, NaN, NA) becomes NaN, an unknown category is refused."""

    def __missing__(self, key: object) -> float:
        if isinstance(key, str):
            # The value itself is an applicant's: only the allowed ones may be told.
            raise ValueError(f"unknown category: allowed are {', '.join(str(name) for name in self)}")
        return NAN


def _ordinals(values: Mapping[Any, float]) -> _Ordinals:
    """The table keyed by plain text: StrEnum members look up the same entries."""
    return _Ordinals({str(key): value for key, value in values.items()})


# Worst first: a greater ordinal of the mix is better, of the minimum payment worse.
_MIX: Final = _ordinals({CreditMix.BAD: 0.0, CreditMix.STANDARD: 1.0, CreditMix.GOOD: 2.0})
_MINIMUM: Final = _ordinals({MinimumPayment.NO: 0.0, MinimumPayment.YES: 1.0})
_SPENT: Final = _ordinals({value: float(value.startswith("high")) for value in PaymentBehaviour})
_VALUE: Final = _ordinals(
    {value: 2.0 if "_large_" in value else 1.0 if "_medium_" in value else 0.0 for value in PaymentBehaviour}
)
LOAN_KINDS: Final = tuple(str(kind) for kind in LoanType)
_LOAN_POSITION: Final = {kind: position for position, kind in enumerate(LOAN_KINDS)}

NUMBERS: Final = (
    "annual_income",
    "monthly_inhand_salary",
    "num_bank_accounts",
    "num_credit_cards",
    "num_loans",
    "interest_rate",
    "delay_from_due_date",
    "num_delayed_payments",
    "num_credit_inquiries",
    "changed_credit_limit",
    "outstanding_debt",
    "credit_history_months",
    "total_emi_per_month",
    "amount_invested_monthly",
    "monthly_balance",
)
"""The fields that are features as they are, in the order of `FEATURES`."""


@dataclass(frozen=True)
class Feature:
    """One input of the model.

    `sources` are the contract fields it is computed from, `family` groups features that tell the same story (one
    reason a family), `risk` is the declared direction: +1 a greater value is riskier, -1 safer, 0 nothing declared.
    """

    name: str
    sources: tuple[str, ...]
    family: str
    risk: int


def _single(name: str, family: str, risk: int) -> Feature:
    return Feature(name, (name,), family, risk)


HISTORY: Final = {
    "class_last": -1,  # the last class observed, 0 (Poor) to 2 (Good)
    "class_age_months": 0,
    "class_age_quarters": 0,
    "class_this_quarter": 0,  # means of the classes observed in this calendar quarter, in the one before, and of all
    "class_last_quarter": 0,
    "class_mean": 0,
}
"""What `history` tells of the observed classes, with the declared risk."""

FEATURES: Final[tuple[Feature, ...]] = (
    _single("annual_income", "income", -1),
    _single("monthly_inhand_salary", "income", -1),
    _single("num_bank_accounts", "bank_accounts", 1),
    _single("num_credit_cards", "credit_cards", 1),
    _single("num_loans", "loans", 1),
    _single("interest_rate", "interest_rate", 1),
    _single("delay_from_due_date", "delay", 1),
    _single("num_delayed_payments", "delayed_payments", 1),
    _single("num_credit_inquiries", "inquiries", 1),
    _single("changed_credit_limit", "credit_limit", 0),
    _single("outstanding_debt", "debt", 1),
    _single("credit_history_months", "history", -1),
    _single("total_emi_per_month", "instalments", 0),
    _single("amount_invested_monthly", "investment", 0),
    _single("monthly_balance", "balance", -1),
    _single("credit_mix", "credit_mix", -1),
    _single("payment_of_min_amount", "minimum_payment", 1),
    Feature("spent_level", ("payment_behaviour",), "behaviour", 0),
    Feature("payment_size", ("payment_behaviour",), "behaviour", 0),
    *(Feature(name, ("previous_classes",), "previous_classes", risk) for name, risk in HISTORY.items()),
    *(Feature(f"loans_{kind}", ("loan_types", "num_loans"), "loan_kinds", 0) for kind in LOAN_KINDS),
    Feature("debt_to_income", ("outstanding_debt", "annual_income"), "debt", 1),
    Feature("debt_per_account", ("outstanding_debt", "num_bank_accounts", "num_credit_cards"), "debt", 0),
    Feature("interest_on_debt", ("interest_rate", "outstanding_debt"), "debt", 1),
    Feature("instalments_to_salary", ("total_emi_per_month", "monthly_inhand_salary"), "instalments", 1),
    Feature("balance_to_salary", ("monthly_balance", "monthly_inhand_salary"), "balance", 0),
    Feature("delay_burden", ("delay_from_due_date", "num_delayed_payments"), "delay", 1),
    Feature("inquiries_per_history_year", ("num_credit_inquiries", "credit_history_months"), "inquiries", 1),
    Feature("credit_lines", ("num_bank_accounts", "num_credit_cards", "num_loans"), "credit_lines", 1),
)
FEATURE_NAMES: Final[tuple[str, ...]] = tuple(feature.name for feature in FEATURES)
AGE: Final = FEATURE_NAMES.index("class_age_months")
"""Where a row of features tells how old the last observed class is; missing there: nothing was observed."""


DERIVED_FROM: Final = (
    "annual_income",
    "monthly_inhand_salary",
    "num_bank_accounts",
    "num_credit_cards",
    "num_loans",
    "interest_rate",
    "delay_from_due_date",
    "num_delayed_payments",
    "num_credit_inquiries",
    "outstanding_debt",
    "credit_history_months",
    "total_emi_per_month",
    "monthly_balance",
)
"""The features that `derived` takes, in its order; what it gives are the last of `FEATURES`."""


def derived(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # plain floats: no tuple a request
    income: Number,
    salary: Number,
    accounts: Number,
    cards: Number,
    loans: Number,
    rate: Number,
    delay: Number,
    delayed: Number,
    inquiries: Number,
    debt: Number,
    history: Number,
    instalments: Number,
    balance: Number,
) -> tuple[Number, ...]:
    """Ratios and sums, in the order of `FEATURES`; a constant in each divisor keeps it above zero.

    Plain `+ * /` only: a power, a logarithm or a fused sum may differ in the last bit between float and array.
    """
    return (
        debt / (income + 1.0),
        debt / (accounts + cards + 1.0),
        rate * debt,
        instalments / (salary + 1.0),
        balance / (salary + 1.0),
        delay * delayed,
        12.0 * inquiries / (history + 12.0),
        accounts + cards + loans,
    )


def _loan_counts(kinds: Iterable[str], num_loans: float) -> tuple[float, ...]:
    """How many loans of each kind; unknown (NaN) where loans run but no kind is told."""
    counts = [0.0] * len(LOAN_KINDS)
    total = 0
    for kind in kinds:
        counts[_LOAN_POSITION[kind]] += 1.0
        total += 1
    if total or num_loans == 0.0:
        return tuple(counts)
    return (NAN,) * len(LOAN_KINDS)


_CLASS: Final = {str(name): float(place) for place, name in enumerate(CreditClass)}
UNKNOWN: Final = (NAN,) * len(HISTORY)


def history(observed: Sequence[tuple[str, date]], as_of: date) -> tuple[float, ...]:
    """`HISTORY` of the classes observed, each with its day, as of a day after them; NaN where there is nothing.

    Months and quarters are the calendar's: the label is set anew at each quarter's start.
    """
    if not observed:
        return UNKNOWN
    month, now = _month(as_of), _month(as_of) // 3
    values = [(_CLASS[name], _month(day)) for name, day in observed]
    last = max(observed, key=_day)
    quarters = [(value, now - observed_month // 3) for value, observed_month in values]
    return (
        _CLASS[last[0]],
        float(month - _month(last[1])),
        float(now - _month(last[1]) // 3),
        _mean([value for value, ago in quarters if ago == 0]),
        _mean([value for value, ago in quarters if ago == 1]),
        _mean([value for value, _ in values]),
    )


def _day(observed: tuple[str, date]) -> date:
    return observed[1]


def _month(day: date) -> int:
    return 12 * day.year + day.month - 1


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else NAN


def observed_of(applicant: Applicant) -> list[tuple[str, date]]:
    """The classes observed of an applicant, as `history` takes them."""
    return [(one.observed_class, one.observed_at) for one in applicant.previous_classes or ()]


def _history_of(applicant: Applicant) -> tuple[float, ...]:
    if not applicant.previous_classes:
        return UNKNOWN
    return history(observed_of(applicant), applicant.as_of or datetime.now(UTC).date())


def histories(applicants: Sequence[Applicant]) -> dict[str, NDArray[np.float64]]:
    """The column `history` of many applicants, as `matrix` takes it; none if nobody is known."""
    if not any(one.previous_classes for one in applicants):
        return {}
    return {"history": np.array([_history_of(one) for one in applicants])}


def _number(value: float | None) -> float:
    return NAN if value is None else float(value)


def row(applicant: Applicant) -> list[float]:
    """The features of one applicant, in the order of `FEATURE_NAMES`; NaN where the applicant's value is null."""
    income = float(applicant.annual_income)
    salary = _number(applicant.monthly_inhand_salary)
    accounts = float(applicant.num_bank_accounts)
    cards = float(applicant.num_credit_cards)
    loans = float(applicant.num_loans)
    rate = float(applicant.interest_rate)
    delay = float(applicant.delay_from_due_date)
    delayed = _number(applicant.num_delayed_payments)
    inquiries = _number(applicant.num_credit_inquiries)
    debt = float(applicant.outstanding_debt)
    history = _number(applicant.credit_history_months)
    instalments = float(applicant.total_emi_per_month)
    balance = _number(applicant.monthly_balance)
    behaviour = applicant.payment_behaviour
    return [
        income,
        salary,
        accounts,
        cards,
        loans,
        rate,
        delay,
        delayed,
        inquiries,
        _number(applicant.changed_credit_limit),
        debt,
        history,
        instalments,
        _number(applicant.amount_invested_monthly),
        balance,
        _MIX[applicant.credit_mix],
        _MINIMUM[applicant.payment_of_min_amount],
        _SPENT[behaviour],
        _VALUE[behaviour],
        *_history_of(applicant),
        *_loan_counts(applicant.loan_types, loans),
        *derived(
            income, salary, accounts, cards, loans, rate, delay, delayed, inquiries, debt, history, instalments, balance
        ),
    ]


def _texts(column: Any, table: _Ordinals) -> Column:
    if isinstance(column, Coded):
        return _texts(column.values, table)[column.codes]
    return np.fromiter(map(table.__getitem__, column), dtype=np.float64, count=len(column))


def _loan_columns(column: Any, num_loans: Column) -> NDArray[np.float64]:
    """Counts per kind of every row; a million rows hold a few thousand distinct lists, each counted once."""
    texts, codes = column if isinstance(column, Coded) else _distinct(column)
    table = np.array([*map(_list_counts, texts)]).reshape(-1, len(LOAN_KINDS))
    counts = table[codes]
    unnamed = np.array([not text for text in texts], dtype=bool)[codes] & (num_loans != 0.0)
    counts[unnamed] = NAN
    return counts


@lru_cache(maxsize=65_536)  # some thousand distinct lists, in block after block of rows
def _list_counts(text: str) -> tuple[float, ...]:
    return _loan_counts(text.split("|") if text else (), 0.0)


def _distinct(column: Any) -> Coded:
    texts = [value if isinstance(value, str) else "|".join(value) if _is_list(value) else "" for value in column]
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(text, len(numbers)) for text in texts), dtype=np.intp, count=len(texts))
    return Coded(list(numbers), codes)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def matrix(columns: Mapping[str, Any]) -> NDArray[np.float64]:
    """The features of many applicants, shape (rows, len(FEATURE_NAMES)), each row equal to `row` to the last bit.

    `columns` are arrays named like the fields of `Applicant`: numbers as floats with NaN (None is read as NaN too),
    categories as the contract's texts with None or NaN, `loan_types` as lists or as text joined by `|`. Categories and
    `loan_types` (as text) may also be `Coded`. `history`, if it is there, holds what `history` tells of each row, shape
    (rows, len(HISTORY)); without it no row has an observed class.
    """
    value = {name: np.asarray(columns[name], dtype=np.float64) for name in NUMBERS}
    behaviour = columns["payment_behaviour"]
    ratios = derived(
        value["annual_income"],
        value["monthly_inhand_salary"],
        value["num_bank_accounts"],
        value["num_credit_cards"],
        value["num_loans"],
        value["interest_rate"],
        value["delay_from_due_date"],
        value["num_delayed_payments"],
        value["num_credit_inquiries"],
        value["outstanding_debt"],
        value["credit_history_months"],
        value["total_emi_per_month"],
        value["monthly_balance"],
    )
    single = (
        *(value[name] for name in NUMBERS),
        _texts(columns["credit_mix"], _MIX),
        _texts(columns["payment_of_min_amount"], _MINIMUM),
        _texts(behaviour, _SPENT),
        _texts(behaviour, _VALUE),
    )
    result = np.empty((len(single[0]), len(FEATURE_NAMES)), dtype=np.float64)
    for position, column in enumerate(single):
        result[:, position] = column
    loans = len(single) + len(HISTORY)
    result[:, len(single) : loans] = columns.get("history", NAN)
    result[:, loans : loans + len(LOAN_KINDS)] = _loan_columns(columns["loan_types"], value["num_loans"])
    for position, column in enumerate(ratios, start=loans + len(LOAN_KINDS)):
        result[:, position] = column
    return result
