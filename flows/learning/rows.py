"""Labelled rows as learning takes them: a prepared frame's features, classes, customers and months as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.contract import CATEGORY_FIELDS, REFERENCE_FIELDS
from service.score import policy
from service.score.features import FEATURES, matrix

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

QUARTER_MONTHS: Final = 3
SOURCES: Final = tuple(
    field
    for field in dict.fromkeys(field for feature in FEATURES for field in feature.sources)
    if field not in REFERENCE_FIELDS
)
"""Columns of a prepared frame that features are made of; observed classes come from other months' labels."""
_CATEGORIES: Final = CATEGORY_FIELDS | {"loan_types"}


@dataclass(frozen=True)
class Rows:
    """Labelled rows: features (n, k), `labels` as positions in CLASSES, `customers` as codes, `months` 1 to 12."""

    features: Array
    labels: Ints
    customers: Ints
    months: Ints

    @property
    def quarters(self) -> Ints:
        """Calendar quarter, 1 to 4, of each row: the label is set anew at each quarter's start."""
        return (self.months - 1) // QUARTER_MONTHS + 1

    def beside(self, other: Rows) -> Rows:
        """These rows and then the other's, of the same customers."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Rows(*(np.concatenate(pair) for pair in pairs))

    def where(self, chosen: NDArray[Any]) -> Rows:
        """The chosen rows, by mask or by position."""
        return Rows(self.features[chosen], self.labels[chosen], self.customers[chosen], self.months[chosen])


def columns(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Clean rows as the arrays that `service.score.features.matrix` takes; missing is NaN in numbers, None in texts."""
    return {
        name: frame[name].astype(object).where(frame[name].notna(), None).to_numpy()
        if name in _CATEGORIES
        else frame[name].to_numpy(dtype="float64", na_value=np.nan)
        for name in SOURCES
    }


def rows_of(frame: pd.DataFrame) -> Rows:
    """The labelled rows of a prepared frame; a row without a label cannot teach or judge and is left out."""
    labelled = frame[frame["label"].notna()]
    position = {str(name): place for place, name in enumerate(policy.CLASSES)}
    customers, _ = pd.factorize(labelled["customer_id"], sort=True)
    return Rows(
        matrix(columns(labelled)),
        np.asarray(labelled["label"].map(position), dtype=np.int64),
        np.asarray(customers, dtype=np.int64),
        np.asarray(labelled["month"], dtype=np.int64),
    )
