"""A recalibrated package is a package: the same trees to the byte, other probabilities, and every gate passes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bentos.packing.model_package import complete
from bentos.packing.recalibration import recalibrate
from service.engine.packed_model import PackedModel
from service.score import features
from service.score.manifest import KERNEL_FILE, MODEL_FILE, UNREGISTERED, Manifest
from service.score.policy import CELLS, CLASSES, Calibration
from tests.factories import applicant_columns, pack_small_model

FLATTER = Calibration((tuple(max(1e-4, (cell / CELLS)) ** 0.6 for cell in range(CELLS + 1)),) * len(CLASSES))


BORDERS = (0.05, 0.2, 0.4, 0.6)


@pytest.fixture(name="before", scope="module")
def fixture_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed model, kernel included, as it would be served."""
    place = tmp_path_factory.mktemp("package")
    pack_small_model(place, "MultiLogloss", trees=20)
    return place


@pytest.mark.slow
def test_the_trees_stay_and_the_probabilities_change(before: Path, tmp_path: Path) -> None:
    """The same model.cbm, classes and contributions; flatter probabilities; kernel and version are not carried over."""
    place = tmp_path / "package"
    shutil.copytree(before, place)

    made = recalibrate(place, (FLATTER, FLATTER), BORDERS, {"recalibration_power": 0.6}, "b" * 40)

    assert (place / MODEL_FILE).read_bytes() == (before / MODEL_FILE).read_bytes()
    assert made == Manifest.read(place) and made.digest == Manifest.read(before).digest
    assert made.grade_borders == BORDERS
    assert (made.version, made.approval, made.platform) == (UNREGISTERED, None, "")
    assert made.parameters["recalibration_power"] == 0.6 and KERNEL_FILE not in made.files
    rows = features.matrix(applicant_columns(300, 5)[0])
    old, new = (PackedModel.load(one, "portable").assess_arrays(rows, reasons=True) for one in (before, place))
    assert np.array_equal(old.predicted_class, new.predicted_class)
    assert np.array_equal(
        old.relative_contributions, new.relative_contributions
    )  # which are worth a point each depends on the probabilities
    assert (new.probabilities.max(axis=1) <= old.probabilities.max(axis=1) + 1e-9).all()
    served = complete(place, version="2")
    assert served.version == "2"
    assert PackedModel.load(place).manifest == served
