"""The trees of a CatBoost model as plain arrays, and the numpy archive they are stored in.

Only what this project trains is read: symmetric trees over float features, one set of leaf values an output. In such
a tree every level asks one question, so a leaf's number is the answers read as bits (level d is bit d) and everything
a tree says of a row follows from that number. CatBoost compares `float32(x) > border`; a missing value answers no, or
yes where the feature was trained with missing values as the highest (`missing_high`).
"""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from service.errors import ModelRefused

if TYPE_CHECKING:
    from catboost import CatBoost

Float = NDArray[np.float64]

MAX_DEPTH: Final = 8  # a leaf's number is one byte in both engines


@dataclass(frozen=True, slots=True)
class Ensemble:
    """T symmetric trees of at most D levels with K outputs over F features; a shallower tree's spare levels say no."""

    split_feature: NDArray[np.int32]  # (T, D) feature asked at each level
    split_border: NDArray[np.float32]  # (T, D) the answer is yes above it; +inf on spare levels
    leaf_values: Float  # (T, 2**D, K)
    leaf_weights: Float  # (T, 2**D) training weight that fell into each leaf
    scale: float
    bias: Float  # (K,) raw output = scale * sum of leaf values + bias
    missing_high: NDArray[np.bool_]  # (F,) missing counts as above every border

    @property
    def features(self) -> int:
        """How many features a row has."""
        return len(self.missing_high)

    @property
    def outputs(self) -> int:
        """How many raw outputs the model has."""
        return len(self.bias)


def read_ensemble(model: CatBoost, order: list[int]) -> Ensemble:
    """The trees of `model`, its outputs put in `order`; ModelRefused if it has anything but symmetric numeric trees."""
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "model.json"
        model.save_model(str(exported), format="json")
        document = json.loads(exported.read_bytes())
    if "oblivious_trees" not in document:
        raise ModelRefused("the trees are not symmetric: train with grow_policy=SymmetricTree")
    if document["features_info"].keys() - {"float_features"}:
        raise ModelRefused("the model has features that are not numeric: encode them in service.score.features")
    return _ensemble(document, order)


def _ensemble(document: dict[str, Any], order: list[int]) -> Ensemble:
    trees = document["oblivious_trees"]
    scale, bias = float(document["scale_and_bias"][0]), np.array(document["scale_and_bias"][1], np.float64)
    depth = max((len(tree["splits"]) for tree in trees), default=0)
    if not 1 <= depth <= MAX_DEPTH:
        raise ModelRefused(f"trees have {depth} levels, 1 to {MAX_DEPTH} can be served")
    position, high = _float_features(document["features_info"]["float_features"])
    ensemble = Ensemble(
        split_feature=np.zeros((len(trees), depth), np.int32),
        split_border=np.full((len(trees), depth), np.inf, np.float32),
        leaf_values=np.zeros((len(trees), 2**depth, len(bias))),
        leaf_weights=np.zeros((len(trees), 2**depth)),
        scale=scale,
        bias=bias[order],
        missing_high=high,
    )
    for number, tree in enumerate(trees):
        levels, leaves = slice(len(tree["splits"])), slice(len(tree["leaf_weights"]))
        ensemble.split_feature[number, levels] = [position[split["float_feature_index"]] for split in tree["splits"]]
        ensemble.split_border[number, levels] = [split["border"] for split in tree["splits"]]
        ensemble.leaf_values[number, leaves] = np.reshape(tree["leaf_values"], (-1, len(bias)))[:, order]
        ensemble.leaf_weights[number, leaves] = tree["leaf_weights"]
    return ensemble


def _float_features(entries: list[dict[str, Any]]) -> tuple[dict[int, int], NDArray[np.bool_]]:
    """Column of each float feature, and which of the columns take a missing value for the highest."""
    position = {item["feature_index"]: item["flat_feature_index"] for item in entries}
    high = np.zeros(max(position.values()) + 1, np.bool_)
    for item in entries:
        high[item["flat_feature_index"]] = item["nan_value_treatment"] == "AsTrue"
    return position, high


@dataclass(frozen=True, slots=True)
class LeafTable:
    """An ensemble with the exact SHAP values of its margin for every tree and leaf.

    The margin is `direction . raw`, a single number that grows with creditworthiness. `shap[t, l, d]` is what the
    feature asked at level d of tree t gives to the margin of a row in leaf l (a feature asked twice in a tree has its
    value at the first of the two levels, 0 at the other); `base` is the margin's mean over the training rows.
    """

    ensemble: Ensemble
    direction: Float  # (K,)
    shap: Float  # (T, 2**D, D)
    base: float

    def archive(self) -> bytes:
        """The table as the bytes of an npz archive (no pickle in it), read back by `read_table`."""
        buffer = io.BytesIO()
        trees = self.ensemble
        np.savez(
            buffer,
            split_feature=trees.split_feature,
            split_border=trees.split_border,
            leaf_values=trees.leaf_values,
            leaf_weights=trees.leaf_weights,
            scale=np.float64(trees.scale),
            bias=trees.bias,
            missing_high=trees.missing_high,
            direction=self.direction,
            shap=self.shap,
            base=np.float64(self.base),
        )
        return buffer.getvalue()


def read_archive(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz archive; pickled objects in it raise ValueError."""
    with np.load(io.BytesIO(content), allow_pickle=False) as parts:
        return {name: np.asarray(parts[name]) for name in parts.files}


def read_table(content: bytes) -> LeafTable:
    """The leaf table of an npz archive; ModelRefused if it is no such archive or its parts do not fit together."""
    try:
        parts = read_archive(content)
        ensemble = Ensemble(
            split_feature=parts["split_feature"].astype(np.int32),
            split_border=parts["split_border"].astype(np.float32),
            leaf_values=parts["leaf_values"].astype(np.float64),
            leaf_weights=parts["leaf_weights"].astype(np.float64),
            scale=float(parts["scale"]),
            bias=parts["bias"].astype(np.float64),
            missing_high=parts["missing_high"].astype(np.bool_),
        )
        direction, shap = parts["direction"].astype(np.float64), parts["shap"].astype(np.float64)
        table = LeafTable(ensemble, direction, shap, float(parts["base"]))
    except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds on a damaged archive
        raise ModelRefused(f"leaf_table.npz cannot be read: {type(error).__name__}") from error
    _check_shapes(table)
    return table


def _check_shapes(table: LeafTable) -> None:
    trees = table.ensemble
    count, depth = trees.split_feature.shape
    shapes = {
        "split_border": (trees.split_border.shape, (count, depth)),
        "leaf_values": (trees.leaf_values.shape, (count, 2**depth, trees.outputs)),
        "leaf_weights": (trees.leaf_weights.shape, (count, 2**depth)),
        "direction": (table.direction.shape, (trees.outputs,)),
        "shap": (table.shap.shape, (count, 2**depth, depth)),
    }
    wrong = [name for name, (actual, expected) in shapes.items() if actual != expected]
    if wrong or not 1 <= depth <= MAX_DEPTH:
        raise ModelRefused(f"leaf_table.npz: parts of the wrong shape: {', '.join(wrong) or 'split_feature'}")
    if trees.split_feature.min() < 0 or trees.split_feature.max() >= trees.features:
        raise ModelRefused("leaf_table.npz: a tree asks for a feature that does not exist")
