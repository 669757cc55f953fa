"""The portable engine: exact scores and reasons with numpy alone.

Everything a tree says of a row (raw values, SHAP values) is looked up by its leaf; the leaves of one row are found by
comparing all borders at once and reading the answers as bits. Raw values are added in the order of the trees, as
CatBoost does, so they are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service import policy
from service.contract import MAX_REASONS
from service.engine.grid import Bytes, grid
from service.engine.moves import Moves, Pairs, Trial, pairs
from service.engine.rules import FAMILY_OF, Arrays, Assessment, Rules
from service.engine.trees import Float, LeafTable
from service.reasons import CANDIDATES, FAMILIES, Candidate, direction_of

CHUNK_ROWS: Final = 2048  # leaves of a chunk stay in the cache
TRIED_AT_ONCE: Final = 5  # four reasons are mostly found among the first five families
BITS: Final = 8

_OF_FAMILY: Final = tuple(
    tuple((number, item) for number, item in enumerate(CANDIDATES) if item.family == family)
    for family in range(len(FAMILIES))
)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """The table laid out for one row at a time: eight answers a tree, so that packing bits gives a byte a tree."""

    asked: NDArray[np.intp]  # (T * 8,) feature of each answer
    borders: NDArray[np.float32]  # (T * 8,)
    offsets: NDArray[np.intp]  # (T,) first row of each tree
    columns: Pairs  # leaf values, two outputs a number
    shap: Float  # (T * leaves, D)
    slots: NDArray[np.intp]  # (T * D,) family of each SHAP value
    spread: NDArray[np.bool_] | None  # features whose missing values are above every border, if there are any

    @classmethod
    def of(cls, table: LeafTable) -> _Lookup:
        """The layout of a leaf table."""
        trees = table.ensemble
        count, depth = trees.split_feature.shape
        spare = ((0, 0), (0, BITS - depth))
        return cls(
            asked=np.pad(trees.split_feature, spare).astype(np.intp).ravel(),
            borders=np.pad(trees.split_border, spare, constant_values=np.inf).ravel(),
            offsets=(np.arange(count) * 2**depth).astype(np.intp),
            columns=pairs(trees.leaf_values.reshape(-1, trees.outputs)),
            shap=table.shap.reshape(-1, depth),
            slots=np.asarray(FAMILY_OF, np.intp)[trees.split_feature].ravel(),
            spread=trees.missing_high if trees.missing_high.any() else None,
        )


class Portable:
    """Evaluates a leaf table with numpy."""

    name = "portable"

    def __init__(self, table: LeafTable, rules: Rules) -> None:
        trees = table.ensemble
        self._rules = rules
        self._table = table
        self._grid = grid(trees)
        self._look = _Lookup.of(table)
        self._scale, self._bias = trees.scale, trees.bias.tolist()
        self._even = np.asarray(rules.even)
        self._reference = list(rules.reference)
        self._moves = Moves(trees, self._grid, rules)

    # -- one row ------------------------------------------------------------------------------------------------

    def assess(self, values: list[float]) -> Assessment:
        """The answer to one row of features."""
        look = self._look
        row = np.array(values, np.float32)
        if look.spread is not None:
            row[np.isnan(row) & look.spread] = np.inf
        leaves = np.packbits(row.take(look.asked) > look.borders, bitorder="little")
        index = leaves + look.offsets
        found = [column.take(index) for column in look.columns]
        # accumulate adds from the first tree to the last; sum would add in pairs and differ in the last bit
        sums = [complex(np.add.accumulate(pair)[-1]) for pair in found]
        parts = [part for pair in sums for part in (pair.real, pair.imag)]
        raw = [part * self._scale + bias for part, bias in zip(parts, self._bias, strict=False)]
        triple = self._rules.triple(raw)
        points = policy.score(triple)
        shap = np.bincount(look.slots, look.shap.take(index, axis=0).ravel(), len(FAMILIES))
        trial = self._moves.of(values, leaves, found)
        numbers = self._numbers(trial, (shap - self._even).tolist(), points)
        band, best = policy.band(points), policy.predicted_class(triple)
        return Assessment(triple, points, band, best, band is not best, numbers)

    def _numbers(self, trial: Trial, lost: list[float], points: int) -> tuple[int, ...]:
        """Positions in the catalogue of the reasons, most points lost first."""
        ranked = sorted((family for family, value in enumerate(lost) if value < 0.0), key=lost.__getitem__)
        tellable = ((family, told) for family in ranked if (told := self._tellable(trial.values, family)))
        chosen: list[int] = []
        named: set[str] = set()
        after: dict[str, int] = {}
        while window := list(islice(tellable, TRIED_AT_ONCE)):
            fields = {item.field for _, told in window for _, item in told} - after.keys()
            after |= trial.points(fields)
            for _, told in window:
                left = [option for option in told if option[1].field not in named]
                best = max(left, key=lambda option: after[option[1].field], default=None)
                if best is None or after[best[1].field] <= points:
                    continue
                named.add(best[1].field)
                chosen.append(best[0])
                if len(chosen) == MAX_REASONS:
                    return tuple(chosen)
        return tuple(chosen)

    def _tellable(self, values: list[float], family: int) -> list[tuple[int, Candidate]]:
        """The reasons, by position in the catalogue, that this row could be given about a family."""
        return [
            (number * 3 + direction, item)
            for number, item in _OF_FAMILY[family]
            if (direction := direction_of(values, self._reference, item)) >= 0
        ]

    # -- many rows ----------------------------------------------------------------------------------------------

    def raw(self, matrix: Float) -> Float:
        """Raw values, shape (n, outputs), equal to CatBoost's RawFormulaVal to the last bit."""
        return np.concatenate([self._raw_of(self._grid.leaves(part)) for part in _chunks(matrix)])

    def _raw_of(self, leaves: Bytes) -> Float:
        trees = self._table.ensemble
        total = np.zeros((len(leaves), trees.outputs))
        for values, column in zip(trees.leaf_values, np.ascontiguousarray(leaves.T), strict=True):
            total += values.take(column, axis=0)
        return total * trees.scale + trees.bias

    def contributions(self, matrix: Float) -> Float:
        """Exact SHAP values of the margin by family, shape (n, families)."""
        return np.concatenate([self._contributions_of(self._grid.leaves(part)) for part in _chunks(matrix)])

    def _contributions_of(self, leaves: Bytes) -> Float:
        total = np.zeros((len(FAMILIES), len(leaves)))
        families = self._look.slots.reshape(len(self._look.offsets), -1)
        for table, own, column in zip(self._table.shap, families, np.ascontiguousarray(leaves.T), strict=True):
            for family in set(own.tolist()):
                total[family] += table[:, own == family].sum(axis=1).take(column)
        return total.T

    def feature_contributions(self, matrix: Float) -> Float:
        """Exact SHAP values of the margin by feature, shape (n, features); what CatBoost calls ShapValues."""
        trees = self._table.ensemble
        leaves = self._grid.leaves(matrix)
        total = np.zeros((len(matrix), trees.features))
        for tree, (table, column) in enumerate(zip(self._table.shap, leaves.T, strict=True)):
            for level, feature in enumerate(trees.split_feature[tree]):
                total[:, feature] += table[:, level].take(column)
        return total

    def assess_many(self, matrix: Float, reasons: bool) -> Arrays:
        """The answers to many rows."""
        parts = [self._assess_part(part, reasons) for part in _chunks(matrix)]
        return Arrays(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _assess_part(self, matrix: Float, reasons: bool) -> Arrays:
        leaves = self._grid.leaves(matrix)
        triples = self._rules.triples(self._raw_of(leaves))
        points = policy.score_many(triples)
        band, best = policy.band_many(points), triples.argmax(axis=1)
        numbers = np.full((len(matrix), MAX_REASONS), -1, np.int16)
        if reasons:
            lost = (self._contributions_of(leaves) - self._even).tolist()
            for row, values in enumerate(matrix.tolist()):
                found = [column.take(leaves[row] + self._look.offsets) for column in self._look.columns]
                chosen = self._numbers(self._moves.of(values, leaves[row], found), lost[row], int(points[row]))
                numbers[row, : len(chosen)] = chosen
        return Arrays(
            triples,
            points.astype(np.int32),
            band.astype(np.int8),
            best.astype(np.int8),
            band != best,
            numbers,
        )


def _chunks(matrix: Float) -> Iterator[Float]:
    """The rows in parts whose leaves fit the cache; one empty part of no rows."""
    for first in range(0, max(len(matrix), 1), CHUNK_ROWS):
        yield matrix[first : first + CHUNK_ROWS]
