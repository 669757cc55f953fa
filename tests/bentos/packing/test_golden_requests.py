"""Golden applicants are request bodies the contract takes, with the score the model gave."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bentos.errors import ArtefactDamaged
from bentos.packing.golden_requests import golden_applicants
from service.contract import Applicant
from service.score.manifest import REFERENCE_FILE
from tests.factories import applicant_columns


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of which only the reference matters here."""
    columns, _ = applicant_columns(90, seed=4)
    frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
    frame.assign(score=range(90), label="Good").to_parquet(tmp_path / REFERENCE_FILE)
    return tmp_path


def test_they_are_spread_over_the_reference(package: Path) -> None:
    """As many as asked, from the whole frame, each a valid request."""
    golden = golden_applicants(package, 30)

    assert [one.score for one in golden] == list(range(0, 90, 3))
    for one in golden:
        Applicant.model_validate_json(json.dumps(one.body))


def test_a_small_reference_gives_fewer(package: Path) -> None:
    """All rows there are."""
    assert len(golden_applicants(package, 500)) == 90


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda frame: frame.head(0), "is empty", id="empty"),
        pytest.param(lambda frame: frame.assign(interest_rate=-1.0), "contract refuses", id="outside-the-contract"),
        pytest.param(lambda frame: frame.drop(columns="score"), "contract refuses", id="no-score"),
    ],
)
def test_an_unusable_reference_is_refused(package: Path, damage, says: str) -> None:  # type: ignore[no-untyped-def]
    """And nothing of a row reaches the message."""
    damage(pd.read_parquet(package / REFERENCE_FILE)).to_parquet(package / REFERENCE_FILE)

    with pytest.raises(ArtefactDamaged, match=says) as refused:
        golden_applicants(package, 5)
    assert "-1.0" not in str(refused.value)


def test_a_missing_reference_is_refused(tmp_path: Path) -> None:
    """It says to train again."""
    with pytest.raises(ArtefactDamaged, match="train again"):
        golden_applicants(tmp_path, 5)
