"""The portable engine: exact scores and reasons with numpy alone.

Everything a tree says of a row (raw values, SHAP values) is looked up by its leaf; the leaves of one row are found by
comparing all borders at once and reading the answers as bits. Raw values are added in the order of the trees, as
CatBoost does, so they are equal to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isnan
from typing import Final, cast

import numpy as np

from service.contract import MAX_REASONS
from service.engine.counterfactuals import Counterfactuals, Index, Questions, pairs
from service.engine.grid import Bytes, grid
from service.engine.rules import FAMILY_OF, KNOWN, Arrays, Assessment, Rules
from service.engine.trees import Float, LeafTable
from service.score import policy
from service.score.features import FEATURES
from service.score.reasons import CANDIDATES, DIRECTIONS, FAMILIES, direction_of

_KNOWN_FIELD: Final = FEATURES[KNOWN].sources[0]
CHUNK_ROWS: Final = 2048  # leaves of a chunk stay in the cache


class Portable:
    """Evaluates a leaf table with numpy."""

    name = "portable"

    def __init__(self, table: LeafTable, rules: Rules) -> None:
        trees = table.ensemble
        count, depth = trees.split_feature.shape
        self._rules = rules
        self._table = table
        self._grid = grid(trees)
        self._scale, self._bias = trees.scale, trees.bias.tolist()
        self._baseline = np.asarray(rules.baseline)
        self._reference = list(rules.reference)
        self._known_reference = not isnan(rules.reference[KNOWN])
        self._trees = count
        self._offsets = np.arange(count) * 2**depth  # first leaf of each tree
        self._columns = pairs(trees.leaf_values.reshape(-1, trees.outputs))
        self._shap = table.shap.reshape(-1, depth)
        self._slots = np.asarray(FAMILY_OF, np.intp)[trees.split_feature].ravel()  # family of each SHAP value
        self._counterfactuals = Counterfactuals(trees, rules)
        self._options = tuple(
            tuple(
                (number * len(DIRECTIONS), item, self._counterfactuals.number[item.field])
                for number, item in enumerate(CANDIDATES)
                if item.family == family
            )
            for family in range(len(FAMILIES))
        )
        own, moved = Questions.of(trees.split_feature, trees.split_border), self._counterfactuals.questions
        self._positions = np.concatenate([own.positions, moved.positions])
        self._borders = np.concatenate([own.borders, moved.borders])

    # -- one row ------------------------------------------------------------------------------------------------

    def assess(self, values: list[float]) -> Assessment:
        """The answer to one row of features."""
        yes = self._counterfactuals.row(values).take(self._positions) > self._borders
        answers = np.packbits(yes, bitorder="little").astype(np.intp)
        index = answers[: self._trees] + self._offsets
        # accumulate adds from the first tree to the last; sum would add in pairs and differ in the last bit
        totals = [np.add.accumulate(column.take(index)).item(-1) for column in self._columns]
        parts = [part for pair in totals for part in (pair.real, pair.imag)]
        raw = [part * self._scale + bias for part, bias in zip(parts, self._bias, strict=False)]
        known = values[KNOWN] == values[KNOWN]  # pylint: disable=comparison-with-itself  # NaN, without a call
        triple = self._rules.triple(raw, known)
        points = policy.score(triple)
        relative = (self._by_family(index) - self._baseline).tolist()
        moved = self._counterfactuals.raw(index, answers[self._trees :], raw)
        band, best = policy.band(points), policy.predicted_class(triple)
        return Assessment(
            triple,
            points,
            band,
            best,
            band is not best,
            self._numbers(values, relative, points, moved, known),
            tuple(relative),
        )

    def _by_family(self, index: Index) -> Float:
        return cast(Float, np.bincount(self._slots, self._shap.take(index, axis=0).ravel(), len(FAMILIES)))

    def _numbers(
        self, values: list[float], relative: list[float], points: int, moved: list[list[float]], known: bool
    ) -> tuple[int, ...]:
        """Positions in the catalogue of the reasons, most points lost first."""
        reasons: dict[str, int] = {}
        score, reference = self._rules.points, self._reference
        for family in sorted(
            [family for family, value in enumerate(relative) if value < 0.0], key=relative.__getitem__
        ):
            most, best = points, None
            for first, item, move in self._options[family]:
                if item.field in reasons or (direction := direction_of(values, reference, item)) < 0:
                    continue
                still = known if item.field != _KNOWN_FIELD else self._known_reference
                after = score([output[move] for output in moved], still)
                if after > most:
                    most, best = after, (item.field, first + direction)
            if best is not None:
                reasons[best[0]] = best[1]
                if len(reasons) == MAX_REASONS:
                    break
        return tuple(reasons.values())

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
        values = [self._by_family(index) for index in self._grid.leaves(matrix) + self._offsets]
        return np.array(values).reshape(len(matrix), len(FAMILIES))

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
        triples = self._rules.triples(self._raw_of(leaves), ~np.isnan(matrix[:, KNOWN]))
        points = policy.score_many(triples)
        band, best = policy.band_many(points), triples.argmax(axis=1)
        numbers = np.full((len(matrix), MAX_REASONS), -1, np.int16)
        relative = np.zeros((len(matrix) if reasons else 0, len(FAMILIES)))
        if reasons:
            for row, values in enumerate(matrix.tolist()):
                alone = self.assess(values)
                numbers[row, : len(alone.numbers)] = alone.numbers
                relative[row] = alone.relative_contributions
        return Arrays(
            triples,
            points.astype(np.int32),
            band.astype(np.int8),
            best.astype(np.int8),
            band != best,
            numbers,
            relative,
        )


def _chunks(matrix: Float) -> Iterator[Float]:
    """The rows in parts whose leaves fit the cache; one empty part of no rows."""
    for first in range(0, max(len(matrix), 1), CHUNK_ROWS):
        yield matrix[first : first + CHUNK_ROWS]
