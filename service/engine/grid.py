"""The trees turned inside out: what each feature alone contributes to the leaf numbers of all trees.

A leaf's number is one bit a level, and every bit depends on one feature. So for each feature and each interval between
two of its borders there is a row of T bytes, one a tree, with the bits this feature sets; a row of the data ends in
leaves that are the bitwise or of one such row a feature. Moving a feature to another value changes its row alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.engine.trees import Ensemble, Float

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Grid:
    """Borders by feature and the bits that each interval between them sets."""

    borders: NDArray[np.float32]  # all features' borders, each feature's in rising order
    starts: NDArray[np.int32]  # (F + 1,) where a feature's borders begin; its mask rows begin at starts[f] + f
    masks: Bytes  # (len(borders) + F, T)
    owned: Bytes  # (F, T) all bits that a feature decides
    missing_high: NDArray[np.bool_]

    def cell(self, feature: int, value: float) -> int:
        """The row of `masks` for a value of a feature: how many borders lie below it."""
        start, end = int(self.starts[feature]), int(self.starts[feature + 1])
        if np.isnan(value):
            return (end if self.missing_high[feature] else start) + feature
        return start + feature + int(np.searchsorted(self.borders[start:end], np.float32(value)))

    def leaves(self, matrix: Float) -> Bytes:
        """Leaf numbers, shape (n, T), of rows of features."""
        numbers = np.zeros((len(matrix), self.masks.shape[1]), np.uint8)
        for feature in range(len(self.owned)):
            start, end = int(self.starts[feature]), int(self.starts[feature + 1])
            if start == end:
                continue
            column = matrix[:, feature].astype(np.float32)
            cells = np.searchsorted(self.borders[start:end], column)
            if not self.missing_high[feature]:
                cells[np.isnan(column)] = 0  # searchsorted puts NaN above everything
            numbers |= self.masks[cells + (start + feature)]
        return numbers


def grid(ensemble: Ensemble) -> Grid:
    """The grid of an ensemble; tens of milliseconds for 500 trees."""
    trees, _ = ensemble.split_border.shape
    real = np.isfinite(ensemble.split_border)
    borders = []
    masks = []
    for feature in range(ensemble.features):
        number, level = np.nonzero(real & (ensemble.split_feature == feature))
        own, place = np.unique(ensemble.split_border[number, level], return_inverse=True)
        rows = np.zeros((len(own) + 1, trees), np.uint8)
        for tree, bit, first in zip(number, level, place, strict=True):
            rows[first + 1 :, tree] |= np.uint8(1 << bit)
        borders.append(own)
        masks.append(rows)
    starts = np.concatenate([[0], np.cumsum([len(own) for own in borders])]).astype(np.int32)
    return Grid(
        borders=np.concatenate(borders).astype(np.float32),
        starts=starts,
        masks=np.concatenate(masks),
        owned=np.stack([rows[-1] for rows in masks]),
        missing_high=ensemble.missing_high,
    )
