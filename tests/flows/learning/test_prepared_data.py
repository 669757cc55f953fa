"""A training starts from whole prepared data, or says in one line what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.learning.prepared_data import FIELDS, NotPrepared, before, contract_columns, during, quarters, read_prepared
from flows.learning.rows import rows_of
from tests.flows.prepared_data import breaks_schema, prepared_frame, write_prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small prepared data."""
    return write_prepared(tmp_path_factory.mktemp("prepared"), customers=20, unseen=10)


def test_generated_data_is_as_the_stage_leaves_it() -> None:
    """The tests' own data keeps the clean schema, so what they prove holds for real data."""
    assert breaks_schema(prepared_frame(20, 3)) == ""


def test_reading_gives_both_sides_and_their_digest(folder: Path) -> None:
    """The digest covers both files and changes with any of them."""
    data = read_prepared(folder)

    assert (data.customers, len(data.unseen)) == (20, 80)
    assert data.out_of_time_months == (7, 8)
    assert len(data.sha256) == 64


def test_months_are_told_apart(folder: Path) -> None:
    """Earlier rows teach, later unseen rows judge."""
    data = read_prepared(folder)

    assert set(before(data.train, (7, 8))["month"]) == set(range(1, 7))
    assert set(during(data.unseen, (7, 8)).months.tolist()) == {7, 8}
    slices = quarters(rows_of(data.unseen))
    assert list(slices) == ["quarter_1", "quarter_2", "quarter_3"]
    assert np.sum([chosen.sum() for chosen in slices.values()]) == 80


def test_contract_columns_hold_every_field(folder: Path) -> None:
    """Also the fields that are accepted and stored but are no feature."""
    assert set(contract_columns(read_prepared(folder).train)) == set(FIELDS)


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _emptied(folder: Path, name: str) -> None:
    pd.read_parquet(folder / name).head(0).to_parquet(folder / name)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda folder: _without(folder, "train.parquet"), "train.parquet is missing", id="no-train"),
        pytest.param(lambda folder: _without(folder, "quality.json"), "quality.json is missing", id="no-quality"),
        pytest.param(lambda folder: (folder / "quality.json").write_text("{}"), "KeyError", id="other-quality"),
        pytest.param(lambda folder: (folder / "test.parquet").write_text("x"), "cannot be read", id="no-parquet"),
        pytest.param(lambda folder: _emptied(folder, "test.parquet"), "holds no rows", id="empty"),
        pytest.param(
            lambda folder: (folder / "test.parquet").write_bytes((folder / "train.parquet").read_bytes()),
            "both in training and test",
            id="leaked",
        ),
    ],
)
def test_unusable_data_is_refused(tmp_path: Path, damage, says: str) -> None:  # type: ignore[no-untyped-def]
    """One line that names the file and what to run."""
    folder = write_prepared(tmp_path / "data", customers=4, unseen=2)
    damage(folder)

    with pytest.raises(NotPrepared, match=says):
        read_prepared(folder)


def test_quality_is_only_read_for_what_is_needed(folder: Path) -> None:
    """Further entries of the report do no harm."""
    report = json.loads((folder / "quality.json").read_text())
    (folder / "quality.json").write_text(json.dumps(report | {"further": 1}))

    assert read_prepared(folder).raw_sha256 == "0" * 64
