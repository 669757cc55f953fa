"""A customer's own past: the last known value before each row, never a later one, never another customer's."""

from __future__ import annotations

import numpy as np
import pandas as pd


class OwnPast:
    """Looks backwards in a frame sorted by customer and month; every answer is as long as the frame.

    Where each row is of its own, there is no past.
    """

    def __init__(self, customers: pd.Series | pd.Index) -> None:
        codes = pd.factorize(customers)[0]
        self._rows = np.arange(len(codes))
        first = np.ones(len(codes), dtype=bool)
        first[1:] = codes[1:] != codes[:-1]
        self._start = np.maximum.accumulate(np.where(first, self._rows, 0))

    def last_row(self, known: np.ndarray) -> np.ndarray:
        """Position of the customer's last earlier row where `known` is true; -1 where there is none."""
        latest = np.maximum.accumulate(np.where(known, self._rows, -1))
        before = np.concatenate([[-1], latest])[: len(latest)]
        return np.where(before >= self._start, before, -1)

    def last(self, values: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
        """The customer's last earlier known number; NaN where there is none."""
        rows = self.last_row(~np.isnan(values) if known is None else known)
        return np.where(rows >= 0, values[rows], np.nan)
