"""Proof that an engine answers as CatBoost does: the rows to try, CatBoost's answers, the comparison."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from service.engine import catboost_child
from service.engine.rules import MARGINS, Arrays, Engine
from service.engine.trees import Ensemble, Float, read_archive
from service.errors import ModelRefused
from service.score.policy import CLASSES, Objective

TRIAL_TIMEOUT_S: Final = 180.0  # CatBoost takes 2 s to import, more where many workers start at once
RAW_TOLERANCE: Final = 1e-9
SINGLE_ROWS: Final = 100
_FAR: Final = 1e30
_KINDS: Final = 6


@dataclass(frozen=True, slots=True)
class EngineVerdict:
    """CatBoost's answers: raw values (n, outputs) in the contract's order of classes, all leaf values, the order."""

    raw: Float
    leaf_values: Float
    order: list[int]


def border_rows(ensemble: Ensemble, count: int, seed: int = 0) -> Float:
    """Rows of features that walk along every border of the trees: on it, a hair above, between, beyond, missing.

    They reach more leaves than rows of data do, and belong to nobody.
    """
    rng = np.random.default_rng(seed)
    rows = np.empty((count, ensemble.features))
    real = np.isfinite(ensemble.split_border)
    for feature in range(ensemble.features):
        borders = np.unique(ensemble.split_border[real & (ensemble.split_feature == feature)])
        if borders.size == 0:
            borders = np.zeros(1, np.float32)
        index = rng.integers(0, len(borders), count)
        on = borders[index].astype(np.float64)
        with np.errstate(over="ignore"):  # missing as the highest puts a border at the greatest float
            above = np.nextafter(borders, np.float32(np.inf))[index].astype(np.float64)
        neighbour = borders[np.minimum(index + 1, len(borders) - 1)].astype(np.float64)
        kinds = (
            on,
            above,
            on + (above - on) / 4,  # a double that becomes the border itself as a float
            (on + neighbour) / 2,
            np.where(rng.random(count) < 0.5, -_FAR, _FAR),
            np.full(count, np.nan),
        )
        # Far beyond and missing are rare: between the borders lies what trees were grown on.
        pick = rng.choice(_KINDS, count, p=(0.2, 0.2, 0.1, 0.4, 0.05, 0.05))
        rows[:, feature] = np.choose(pick, kinds)
    return rows


def output_order(classes: list[str], objective: Objective) -> list[int]:
    """Where CatBoost keeps the outputs for Poor, Standard, Good (it sorts names), or for >Poor and >Standard.

    Raises:
        ModelRefused: the model was trained on other classes.
    """
    if objective == "MultiLogloss":
        return list(range(len(MARGINS[objective])))
    for names in ([str(name) for name in CLASSES], [str(number) for number in range(len(CLASSES))]):
        if sorted(classes) == sorted(names):
            return [classes.index(name) for name in names]
    raise ModelRefused(f"the model tells {', '.join(classes)} apart, not {', '.join(CLASSES)}")


def ask_catboost(model: bytes, rows: Float, objective: Objective) -> EngineVerdict:
    """CatBoost's own answers, from a child process that gets these bytes.

    Raises:
        ModelRefused: the child died, took too long or found a model of another shape.
    """
    archive = io.BytesIO()
    np.save(archive, rows)
    try:
        process = subprocess.run(
            # -P: the folder of the program holds modules whose names are no one's business but ours
            [sys.executable, "-P", str(Path(catboost_child.__file__))],
            input=struct.pack("<q", len(model)) + model + archive.getvalue(),
            capture_output=True,
            timeout=TRIAL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRefused(f"model.cbm was not loaded within {TRIAL_TIMEOUT_S:.0f} s in a trial process") from error
    if process.returncode:
        last = process.stderr.decode(errors="replace").strip().splitlines()[-1:] or [
            f"signal or code {process.returncode}"
        ]
        raise ModelRefused(f"model.cbm does not load in a trial process: {last[0]:.200}")
    answer = read_archive(process.stdout)
    raw, classes = answer["raw"], [str(name) for name in answer["classes"]]
    if raw.shape[1] != len(MARGINS[objective]):
        raise ModelRefused(f"model.cbm has {raw.shape[1]} outputs, {objective} has {len(MARGINS[objective])}")
    order = output_order(classes, objective)
    return EngineVerdict(raw[:, order], answer["leaf_values"], order)


def check_leaf_values(ensemble: Ensemble, verdict: EngineVerdict) -> None:
    """Compare every leaf value with the model's.

    Raises:
        ModelRefused: the table was made from another model.
    """
    trees, outputs = len(ensemble.leaf_values), ensemble.outputs
    levels = np.isfinite(ensemble.split_border).sum(axis=1)
    ours = [ensemble.leaf_values[tree, : 2 ** levels[tree]] for tree in range(trees)]
    theirs = np.asarray(verdict.leaf_values)
    if theirs.size != sum(part.size for part in ours):
        raise ModelRefused("leaf_table.npz was not made from this model.cbm: the trees differ in number or depth")
    theirs = theirs.reshape(-1, outputs)[:, verdict.order]
    if not np.array_equal(np.concatenate(ours), theirs):
        raise ModelRefused("leaf_table.npz was not made from this model.cbm: leaf values differ")


def raw_difference(ours: Float, theirs: Float) -> float:
    """The greatest difference of raw values; infinite if the shapes differ or anything is NaN."""
    if ours.shape != theirs.shape or ours.size == 0:
        return float("inf")
    worst = float(np.abs(ours - theirs).max())
    return worst if np.isfinite(worst) else float("inf")


def unlike(engine: Engine, portable: Engine, rows: Float, raw: Float) -> str:
    """The difference of a compiled engine from CatBoost's raw values or the portable engine's answers, "" if none."""
    if (worst := raw_difference(engine.raw(rows), raw)) > 0.0:
        return f"raw values differ from CatBoost's by up to {worst:.1e}"
    if (worst := raw_difference(engine.contributions(rows), portable.contributions(rows))) > RAW_TOLERANCE:
        return f"SHAP values differ from the portable engine's by up to {worst:.1e}"
    answers, reference = engine.assess_many(rows, True), portable.assess_many(rows, True)
    for name, ours, theirs in (
        ("probabilities", answers.probabilities, reference.probabilities),
        ("contributions", answers.relative_contributions, reference.relative_contributions),
    ):
        if (worst := raw_difference(ours, theirs)) > RAW_TOLERANCE:
            return f"{name} differ from the portable engine's by up to {worst:.1e}"
    for name in Arrays._fields[1:-1]:
        if not np.array_equal(getattr(answers, name), getattr(reference, name)):
            return f"{name} differs from the portable engine's"
    single = [engine.assess(row) for row in rows[:SINGLE_ROWS].tolist()]
    if [(one.score, one.numbers) for one in single] != [
        (int(score), tuple(number for number in numbers if number >= 0))
        for score, numbers in zip(reference.score, reference.numbers.tolist(), strict=True)
    ][:SINGLE_ROWS]:
        return "a row alone is answered differently from the same row among many"
    return ""
