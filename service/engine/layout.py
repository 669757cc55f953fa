"""The leaf table, the rules and the catalogue of reasons laid out in memory as `kernel.c` reads them."""

from __future__ import annotations

import ctypes
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.contract import MAX_REASONS, POOR_MAX, SCORE_MAX, STANDARD_MAX
from service.engine.formulas import Program, record
from service.engine.grid import Grid, grid
from service.engine.rules import FAMILY_OF, KNOWN, Rules
from service.engine.trees import Float, LeafTable
from service.score.features import FEATURE_NAMES
from service.score.policy import CELLS
from service.score.reasons import CANDIDATES, FAMILIES

ABI: Final = 4
"""Of the functions' arguments and of `struct model`; a kernel of another is not used."""
# The limits of the arrays that kernel.c keeps on its stack.
MAX_TREES: Final = 4096  # a row's leaf numbers
MAX_FEATURES: Final = 256
MAX_REGISTERS: Final = 512
MAX_FAMILIES: Final = 64
MAX_FIELDS: Final = 64
LANES: Final = 4  # doubles in a vector; outputs fill one, with whatever follows them
BLOCK: Final = 64  # leaf numbers handled at once; rows of masks are padded to it
WIDE: Final = 8  # features compared at once
SUMMANDS: Final = 8  # a family's values that are added at once
ALIGNMENT: Final = 64
KERNEL_CONSTANTS: Final[dict[str, int | float]] = {
    "ABI": ABI,
    "MAX_TREES": MAX_TREES,
    "MAX_FEATURES": MAX_FEATURES,
    "MAX_REGISTERS": MAX_REGISTERS,
    "MAX_FAMILIES": MAX_FAMILIES,
    "MAX_FIELDS": MAX_FIELDS,
    "MAX_REASONS": MAX_REASONS,
    "LANES": LANES,
    "BLOCK": BLOCK,
    "WIDE": WIDE,
    "SUMMANDS": SUMMANDS,
    "CELLS": CELLS,
    "SCORE_MAX": float(SCORE_MAX),
    "POOR_MAX": POOR_MAX,
    "STANDARD_MAX": STANDARD_MAX,
}
"""The constants that kernel.c is compiled with; it states none of them itself."""

ANSWER: Final = np.dtype(
    [
        ("probability", np.float64, 3),
        ("score", np.int32),
        ("verdict", np.int8),
        ("count", np.int8),
        ("band", np.int8),
        ("best", np.int8),
        ("number", np.int16, 4),
        ("lost", np.float64, MAX_FAMILIES),
    ]
)

_NUMBERS: Final = (
    "features trees stride leaf_bits outputs families width summand_blocks fields objective constants active groups "
    "known"
).split()
_POINTERS: Final = (
    "borders starts missing asked first group_borders border_rows masks leaf_values bias summand_place block_family "
    "knots reference baseline family_start "
    "candidate_field allowed lead_start leads moved_start moved again_start again touched_start touched "
    "basis keep fresh "
    "constant step_start step output_feature output_register"
).split()


class KernelModel(ctypes.Structure):
    """`struct model` of kernel.c."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in _NUMBERS),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    ]


def fits(table: LeafTable) -> bool:
    """True if the kernel's limits hold the model and the catalogue."""
    program = record()
    registers = len(FEATURE_NAMES) + len(program.constants) + len(program.operations)
    sizes = (
        (len(table.ensemble.leaf_values), MAX_TREES),
        (table.ensemble.features, MAX_FEATURES),
        (registers, MAX_REGISTERS),
        (len(FAMILIES), MAX_FAMILIES),
        (len({item.field for item in CANDIDATES}), MAX_FIELDS),
    )
    return all(size <= most for size, most in sizes)


class KernelLayout:
    """Owns the arrays that `model` points to; keep it for as long as the kernel may be called."""

    def __init__(self, table: LeafTable, rules: Rules) -> None:
        cells = grid(table.ensemble)
        self._stride = -(-len(table.ensemble.leaf_values) // BLOCK) * BLOCK
        arrays = self._trees(table, cells) | self._reasons(cells, rules) | _formulas()
        arrays["knots"] = np.array([rules.calibration.knots, rules.calibration_known.knots])
        arrays["reference"] = np.array(rules.reference)
        arrays["baseline"] = np.array(rules.baseline)
        self._buffers = {name: _aligned(arrays[name]) for name in _POINTERS}
        count, depth = table.ensemble.split_feature.shape
        numbers = {
            "features": table.ensemble.features,
            "trees": count,
            "stride": self._stride,
            "leaf_bits": depth,
            "outputs": table.ensemble.outputs,
            "families": len(FAMILIES),
            "width": arrays["leaf_values"].shape[2],
            "summand_blocks": len(arrays["block_family"]),
            "fields": len(arrays["keep"]),
            "objective": 0 if rules.objective == "MultiClass" else 1,
            "constants": len(arrays["constant"]),
            "active": np.count_nonzero(np.diff(cells.starts)),
            "groups": len(arrays["group_borders"]),
            "known": KNOWN,
        }
        self.model = KernelModel(
            **numbers,
            scale=table.ensemble.scale,
            **{name: array.ctypes.data for name, array in self._buffers.items()},
        )

    def _trees(self, table: LeafTable, cells: Grid) -> dict[str, NDArray[Any]]:
        trees = table.ensemble
        families, shap = _merged(table)
        leaf_values = np.concatenate([trees.leaf_values, shap], axis=2)
        leaf_values = np.pad(leaf_values, ((0, 0), (0, 0), (0, -leaf_values.shape[2] % LANES)))
        return {
            "borders": cells.borders,
            "starts": cells.starts.astype(np.int32),
            "missing": np.where(cells.missing_high, np.inf, -np.inf).astype(np.float32),
            **_border_rows(cells),
            "masks": self._wide(cells.masks),
            "leaf_values": leaf_values,
            "bias": np.pad(trees.bias, (0, LANES - trees.outputs)),
            **_summand_blocks(families, trees.outputs, leaf_values.shape[2]),
        }

    def _wide(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.pad(rows, ((0, 0), (0, self._stride - rows.shape[1])))

    def _reasons(self, cells: Grid, rules: Rules) -> dict[str, NDArray[Any]]:
        program = record()
        fields = {candidate.field: candidate.moved for candidate in CANDIDATES}
        names = list(fields)
        positions = [feature for feature, _ in program.outputs]
        again = [
            [number for number, feature in enumerate(positions) if program.depends[feature] & frozenset(moved)]
            for moved in fields.values()
        ]
        steps = [_steps(program, [program.outputs[number][1] for number in numbers]) for numbers in again]
        keep, fresh = [], []
        for moved, numbers in zip(fields.values(), again, strict=True):
            keep.append(
                ~np.bitwise_or.reduce(cells.owned[[*moved, *(positions[number] for number in numbers)]], axis=0)
            )
            rows = [cells.cell(feature, rules.reference[feature]) for feature in moved]
            fresh.append(np.bitwise_or.reduce(cells.masks[rows], axis=0))
        by_family = [[item for item in CANDIDATES if item.family == family] for family in range(len(FAMILIES))]
        touched = [np.flatnonzero(~mask) for mask in keep]
        return {
            "family_start": _starts(by_family),
            "candidate_field": np.array([names.index(item.field) for item in CANDIDATES], np.int32),
            "allowed": np.array([item.allowed for item in CANDIDATES], np.uint8),
            "lead_start": _starts([item.leads for item in CANDIDATES]),
            "leads": np.array([lead for item in CANDIDATES for lead in item.leads], np.int32),
            "moved_start": _starts(list(fields.values())),
            "moved": np.array([feature for moved in fields.values() for feature in moved], np.int32),
            "again_start": _starts(again),
            "again": np.array([number for numbers in again for number in numbers], np.int32),
            "step_start": _starts(steps),
            "step": np.array([step for group in steps for step in group], np.int32),
            "touched_start": _starts(touched),
            "touched": np.concatenate(touched).astype(np.uint16),
            "basis": np.array(
                [int(not np.isnan(rules.reference[KNOWN])) if KNOWN in moved else 2 for moved in fields.values()],
                np.uint8,
            ),
            "keep": self._wide(np.stack(keep)),
            "fresh": self._wide(np.stack(fresh)),
        }


def _border_rows(cells: Grid) -> dict[str, NDArray[Any]]:
    """The features that trees ask about, WIDE side by side: most borders first, so that columns are alike."""
    counts = np.diff(cells.starts)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    groups = [order[first : first + WIDE] for first in range(0, len(order), WIDE)]
    border_rows = np.full((sum(counts[group[0]] for group in groups), WIDE), np.inf, np.float32)
    top = 0
    for group in groups:
        for column, feature in enumerate(group):
            own = cells.borders[cells.starts[feature] : cells.starts[feature + 1]]
            border_rows[top : top + len(own), column] = own
        top += counts[group[0]]
    spare = (0, -len(order) % WIDE)
    return {
        "asked": np.pad(order, spare).astype(np.int32),
        "first": np.pad(cells.starts[order] + order, spare).astype(np.int32),
        "group_borders": np.array([counts[group[0]] for group in groups], np.int32),
        "border_rows": border_rows,
    }


def _summand_blocks(families: NDArray[np.uint8], outputs: int, width: int) -> dict[str, NDArray[Any]]:
    """Indices of each family's contributions when a row's leaves are side by side, SUMMANDS at a time.

    Families take turns, so that no sum waits for the one before. Places beyond the last leaf hold zero.
    """
    turns = []
    for family in range(len(FAMILIES)):
        tree, slot = np.nonzero(families == family)
        places = tree * width + outputs + slot
        places = np.pad(places, (0, -len(places) % SUMMANDS), constant_values=len(families) * width)
        turns += [(turn, family, block) for turn, block in enumerate(places.reshape(-1, SUMMANDS).tolist())]
    turns.sort()
    return {
        "summand_place": np.array([block for _, _, block in turns], np.uint16),
        "block_family": np.array([family for _, family, _ in turns], np.uint8),
    }


def _formulas() -> dict[str, NDArray[Any]]:
    program = record()
    return {
        "constant": np.array(program.constants, np.float64),
        "output_feature": np.array([feature for feature, _ in program.outputs], np.int32),
        "output_register": np.array([register for _, register in program.outputs], np.int32),
    }


def _steps(program: Program, results: list[int]) -> list[tuple[int, int, int, int]]:
    """The operations that the result registers need, in order, each with the register it fills."""
    first = len(FEATURE_NAMES) + len(program.constants)
    registers = set(results)
    steps = []
    for number, (operation, left, right) in reversed(list(enumerate(program.operations.tolist(), start=first))):
        if number in registers:
            registers |= {left, right}
            steps.append((operation, left, right, number))
    return steps[::-1]


def _merged(table: LeafTable) -> tuple[NDArray[np.uint8], Float]:
    """Families by tree and slot, and SHAP values by tree, leaf and slot.

    A tree has one slot a family; `len(FAMILIES)` marks those that only richer trees need.
    """
    own = np.asarray(FAMILY_OF)[table.ensemble.split_feature]
    distinct = [sorted(set(families)) for families in own.tolist()]
    slots = max(len(families) for families in distinct)
    family = np.full((len(own), slots), len(FAMILIES), np.uint8)
    shap = np.zeros((*table.shap.shape[:2], slots))
    for tree, families in enumerate(distinct):
        for slot, number in enumerate(families):
            family[tree, slot] = number
            shap[tree, :, slot] = table.shap[tree][:, own[tree] == number].sum(axis=1)
    return family, shap


def _starts(groups: list[Any]) -> NDArray[np.int32]:
    """Offsets of each group in their concatenation, and the end of the last one."""
    return np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int32)


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A contiguous copy that begins on a cache line."""
    room = np.zeros(array.nbytes + ALIGNMENT, np.uint8)
    first = -room.ctypes.data % ALIGNMENT
    copy = room[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
