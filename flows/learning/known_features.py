"""Known customers: what a row's features would be if classes of earlier months had been observed by then.

One model answers both kinds. It learns every row as an unknown customer's and once more with a history that is masked
at random: how long ago the last class was observed and which of those before are known differ from row to row, as they
do between partners. Judging fixes the delay instead: the last class is then so many months old.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.rows import QUARTER_MONTHS, Rows
from service.contract import MAX_PREVIOUS_CLASSES
from service.score.features import FEATURE_NAMES, HISTORY

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

MONTHS: Final = 12
AGES: Final = (1, 2, 3, 4)  # months of the last class at which known customers are judged
GROUPS: Final = {"known_1_month": (1,), "known_2_to_3_months": (2, 3), "known_longer": (4,)}
"""Known customers by months since the last class was observed; older ones than four months are too few in the training
data to be judged apart."""
DELAYS: Final = (1, 2, 3, 4, 5)
_DELAY_SHARES: Final = (0.4, 0.2, 0.2, 0.1, 0.1)
_KEPT: Final = 0.85  # of the classes before the last
FIRST: Final = FEATURE_NAMES.index(next(iter(HISTORY)))
COLUMNS: Final = slice(FIRST, FIRST + len(HISTORY))


def classes_by_month(rows: Rows) -> Array:
    """The class of each customer (by code) in each month, NaN where there is none: shape (customers, MONTHS)."""
    table = np.full((int(rows.customers.max()) + 1, MONTHS), np.nan)
    table[rows.customers, rows.months - 1] = rows.labels
    return table


def history(rows: Rows, mask: Bools) -> Array:
    """`service.score.features.history` of each row from the kept months of its customer: shape (n, len(HISTORY))."""
    classes = np.where(mask, classes_by_month(rows)[rows.customers], np.nan)
    known = ~np.isnan(classes)
    any_known = known.any(axis=1)
    last = MONTHS - 1 - known[:, ::-1].argmax(axis=1)
    now = rows.months - 1
    quarter = now // QUARTER_MONTHS
    ago = quarter[:, None] - np.arange(MONTHS)[None, :] // QUARTER_MONTHS
    features = np.column_stack(
        [
            classes[np.arange(len(classes)), last],
            now - last,
            quarter - last // QUARTER_MONTHS,
            _mean(classes, known & (ago == 0)),
            _mean(classes, known & (ago == 1)),
            _mean(classes, known),
        ]
    ).astype(np.float64)
    features[~any_known] = np.nan
    return features


def _mean(classes: Array, mask: Bools) -> Array:
    count = mask.sum(axis=1)
    total = np.where(mask, classes, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _earlier(rows: Rows, delay: NDArray[np.int64]) -> Bools:
    """The months that lie at least `delay` months before each row's, the latest MAX_PREVIOUS_CLASSES of them."""
    age = (rows.months - 1)[:, None] - np.arange(MONTHS)[None, :]
    return (age >= delay[:, None]) & (age < delay[:, None] + MAX_PREVIOUS_CLASSES)


def known_by(rows: Rows, delay: int) -> tuple[Rows, Bools]:
    """The rows as their customers are known `delay` months later, and which of them have a class exactly so old."""
    features = history(rows, _earlier(rows, np.full(len(rows.labels), delay)))
    age = list(HISTORY).index("class_age_months")
    return _with(rows, features), features[:, age] == delay


def doubled(rows: Rows, seed: int) -> Rows:
    """The rows as unknown customers', followed by those that can have a history, masked at random."""
    rng = np.random.default_rng(seed)
    delay = rng.choice(DELAYS, len(rows.labels), p=_DELAY_SHARES)
    mask = _earlier(rows, delay) & (rng.random((len(rows.labels), MONTHS)) < _KEPT)
    features = history(rows, mask)
    can = ~np.isnan(features[:, 0])
    return rows.beside(_with(rows, features).where(can))


def _with(rows: Rows, history_features: Array) -> Rows:
    features = rows.features.copy()
    features[:, COLUMNS] = history_features
    return replace(rows, features=features)


def last_class(rows: Rows) -> NDArray[np.int64]:
    """The class that was observed last of each row, all of known customers: what repeating it would answer."""
    return rows.features[:, FIRST].astype(np.int64)


def known_in(features: Array) -> Bools:
    """Mask of the rows of features that are of known customers."""
    return ~np.isnan(features[:, FIRST])


def is_known(rows: Rows) -> Bools:
    """Which rows are of known customers."""
    return known_in(rows.features)
