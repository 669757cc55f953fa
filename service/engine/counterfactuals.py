"""The score with one field moved to the reference, for every field, in a handful of operations.

A move changes the leaves of those trees only that ask about the field or about something derived from it. So the sums
are not made anew: per field, the changed trees' new values minus their old ones. All fields' trees lie in one array,
which numpy handles in little more than the time that it takes for one field.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.engine.formulas import record
from service.engine.rules import Rules
from service.engine.trees import MAX_DEPTH, Ensemble, Float
from service.score.features import DERIVED_FROM, FEATURE_NAMES, derived
from service.score.reasons import CANDIDATES

Index = NDArray[np.intp]
Pairs = list[NDArray[np.complex128]]
"""Values of two outputs each, as real and imaginary part: one operation on both, and each sum the same to the bit."""

_INPUTS: Final = tuple(FEATURE_NAMES.index(name) for name in DERIVED_FROM)
_DEPENDS: Final = record().depends


def pairs(values: Float) -> Pairs:
    """Columns of (n, outputs) values, two by two; an odd last one is paired with zeros."""
    padded = np.pad(values, ((0, 0), (0, values.shape[1] % 2)))
    halves = [np.ascontiguousarray(padded[:, place : place + 2]) for place in range(0, padded.shape[1], 2)]
    return [half.view(np.complex128)[:, 0] for half in halves]


@dataclass(frozen=True, slots=True)
class Questions:
    """The comparisons of values with borders, eight a place, so that packing gives each place a byte."""

    positions: Index  # (places * 8,)
    borders: NDArray[np.float32]  # (places * 8,)

    @classmethod
    def of(cls, positions: NDArray[Any], borders: NDArray[np.float32]) -> Questions:
        """The questions of (places, levels); spare ones are answered no."""
        spare = ((0, 0), (0, MAX_DEPTH - positions.shape[1]))
        return cls(
            positions=np.pad(positions, spare).astype(np.intp).ravel(),
            borders=np.pad(borders, spare, constant_values=np.inf).ravel(),
        )


class Counterfactuals:
    """The moves of every field of the catalogue, laid out for one row at a time.

    A place is a move and one of the trees that it changes. A row is followed by what its derived features become, so
    that the questions which places ask about them are answered together with all others.
    """

    def __init__(self, ensemble: Ensemble, rules: Rules) -> None:
        self._columns = pairs(ensemble.scale * ensemble.leaf_values.reshape(-1, ensemble.outputs))
        self._reference = list(rules.reference)
        fields = {item.field: item.moved for item in CANDIDATES}
        moves = list(dict.fromkeys(fields.values()))  # fields that move the same features share their places
        again = [tuple(feature for feature, uses in _DEPENDS.items() if uses & set(moved)) for moved in moves]
        rounds = _rounds(again)
        self.number = {field: moves.index(moved) for field, moved in fields.items()}
        self._inputs = [
            _inputs({feature for moved, own in zip(moves, rounds, strict=True) if own == number for feature in moved})
            for number in range(max(rounds) + 1)
        ]
        self._high = np.concatenate(
            [ensemble.missing_high, *[ensemble.missing_high[-len(_DEPENDS) :]] * len(self._inputs)]
        )
        self._any_high = bool(self._high.any())
        levels = [_levels(groups, ensemble) for groups in (moves, again)]
        touched: NDArray[np.bool_] = np.any(np.concatenate(levels, axis=2), axis=2)
        touched[:, 0] |= ~touched.any(axis=1)  # the changes of no tree at all could not be summed
        move, self._trees = np.nonzero(touched)
        self._starts = np.flatnonzero(np.diff(move, prepend=-1))
        direct, anew = (groups[touched] for groups in levels)  # (places, levels)
        features, borders = ensemble.split_feature[self._trees], ensemble.split_border[self._trees]
        bits = 1 << np.arange(features.shape[1])
        above = _filled(np.array(rules.reference, np.float32), ensemble.missing_high)[features] > borders
        self._keep = ~((direct | anew) @ bits)  # bits that do not depend on what moves
        self._fresh = (direct & above) @ bits  # bits of the features that take the reference's value
        asking = anew.any(axis=1)
        position = features + (len(_DEPENDS) * (1 + np.array(rounds)))[move, None]
        self.questions = Questions.of(
            np.pad(position[asking], ((0, 1), (0, 0))),
            np.pad(np.where(anew, borders, np.float32(np.inf))[asking], ((0, 1), (0, 0)), constant_values=np.inf),
        )
        self._again = np.where(asking, np.cumsum(asking) - 1, asking.sum())  # the last asks nothing

    def row(self, values: list[float]) -> NDArray[np.float32]:
        """A row and what its derived features become, as questions are asked of it."""
        both, extended = values + self._reference, values.copy()
        for inputs in self._inputs:
            extended += _derived(inputs(both))
        row = np.frombuffer(array("f", extended), np.float32)  # too large a number becomes infinite without a warning
        return _filled(row, self._high) if self._any_high else row

    def raw(self, index: Index, again: Index, raw: list[float]) -> list[list[float]]:
        """Raw values after each move, a list an output.

        `index` holds the row's leaves, `again` the answers to `questions`, `raw` the values before any move.
        """
        before = index.take(self._trees)
        moved = before & self._keep
        moved |= self._fresh
        moved |= again.take(self._again)
        outputs = []
        for column, real, imaginary in zip(self._columns, raw[::2], [*raw[1::2], 0.0], strict=False):
            change = column.take(moved)
            change -= column.take(before)
            pair = np.add.reduceat(change, self._starts)
            pair += complex(real, imaginary)
            outputs += [pair.real.tolist(), pair.imag.tolist()]
        return outputs[: len(raw)]


def _rounds(again: list[tuple[int, ...]]) -> list[int]:
    """A number for each move: moves of one number change no derived feature in common, so one evaluation serves all."""
    members: list[set[int]] = [set() for _ in again]
    numbers = []
    for changed in again:
        number = next(number for number, own in enumerate(members) if own.isdisjoint(changed))
        members[number].update(changed)
        numbers.append(number)
    return numbers


def _inputs(moved: set[int]) -> itemgetter[tuple[float, ...]]:
    """Takes the arguments of `derived` from a row followed by the reference."""
    return itemgetter(*(place + len(FEATURE_NAMES) if place in moved else place for place in _INPUTS))


def _derived(arguments: tuple[float, ...]) -> tuple[float, ...]:
    try:
        return derived(*arguments)
    except ZeroDivisionError:  # of no applicant; numpy divides as the kernel does
        with np.errstate(all="ignore"):
            return derived(*np.array(arguments))


def _levels(groups: list[tuple[int, ...]], ensemble: Ensemble) -> NDArray[np.bool_]:
    """Mask (groups, trees, levels) of the levels that compare a feature of the group."""
    member = np.zeros((len(groups), ensemble.features), np.bool_)
    for number, group in enumerate(groups):
        member[number, list(group)] = True
    return member[:, ensemble.split_feature] & np.isfinite(ensemble.split_border)


def _filled(row: NDArray[np.float32], high: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The row with missing values above every border where the model has them so."""
    return np.where(np.isnan(row) & high, np.float32(np.inf), row)
