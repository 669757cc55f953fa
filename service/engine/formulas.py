"""The derived features as arithmetic that both engines can repeat when one field of an applicant is moved.

`service.score.features.derived` is the one place where ratios are defined. Here it is run once on symbols instead of
numbers, which records its operations in order; the compiled engine replays them on doubles (`+ - * /` are exact IEEE
in C, numpy and Python alike, so the results are equal to the last bit), and the record tells which derived feature
depends on which inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.score.features import DERIVED_FROM, FEATURE_NAMES, derived

ADD: Final = 0
SUBTRACT: Final = 1
MULTIPLY: Final = 2
DIVIDE: Final = 3


@dataclass(frozen=True, slots=True)
class Program:
    """Straight-line arithmetic over registers: the features of a row, then constants, then results.

    `operations` has one row (operation, left register, right register) per result. `outputs` pairs each derived
    feature's position with the register that holds it; `depends` names, per derived feature, the positions it uses.
    """

    constants: tuple[float, ...]
    operations: NDArray[np.int32]  # (N, 3)
    outputs: tuple[tuple[int, int], ...]
    depends: dict[int, frozenset[int]]


class _Recorder:
    """Collects what is done to symbols."""

    def __init__(self) -> None:
        self.constants: list[float] = []
        self.operations: list[tuple[int, Any, Any]] = []

    def constant(self, value: float) -> _Symbol:
        """A symbol for a number written in a formula."""
        if value not in self.constants:
            self.constants.append(value)
        return _Symbol(self, ("constant", self.constants.index(value)), frozenset())

    def apply(self, operation: int, left: _Symbol | float, right: _Symbol | float) -> _Symbol:
        """A symbol for the result of one operation."""
        sides = [side if isinstance(side, _Symbol) else self.constant(float(side)) for side in (left, right)]
        self.operations.append((operation, sides[0].place, sides[1].place))
        return _Symbol(self, ("result", len(self.operations) - 1), sides[0].uses | sides[1].uses)


@dataclass(frozen=True, slots=True)
class _Symbol:
    """Stands for a number in `derived` and records the arithmetic."""

    recorder: _Recorder
    place: tuple[str, int]
    uses: frozenset[int]

    def __add__(self, other: _Symbol | float) -> _Symbol:
        return self.recorder.apply(ADD, self, other)

    def __radd__(self, other: float) -> _Symbol:
        return self.recorder.apply(ADD, other, self)

    def __sub__(self, other: _Symbol | float) -> _Symbol:
        return self.recorder.apply(SUBTRACT, self, other)

    def __rsub__(self, other: float) -> _Symbol:
        return self.recorder.apply(SUBTRACT, other, self)

    def __mul__(self, other: _Symbol | float) -> _Symbol:
        return self.recorder.apply(MULTIPLY, self, other)

    def __rmul__(self, other: float) -> _Symbol:
        return self.recorder.apply(MULTIPLY, other, self)

    def __truediv__(self, other: _Symbol | float) -> _Symbol:
        return self.recorder.apply(DIVIDE, self, other)

    def __rtruediv__(self, other: float) -> _Symbol:
        return self.recorder.apply(DIVIDE, other, self)


def record() -> Program:
    """The program of `service.score.features.derived`."""
    recorder = _Recorder()
    inputs = [FEATURE_NAMES.index(name) for name in DERIVED_FROM]
    formulas: Any = derived  # it is written for floats and arrays; symbols do the same arithmetic
    results: tuple[_Symbol, ...] = formulas(
        *(_Symbol(recorder, ("feature", position), frozenset({position})) for position in inputs)
    )
    start = {
        "feature": 0,
        "constant": len(FEATURE_NAMES),
        "result": len(FEATURE_NAMES) + len(recorder.constants),
    }

    def register(place: tuple[str, int]) -> int:
        return start[place[0]] + place[1]

    first = len(FEATURE_NAMES) - len(results)
    return Program(
        constants=tuple(recorder.constants),
        operations=np.array(
            [(operation, register(left), register(right)) for operation, left, right in recorder.operations], np.int32
        ).reshape(-1, 3),
        outputs=tuple((first + number, register(result.place)) for number, result in enumerate(results)),
        depends={first + number: result.uses for number, result in enumerate(results)},
    )
