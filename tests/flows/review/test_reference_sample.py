"""The reference holds its rows as known customers' too, and packing asks for both what the packed model answers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bentos.packing.golden_requests import golden_applicants
from bentos.packing.model_package import assemble
from flows.learning.fit import learn
from flows.learning.known_features import AGES
from flows.learning.prepared_data import contract_columns
from flows.learning.rows import rows_of
from flows.review.reference_sample import answered_again, reference_frame
from service.contract import Applicant
from service.engine.packed_model import PackedModel
from service.score import features
from service.score.manifest import REFERENCE_FILE, Draft
from service.score.manifest_parts import Data
from tests.flows.prepared_data import prepared_frame
from tests.flows.small_training import QUICK


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of a model that learned known customers, without a reference."""
    folder, frame = tmp_path_factory.mktemp("package"), prepared_frame(120, seed=1)
    learned = learn(rows_of(frame), QUICK)
    draft = Draft(
        objective=QUICK.objective,
        calibration=learned.calibration.knots,
        calibration_known=learned.calibration_known.knots,
        grade_borders=learned.grade_borders,
        data=Data(source="generated", rows=len(frame), customers=120),
    )
    assemble(folder, learned.model, draft, contract_columns(frame), (frame["label"] == "Good").to_numpy())
    return folder


@pytest.fixture(scope="module")
def unseen() -> pd.DataFrame:
    """Customers that it did not learn from; a tenth of the rows have no label."""
    frame = prepared_frame(40, seed=2)
    return frame.assign(label=frame["label"].where(frame.index % 10 > 0))


def test_golden_applicants_get_the_packed_models_answers(package: Path, unseen: pd.DataFrame) -> None:
    """Unknown and known, each age of the last class among them."""
    reference_frame(package, unseen).to_parquet(package / REFERENCE_FILE, index=False)
    model = PackedModel.load(package)

    golden = golden_applicants(package, 60)

    asked = [Applicant.model_validate(one.body, strict=False) for one in golden]
    assert [one.score for one in golden] == [model.assess(features.row(one)).score for one in asked]
    ages = {features.row(one)[features.AGE] for one in asked if one.previous_classes}
    assert ages >= set(AGES) and sum(bool(one.previous_classes) for one in asked) == 20


def test_a_known_row_tells_earlier_months_alone(package: Path, unseen: pd.DataFrame) -> None:
    """Never its own class or a later one: with all those changed, its text is the same."""
    reference = reference_frame(package, unseen)
    later = unseen.assign(label=unseen["label"].where((unseen["month"] < 5) | unseen["label"].isna(), "Good"))

    changed = reference_frame(package, later)

    soon = unseen["month"].reset_index(drop=True) <= 5
    assert (reference["known_classes"] == changed["known_classes"])[soon].all()
    assert (reference["known_classes"][unseen["month"].reset_index(drop=True) == 1] == "").all()


def test_the_reference_of_an_earlier_release_stays_without_known_customers(package: Path, unseen: pd.DataFrame) -> None:
    """A recalibration answers its rows again, and nothing is invented."""
    reference, model = reference_frame(package, unseen), PackedModel.load(package)
    known = ["known_as_of", "known_classes", "known_score"]

    again = answered_again(model, reference)

    pd.testing.assert_frame_equal(again, reference, check_like=True)
    earlier = reference.drop(columns=known)
    pd.testing.assert_frame_equal(answered_again(model, earlier), earlier, check_like=True)
