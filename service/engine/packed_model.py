"""The packed model that answers: loaded only if it is, to the byte and in what it says, the one that was approved.

Loading takes the package through five gates: the manifest fits this code; every file has the size and SHA-256 that
the manifest names; CatBoost loads the model in a process of its own and agrees with the leaf table; the golden
predictions come out again; the engine answers as CatBoost does on rows along every border. Any failure is one line
(`ModelRefused`) and no model. This process itself never parses the `.cbm` and never imports CatBoost: a damaged file
cannot end it, it starts faster and stays 100 MB smaller.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np

from service.engine import check
from service.engine.compiled import Compiled, KernelUnusable, platform_tag
from service.engine.golden_rows import GoldenRows
from service.engine.portable import Portable
from service.engine.rules import MARGINS, Arrays, Assessment, Engine, Rules
from service.engine.trees import Float, LeafTable, read_table
from service.errors import ModelRefused
from service.score.manifest import GOLDEN_FILE, KERNEL_FILE, MODEL_FILE, TABLE_FILE, Manifest

EngineChoice = Literal["auto", "portable", "compiled"]
START_CHECK_ROWS: Final = 400
ADDITIVITY_TOLERANCE: Final = 1e-9

log = logging.getLogger(__name__)

__all__ = ["Assessment", "Arrays", "EngineChoice", "PackedModel"]


class PackedModel:
    """A verified model; `load` is the only way to one in production."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        self.manifest = manifest
        self.ref = manifest.ref
        self.engine = engine
        # Bound once: the hot path saves an attribute look-up and a call.
        self.assess = engine.assess

    @classmethod
    def load(cls, directory: Path, engine: EngineChoice = "auto") -> PackedModel:
        """The model packed in `directory`.

        Args:
            directory: the package, with its manifest.
            engine: "portable" for numpy, "compiled" for the kernel, "auto" for the kernel where it is sound.

        Raises:
            ModelRefused: one line naming what is wrong; or "compiled" was asked for and the kernel is not sound.
        """
        manifest = Manifest.read(directory)
        manifest.require_fit()
        contents = manifest.verified_files(directory)
        table = read_table(contents[TABLE_FILE])
        rules = Rules.of(manifest)
        _check_table(table, manifest, rules)
        golden = GoldenRows.parse(contents[GOLDEN_FILE])
        rows = np.concatenate([golden.matrix(), check.border_rows(table.ensemble, START_CHECK_ROWS)])
        verdict = check.ask_catboost(contents[MODEL_FILE], rows, manifest.objective)
        check.check_leaf_values(table.ensemble, verdict)
        portable = Portable(table, rules)
        if (worst := check.raw_difference(portable.raw(rows), verdict.raw)) > check.RAW_TOLERANCE:
            raise ModelRefused(f"leaf_table.npz and model.cbm answer differently, by up to {worst:.1e}")
        golden.check(portable)
        if engine == "portable":
            return cls(manifest, portable)
        try:
            compiled = _compiled(manifest, contents, table, rules)
            if difference := check.unlike(compiled, portable, rows, verdict.raw):
                raise KernelUnusable(difference)
        except KernelUnusable as error:
            if engine == "compiled":
                raise ModelRefused(f"the compiled engine was asked for and cannot be used: {error}") from error
            log.warning("the portable engine answers, the compiled one cannot be used: %s", error)
            return cls(manifest, portable)
        golden.check(compiled)
        return cls(manifest, compiled)

    def assess_arrays(self, matrix: Float, reasons: bool = False) -> Arrays:
        """The answers to many rows of features."""
        return self.engine.assess_many(np.ascontiguousarray(matrix, np.float64), reasons)


def _compiled(manifest: Manifest, contents: Mapping[str, bytes], table: LeafTable, rules: Rules) -> Compiled:
    if KERNEL_FILE not in contents:
        raise KernelUnusable("the package holds no kernel: it was packed where there is no C compiler")
    if manifest.platform != platform_tag():
        raise KernelUnusable(f"the kernel was built for {manifest.platform}, this is {platform_tag()}")
    return Compiled(table, rules, contents[KERNEL_FILE])


def _check_table(table: LeafTable, manifest: Manifest, rules: Rules) -> None:
    """Refuse a table that belongs to another model, or whose SHAP values do not add up in every leaf."""
    trees = table.ensemble
    if trees.features != len(manifest.features):
        raise ModelRefused(
            f"leaf_table.npz takes {trees.features} features, the manifest names {len(manifest.features)}"
        )
    if tuple(table.direction.tolist()) != MARGINS[rules.objective]:
        raise ModelRefused(f"leaf_table.npz explains another objective than {rules.objective}")
    margins = trees.scale * (trees.leaf_values @ table.direction)
    residual = margins - table.shap.sum(axis=2)
    # A tree that stopped growing early says no on its spare levels: no row ends in a leaf that says yes there.
    spare = np.isinf(trees.split_border) @ (1 << np.arange(trees.split_border.shape[1]))
    residual = np.where(np.arange(residual.shape[1]) & spare[:, None], residual[:, :1], residual)
    # A tree's own mean is what remains in each of its leaves; together with the bias they are the base.
    spread = float(np.ptp(residual, axis=1).max(initial=0.0))
    means = residual[:, 0].sum() + float(trees.bias @ table.direction)
    if not (spread < ADDITIVITY_TOLERANCE and abs(means - table.base) < ADDITIVITY_TOLERANCE):
        raise ModelRefused("leaf_table.npz: SHAP values do not add up to the margin")
