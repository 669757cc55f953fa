"""Our own customers, drawn from a seed: as many months, labels and kinds of dirt as the real file, and no real person.

Built from the profile in `data/README.md`. Everything comes from uniform draws, tables and plain arithmetic, which are
exact IEEE operations: the same seed gives the same bytes on every machine. A customer's draws depend on the seed and
its number alone, so more customers, or other months, change nobody. Names, SSNs and ids are plainly made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from flows.cleaning.raw_table import (
    BEHAVIOUR_SUMS,
    CREDIT_MIXES,
    LABEL_COLUMN,
    LABELS,
    MONTHS,
    OCCUPATIONS,
    RAW_COLUMNS,
    spelling,
)
from flows.data.sample_dirt import Cells, add_dirt
from flows.data.sample_people import YEAR, People, PeopleDraws, draw_labels, draw_people

MONTHS_OF_TRAINING: Final = tuple(range(1, 9))
PAYS_MINIMUM: Final = (1.0, 0.78, 0.0)  # share by credit mix, Bad to Good
SHIFTED_CUSTOMERS: Final = 0.05  # an amount booked from salary to instalments, from one month on
INQUIRIES_BY_MONTH: Final = (4.95, 5.21, 5.39, 5.61, 5.86, 6.12, 6.38, 6.73, 6.92, 7.20, 7.44, 7.67)
BEHAVIOUR_EDGES: Final = (  # cumulative shares, in BEHAVIOUR_SUMS' order, from low to high salary
    (0.04, 0.14, 0.24, 0.32, 0.54),
    (0.10, 0.27, 0.38, 0.49, 0.68),
    (0.17, 0.37, 0.50, 0.63, 0.79),
    (0.28, 0.50, 0.61, 0.75, 0.88),
)
SALARY_QUARTERS: Final = (1_625.0, 3_090.0, 5_950.0)


def generate(customers: int, months: Sequence[int], seed: int, *, labelled: bool = True) -> pd.DataFrame:
    """The raw table of the customers' months (1 to 12), every cell text, columns and order as in Kaggle's train.csv.

    The same seed gives the same customers for every choice of months: January to August to train on and, unlabelled,
    September to December to replay.
    """
    draws = PeopleDraws(customers, seed)
    people = draw_people(draws)
    values = _identities(customers) | _profile(people, draws) | _movements(people, draws)
    values[LABEL_COLUMN] = np.array(LABELS)[draw_labels(people, draws)]
    add_dirt(values, draws.monthly)
    columns = np.array(sorted(set(months))) - 1
    names = [*RAW_COLUMNS, LABEL_COLUMN] if labelled else list(RAW_COLUMNS)
    return pd.DataFrame({name: values[name][:, columns].ravel() for name in names}, dtype="str")


def write_sample(path: Path, *, customers: int, seed: int) -> None:
    """Write the labelled sample, January to August, as csv."""
    generate(customers, MONTHS_OF_TRAINING, seed).to_csv(path, index=False, lineterminator="\n")


def _identities(customers: int) -> Cells:
    """Ids, months, names and SSNs: plainly made up, and none of them a real customer's."""
    numbers = range(customers)
    return {
        "ID": np.array([[hex(0x100000 + YEAR * i + m) for m in range(YEAR)] for i in numbers], dtype="object"),
        "Customer_ID": _all_year([f"CUS_0x{0x10000 + i:x}" for i in numbers]),
        "Month": np.broadcast_to(np.array(MONTHS, dtype="object"), (customers, YEAR)),
        "Name": _all_year([f"Sample Customer {i}" for i in numbers]),
        "SSN": _all_year([f"000-{i // 10_000 % 100:02d}-{i % 10_000:04d}" for i in numbers]),  # 000 is never issued
    }


def _profile(people: People, draws: PeopleDraws) -> Cells:
    """What does not change from month to month."""
    static = people.columns
    jobs = np.array(OCCUPATIONS)[(draws.once() * len(OCCUPATIONS)).astype("int64")]
    pays_minimum = np.choose(people.mix, PAYS_MINIMUM) > draws.once()
    return {
        "Occupation": _all_year(list(jobs)),
        "Annual_Income": _all_year(_texts(static["income"])),
        "Num_Bank_Accounts": _all_year(_texts(static["accounts"], whole=True)),
        "Num_Credit_Card": _all_year(_texts(static["cards"], whole=True)),
        "Interest_Rate": _all_year(_texts(static["interest"], whole=True)),
        "Num_of_Loan": _all_year(_texts(static["loans"], whole=True)),
        "Type_of_Loan": _all_year(people.loan_names),
        "Credit_Mix": _all_year(list(np.array(CREDIT_MIXES)[people.mix])),
        "Outstanding_Debt": _all_year(_texts(static["debt"])),
        "Payment_of_Min_Amount": _all_year(list(np.where(pays_minimum, "Yes", "No"))),
    }


def _movements(people: People, draws: PeopleDraws) -> Cells:
    """What changes: ages and histories that grow, inquiries that step up, steps around a base, monthly amounts."""
    static, month = people.columns, np.arange(1, YEAR + 1)
    age = np.minimum(static["age"][:, None] + (month > np.floor(draws.once() * YEAR)[:, None]), 56)
    growth = np.array(INQUIRIES_BY_MONTH) / INQUIRIES_BY_MONTH[7]
    inquiries = np.minimum(np.floor(static["inquiries"][:, None] * growth + draws.once()[:, None]), 17)
    utilization = np.interp(draws.monthly(), [0, 0.02, 0.98, 1], [20, 23, 41, 50])
    return {
        "Age": _texts(age, whole=True),
        "Delay_from_due_date": _texts(_stepped(static["delay"], 0.72, 5, (-5, 67), draws), whole=True),
        "Num_of_Delayed_Payment": _texts(_stepped(static["delayed"], 0.66, 3, (-3, 28), draws), whole=True),
        "Changed_Credit_Limit": _texts(np.round(_stepped(static["limit"], 0.82, 7, (-6.5, 36.97), draws), 2)),
        "Num_Credit_Inquiries": _texts(inquiries),
        "Credit_Utilization_Ratio": _texts(np.round(utilization, 6)),
        "Credit_History_Age": _history((static["history"] - 8)[:, None] + month),
        **_amounts(people, draws),
    }


def _history(months: np.ndarray) -> np.ndarray:
    """Months as "x Years and y Months"; never less than one."""
    years, rest = np.divmod(np.maximum(months, 1).astype("int64"), YEAR)
    words = np.char.add(np.char.add(years.astype("U4"), " Years and "), np.char.add(rest.astype("U2"), " Months"))
    return words.astype("object")


def _stepped(base: np.ndarray, share: float, most: int, bounds: tuple[float, float], draws: PeopleDraws) -> np.ndarray:
    """The base in most months, else a whole step of up to `most` either way that stays within the bounds."""
    picks, steps = draws.monthly(), draws.monthly()
    size = 1 + np.floor(2 * steps % 1 * most)
    stepped = base[:, None] + np.where(picks < share, 0.0, np.where(steps < 0.5, -size, size))
    return np.where((stepped >= bounds[0]) & (stepped <= bounds[1]), stepped, base[:, None])


def _amounts(people: People, draws: PeopleDraws) -> Cells:
    """The five amounts of the balance identity; the balance keeps it with the amounts before any shift."""
    salary, emi = people.salary[:, None], people.emi[:, None]
    edges = np.array(BEHAVIOUR_EDGES)[np.digitize(people.salary, SALARY_QUARTERS)]
    behaviour = (draws.monthly()[:, :, None] >= edges[:, None, :]).sum(axis=2)
    spending = np.array(list(BEHAVIOUR_SUMS.values()))[behaviour]
    remainder = spending + salary / 10 - emi
    target = np.interp(draws.monthly(), [0, 0.5, 0.95, 1], [0.0065, 0.043, 0.128, 0.135]) * salary
    invested = np.round(np.minimum(target, 0.95 * remainder), 6)
    balance = np.round(remainder - invested, 6)
    invested = np.where(invested < 10, 0.0, invested)  # the source writes small investments as none
    spelled = np.array([spelling(name) for name in BEHAVIOUR_SUMS], dtype="object")[behaviour]
    shift = _shift(people, draws)
    return {
        "Monthly_Inhand_Salary": _texts(np.round(salary - shift, 6)),
        "Total_EMI_per_month": _texts(np.round(emi + shift, 6)),
        "Amount_invested_monthly": _texts(invested),
        "Payment_Behaviour": spelled,
        "Monthly_Balance": _texts(balance),
    }


def _shift(people: People, draws: PeopleDraws) -> np.ndarray:
    """What is booked from salary to instalments, shape (customers, 12): for a few customers, from one month on."""
    chosen, start, size = draws.once(), draws.once(), draws.once()
    booked = np.round((0.02 + 0.1 * size) * people.salary, 6)[:, None]
    shifted = (chosen < SHIFTED_CUSTOMERS)[:, None] & (np.arange(YEAR) >= np.floor(start * YEAR)[:, None])
    return np.where(shifted, booked, 0.0)


def _all_year(values: Sequence[str] | np.ndarray) -> np.ndarray:
    return np.repeat(np.array(values, dtype="object")[:, None], YEAR, axis=1)


def _texts(values: np.ndarray, *, whole: bool = False) -> np.ndarray:
    """Numbers as the source writes them: shortest text that reads back the same."""
    flat = values.ravel().astype("int64") if whole else values.ravel()
    return np.array([str(number) for number in flat.tolist()], dtype="object").reshape(values.shape)
