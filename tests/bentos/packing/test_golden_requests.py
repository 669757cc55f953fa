"""Golden applicants are request bodies the contract takes, with the score the model gave."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from bentos.deploying.proof import unwatched
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


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """Of the second half of a frame, known customers: the last class one to four months old."""
    last = [f"Good@2000-0{7 - place % 4}-28|Poor@2000-02-28" for place in range(len(frame))]
    half = [place >= len(frame) // 2 for place in range(len(frame))]
    texts = [text if told else "" for text, told in zip(last, half, strict=True)]
    return frame.assign(known_classes=texts, known_as_of="2000-08-28", known_score=frame["score"] + 500)


def test_every_third_is_a_known_customer_of_each_age(package: Path) -> None:
    """With the classes, the day they precede, and the score that they give; half of the reference has none."""
    known(pd.read_parquet(package / REFERENCE_FILE)).to_parquet(package / REFERENCE_FILE)

    golden = golden_applicants(package, 30)

    assert len(golden) == 30
    told = [one for one in golden if "previous_classes" in one.body]
    assert told == list(golden[:30:3])
    assert all((one.score >= 545) == ("as_of" in one.body) == (one in told) for one in golden)
    assert {one.body["previous_classes"][0]["observed_at"] for one in told} == {f"2000-0{m}-28" for m in (4, 5, 6, 7)}
    for one in golden:
        Applicant.model_validate_json(json.dumps(one.body))
    days = [one.body["as_of"] for one in unwatched(golden)]
    assert set(days) == {"2000-01-01", "2000-08-28"} and days[0] == "2000-08-28"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda frame: frame.head(0), "is empty", id="empty"),
        pytest.param(lambda frame: frame.assign(interest_rate=-1.0), "contract refuses", id="outside-the-contract"),
        pytest.param(lambda frame: frame.drop(columns="score"), "contract refuses", id="no-score"),
        pytest.param(lambda frame: known(frame).assign(known_as_of="-1.0"), "contract refuses", id="known-when"),
        pytest.param(lambda frame: known(frame).drop(columns="known_score"), "contract refuses", id="known-no-score"),
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
