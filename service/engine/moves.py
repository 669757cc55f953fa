"""What the score becomes when one field alone is moved to the reference, for all fields in a handful of operations.

A move changes the leaves of those trees only that ask about the field or about something derived from it. So the sums
are not made anew: per field, the changed trees' new values minus their old ones. All fields' trees lie in one array,
which numpy handles in the time that it takes for one field; what depends on derived features is patched in for the
fields that are asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from ctypes import c_float
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.engine.formulas import record
from service.engine.grid import Bytes, Grid
from service.engine.rules import Rules
from service.engine.trees import Ensemble
from service.features import DERIVED_FROM, FEATURE_NAMES, derived
from service.reasons import CANDIDATES

Pairs = list[NDArray[np.complex128]]
"""Values of two outputs each, as real and imaginary part: one operation on both, and each sum the same to the bit."""

_INPUTS: Final = tuple(FEATURE_NAMES.index(name) for name in DERIVED_FROM)
_PROGRAM: Final = record()
_FIRST_DERIVED: Final = len(FEATURE_NAMES) - len(_PROGRAM.outputs)


def pairs(values: NDArray[np.float64]) -> Pairs:
    """Columns of (n, outputs) values, two by two; an odd last one is paired with zeros."""
    even = np.pad(values, ((0, 0), (0, values.shape[1] % 2)))
    halves = [np.ascontiguousarray(even[:, place : place + 2]) for place in range(0, even.shape[1], 2)]
    return [half.view(np.complex128)[:, 0] for half in halves]


@dataclass(frozen=True, slots=True)
class _Segment:
    """One move: the trees it touches, and what becomes of their leaves."""

    trees: NDArray[np.intp]
    keep: Bytes  # bits that do not depend on what moves
    fresh: Bytes  # bits of the features that take the reference's value
    again: tuple[tuple[int, Bytes], ...]  # features to be derived again, with the bits each of their cells sets
    replaced: tuple[tuple[int, float], ...]  # arguments of `derived` that take the reference's value


class Moves:
    """The moves of every field of the catalogue, laid out for one row at a time."""

    def __init__(self, ensemble: Ensemble, cells: Grid, rules: Rules) -> None:
        self._rules, self._cells = rules, cells
        self._outputs, self._scale, self._bias = ensemble.outputs, ensemble.scale, ensemble.bias.tolist()
        starts = cells.starts.tolist()
        self._borders = [cells.borders[start:end].tolist() for start, end in zip(starts, starts[1:], strict=False)]
        moved = {item.field: item.moved for item in CANDIDATES}
        distinct = list(dict.fromkeys(moved.values()))  # fields that move the same features share a segment
        self._segments = [self._segment(features) for features in distinct]
        self._place = {field: distinct.index(features) for field, features in moved.items()}
        self._ends = np.cumsum([0, *(len(one.trees) for one in self._segments)]).tolist()
        self._starts = np.array(self._ends[:-1], np.intp)
        self._trees = np.concatenate([one.trees for one in self._segments])
        self._keep = np.concatenate([one.keep for one in self._segments])
        self._fresh = np.concatenate([one.fresh for one in self._segments])
        self._offsets = self._trees * ensemble.leaf_values.shape[1]
        self._columns = pairs(ensemble.leaf_values.reshape(-1, ensemble.outputs))

    def _segment(self, moved: tuple[int, ...]) -> _Segment:
        again = [position for position, uses in _PROGRAM.depends.items() if uses & frozenset(moved)]
        owned = np.bitwise_or.reduce(self._cells.owned[[*moved, *again]], axis=0)
        trees = np.flatnonzero(owned) if owned.any() else np.zeros(1, np.intp)  # an empty segment cannot be summed
        rows = [self._cells.cell(position, self._rules.reference[position]) for position in moved]
        return _Segment(
            trees=trees,
            keep=~owned[trees],
            fresh=np.bitwise_or.reduce(self._cells.masks[rows], axis=0)[trees],
            again=tuple((position, self._masks(position, trees)) for position in again),
            replaced=tuple(
                (place, self._rules.reference[position]) for place, position in enumerate(_INPUTS) if position in moved
            ),
        )

    def _masks(self, feature: int, trees: NDArray[np.intp]) -> Bytes:
        first = int(self._cells.starts[feature]) + feature
        return np.ascontiguousarray(self._cells.masks[first : first + len(self._borders[feature]) + 1][:, trees])

    def of(self, values: list[float], leaves: Bytes, found: Pairs) -> Trial:
        """The moves of one row; `found` holds the values of its leaves, tree by tree."""
        changed = leaves.take(self._trees)
        changed &= self._keep
        changed |= self._fresh
        old = [pair.take(self._trees) for pair in found]
        totals = [complex(pair.sum()) for pair in found]
        return Trial(self, values, changed, old, totals)

    def patch(self, place: int, values: list[float], changed: Bytes) -> None:
        """Set the bits of what is derived again after the move of segment `place`."""
        segment = self._segments[place]
        if not segment.again:
            return
        inputs = [values[position] for position in _INPUTS]
        for argument, value in segment.replaced:
            inputs[argument] = value
        new = derived(*inputs)
        part = changed[self._ends[place] : self._ends[place + 1]]
        for position, masks in segment.again:
            part |= masks[self._cell(position, new[position - _FIRST_DERIVED])]

    def _cell(self, feature: int, value: float) -> int:
        """How many borders of a feature lie below a value; `Grid.cell` on plain floats, in a tenth of its time."""
        if value != value:  # pylint: disable=comparison-with-itself  # NaN, without the cost of a call
            return len(self._borders[feature]) if self._cells.missing_high[feature] else 0
        return bisect_left(self._borders[feature], c_float(value).value)

    def points(self, fields: Collection[str], trial: Trial) -> dict[str, int]:
        """The score after each of the fields alone is moved to the reference."""
        places = {field: self._place[field] for field in fields}
        for place in set(places.values()):
            self.patch(place, trial.values, trial.changed)
        index = trial.changed + self._offsets
        sums: list[list[complex]] = [
            (np.add.reduceat(column.take(index) - old, self._starts) + total).tolist()
            for column, old, total in zip(self._columns, trial.old, trial.totals, strict=True)
        ]
        return {field: self._points([pair[place] for pair in sums]) for field, place in places.items()}

    def _points(self, sums: list[complex]) -> int:
        raw = [part for pair in sums for part in (pair.real, pair.imag)][: self._outputs]
        return self._rules.points([total * self._scale + bias for total, bias in zip(raw, self._bias, strict=True)])


@dataclass(slots=True)
class Trial:
    """One row on trial: its leaves after every move, and the values of its own leaves in the same places."""

    moves: Moves
    values: list[float]
    changed: Bytes
    old: Pairs
    totals: list[complex]

    def points(self, fields: Collection[str]) -> dict[str, int]:
        """The score after each of the fields alone is moved to the reference."""
        return self.moves.points(fields, self)
