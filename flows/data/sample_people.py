"""The made-up customers of the sample: what is constant of each, and the labels they are given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from flows.cleaning.raw_table import LOAN_TYPES

YEAR: Final = 12
DRAWS_PER_CUSTOMER: Final = 768  # room for every draw of the sample; a fixed width keeps customers independent
MOST_LOANS: Final = 9

BAD, STANDARD, GOOD = range(3)  # places in CREDIT_MIXES and, as poor, standard, good, in LABELS
MIX_EDGES: Final = (0.237, 0.696)  # Bad below the first, Good above the second
VIEW_NOISE: Final = 0.22  # how far a column's rank strays from the customer's latent risk
# Label by the rank of latent risk within the mix (0 safest): Good below the first, Poor above the second.
LABEL_EDGES: Final = np.array([[0.02, 0.41], [0.06, 0.79], [0.49, 0.84]])
NOT_IN_THE_COLUMNS: Final = 0.06  # customers whose first label no column explains
MOVED_AT_QUARTER: Final = 0.16  # customers set one step elsewhere at each quarter's start
FLIPPED: Final = 0.07  # rows one step off their quarter's label

QUANTILES: Final = (0.0, 0.01, 0.5, 0.99, 1.0)
OWN_QUANTILES: Final = {"income": (0.0, 0.25, 0.5, 0.75, 0.95, 1.0), "loans": (0.0, 0.15, 0.5, 0.99, 1.0)}
TABLES: Final = {  # values at QUANTILES, or at its own, for Bad, Standard, Good
    "interest": ((13, 15, 24, 34, 34), (4, 5, 14, 33, 34), (1, 1, 6, 12, 12)),
    "debt": ((1_200, 1_289, 2_851, 4_964, 4_998), (0.23, 25, 1_020, 2_635, 4_900), (0.5, 16, 731, 1_482, 1_500)),
    "delay": ((8, 14, 38, 62, 62), (0, 4, 19, 56, 62), (-5, -2, 9, 30, 32)),
    "delayed": ((9, 12, 20, 27, 28), (3, 6, 14, 22, 25), (-3, -2, 7, 20, 22)),
    "limit": ((-6, -2, 14, 31, 36), (-6, 0, 11, 22, 30), (-6, -3, 6, 16, 20)),
    "inquiries": ((4, 6, 11, 17, 17), (0, 0, 6, 15, 16), (0, 0, 4, 9, 10)),
    "history": ((8, 11, 119, 242, 250), (60, 71, 225, 400, 404), (180, 190, 298, 401, 404)),
    "accounts": ((5, 6, 8, 10, 11), (2, 3, 6, 8, 10), (0, 0, 3, 6, 8)),
    "cards": ((4, 4, 7, 10, 11), (2, 3, 5, 7, 10), (0, 1, 4, 7, 8)),
    "loans": ((1, 2, 6, 9, 9), (0, 0.5, 3, 6, 9), (0, 0.5, 2, 4, 6)),
    "age": ((14, 14, 30, 55, 56), (14, 15, 33, 55, 56), (17, 20, 37, 56, 56)),
    "income": (
        (7_006, 14_500, 20_700, 44_000, 105_000, 165_000),
        (7_006, 19_000, 35_100, 68_000, 125_000, 179_987),
        (7_006, 25_500, 53_900, 90_000, 145_000, 179_987),
    ),
}
RISING: Final = frozenset({"interest", "debt", "delay", "delayed", "inquiries", "cards", "accounts"})  # with risk


class PeopleDraws:
    """Uniform numbers in [0, 1): one row a customer, taken column by column."""

    def __init__(self, customers: int, seed: int) -> None:
        self._table = np.random.default_rng(seed).random((customers, DRAWS_PER_CUSTOMER))
        self._next = 0

    def once(self) -> np.ndarray:
        """One number a customer."""
        self._next += 1
        return self._table[:, self._next - 1]

    def monthly(self) -> np.ndarray:
        """One number a customer and month, shape (customers, 12)."""
        self._next += YEAR
        return self._table[:, self._next - YEAR : self._next]


@dataclass(frozen=True)
class People:
    """What is constant of each customer."""

    mix: np.ndarray
    risk: np.ndarray  # latent, 0 safest, uniform within the mix
    columns: dict[str, np.ndarray]
    salary: np.ndarray
    emi: np.ndarray
    loan_names: list[str]


def draw_people(draws: PeopleDraws) -> People:
    """The customers, one for each row of draws."""
    mix = np.digitize(draws.once(), MIX_EDGES)
    risk = draws.once()
    columns = {name: _column(name, mix, risk, draws.once()) for name in TABLES}
    columns["income"] = np.round(columns["income"], 2)
    bell = (draws.once() + draws.once() + draws.once() + draws.once() - 2) * math.sqrt(3)  # near normal, sd 1
    ratio = np.clip(0.995 + 0.099 * bell, 0.52, 1.48)
    salary = np.round(np.clip(columns["income"] / 12 * ratio, 304, 15_204), 6)
    emi = np.round(0.0077 * columns["loans"] * salary * (0.75 + 0.5 * draws.once()), 6)
    return People(mix, risk, columns, salary, emi, _loan_names(columns["loans"].astype("int64"), draws))


def _loan_names(loans: np.ndarray, draws: PeopleDraws) -> list[str]:
    """Each customer's loans as the source lists them: "A, B, and C"."""
    kinds = list(LOAN_TYPES)
    chosen = np.column_stack([draws.once() for _ in range(MOST_LOANS)])
    names = [[kinds[int(pick * len(kinds))] for pick in row[:count]] for row, count in zip(chosen, loans, strict=True)]
    return [", ".join([*row[:-1], f"and {row[-1]}"]) if len(row) > 1 else "".join(row) for row in names]


def _column(name: str, mix: np.ndarray, risk: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A column by its quantile table; its rank strays from the risk's rank and is folded back into [0, 1]."""
    if name in {"age", "income"}:
        rank = noise
    else:
        rank = np.abs(risk + VIEW_NOISE * (2 * noise - 1))
        rank = 1 - np.abs(1 - rank)
        rank = rank if name in RISING else 1 - rank
    points = OWN_QUANTILES.get(name, QUANTILES)
    values = np.choose(mix, [np.interp(rank, points, table) for table in TABLES[name]])
    return values if name in {"income", "inquiries"} else np.round(values, 2 if name in {"debt", "limit"} else 0)


def draw_labels(people: People, draws: PeopleDraws) -> np.ndarray:
    """Class per customer and month: set anew each quarter, flipped in single rows, Poor and Good never adjacent."""
    edges = LABEL_EDGES[people.mix]
    label = np.where(people.risk < edges[:, 0], GOOD, np.where(people.risk < edges[:, 1], STANDARD, BAD))
    label = _one_step(label, draws.once() < NOT_IN_THE_COLUMNS, draws.once())
    quarters = [label]
    for _ in range(2):
        quarters.append(_one_step(quarters[-1], draws.once() < MOVED_AT_QUARTER, draws.once()))
    by_month = np.column_stack([quarters[min((month - 1) // 3, 2)] for month in range(1, YEAR + 1)])
    flips, ways = draws.monthly(), draws.monthly()
    labels = by_month.copy()
    for month in range(YEAR):
        flipped = _one_step(by_month[:, month], flips[:, month] < FLIPPED, ways[:, month])
        if month:
            leap = np.abs(flipped - labels[:, month - 1]) > 1
            flipped = np.where(leap, STANDARD, flipped)
        labels[:, month] = flipped
    return labels


def _one_step(label: np.ndarray, moved: np.ndarray, way: np.ndarray) -> np.ndarray:
    """The label one class up or down where moved; from the ends only inwards."""
    step = np.where(label == BAD, 1, np.where(label == GOOD, -1, np.where(way < 0.5, -1, 1)))
    return np.where(moved, label + step, label)
