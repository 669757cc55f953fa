"""Whole files are scored as single applicants are, in parts that survive a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.batch import BatchRefused, chunks, job_of, score_file, score_frame
from service.features import row
from service.model import Model
from tests.factories import applicant, applicant_columns, pack_small_model

ROWS = 250


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model's package."""
    folder = tmp_path_factory.mktemp("package")
    pack_small_model(folder)
    return folder


@pytest.fixture
def frame() -> pd.DataFrame:
    """Applicants with an id of the caller's own."""
    columns, _ = applicant_columns(ROWS, seed=11)
    found = pd.DataFrame({name: list(values) for name, values in columns.items()})
    return found.assign(my_id=[f"row-{number}" for number in range(ROWS)])


def _parts(target: Path) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(part) for part in sorted(target.glob("part-*.parquet"))], ignore_index=True)


def test_a_row_scores_as_its_applicant_does(package: Path, frame: pd.DataFrame) -> None:
    """Batch and single answers are the same, reasons included."""
    model = Model.load(package)
    columns, _ = applicant_columns(ROWS, seed=11)

    scored = score_frame(model, frame, reasons=True)

    singles = [model.assess(row(applicant(columns, number))) for number in range(50)]
    assert scored["score"].tolist()[:50] == [one.score for one in singles]
    assert scored["band"].tolist()[:50] == [str(one.band) for one in singles]
    assert scored["my_id"].tolist() == frame["my_id"].tolist()
    assert (scored["problem"] == "").all() and scored["reasons"].str.len().gt(0).any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("annual_income", -1.0, id="below-range"),
        pytest.param("num_loans", 2.5, id="no-integer"),
        pytest.param("interest_rate", None, id="null-where-none-may-be"),
        pytest.param("credit_mix", "Excellent", id="unknown-level"),
        pytest.param("loan_types", "auto|boat", id="unknown-loan"),
        pytest.param("loan_types", "|".join(["auto"] * 40), id="more-kinds-than-loans"),
    ],
)
def test_a_row_that_breaks_the_contract_gets_no_score(
    package: Path, frame: pd.DataFrame, field: str, value: object
) -> None:
    """It is named and left empty; its neighbours are scored."""
    frame[field] = frame[field].astype(object)
    frame.loc[3, field] = value

    scored = score_frame(Model.load(package), frame, reasons=False)

    assert scored.loc[3, "problem"] == field
    assert scored.loc[3, ["score", "band", "p_good"]].isna().all()
    assert (scored["problem"] != "").sum() == 1


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_every_kind_of_file_gives_the_same_scores(
    package: Path, frame: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    """CSV, packed CSV and parquet; every row once, in order."""
    source = tmp_path / f"applicants.{suffix}"
    write = frame.to_parquet if suffix == "parquet" else frame.to_csv
    write(source, index=False)

    tally = score_file(job_of(source, package, 100, False), package, tmp_path / "out", processes=1)

    assert (tally.rows, tally.refused, tally.chunks) == (ROWS, 0, 3)
    expected = score_frame(Model.load(package), frame, reasons=False)
    assert _parts(tmp_path / "out")["score"].tolist() == expected["score"].tolist()


def test_a_stopped_job_goes_on(package: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Parts that are there stay as they are; only the missing ones are made."""
    source, target = tmp_path / "a.parquet", tmp_path / "out"
    frame.to_parquet(source)
    job = job_of(source, package, 50, False)
    score_file(job, package, target, processes=1)
    before = _parts(target)
    (target / "part-000002.parquet").unlink()
    kept = (target / "part-000001.parquet").stat().st_mtime_ns
    seen = []

    tally = score_file(job, package, target, processes=1, told=seen.append)

    assert (tally.rows, tally.found_done) == (ROWS, 4)
    assert len(seen) == 1
    assert (target / "part-000001.parquet").stat().st_mtime_ns == kept
    pd.testing.assert_frame_equal(_parts(target), before)


def test_parts_of_two_jobs_never_mix(package: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Another chunk size is another job."""
    source = tmp_path / "a.parquet"
    frame.to_parquet(source)
    score_file(job_of(source, package, 125, False), package, tmp_path / "out", processes=1)

    with pytest.raises(BatchRefused, match="another job"):
        score_file(job_of(source, package, 50, False), package, tmp_path / "out", processes=1)


def test_bad_files_are_refused(package: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Missing, of another kind, without a field, or not what its name says: one clear line."""
    (tmp_path / "a.txt").write_text("x")
    frame.drop(columns=["interest_rate"]).to_parquet(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_text("no parquet")
    with pytest.raises(BatchRefused, match="there is no file"):
        job_of(tmp_path / "none.csv", package, 100, False)
    with pytest.raises(BatchRefused, match="neither"):
        job_of(tmp_path / "a.txt", package, 100, False)
    with pytest.raises(BatchRefused, match="lacks interest_rate"):
        list(chunks(tmp_path / "b.parquet", 100))
    with pytest.raises(BatchRefused, match="cannot be read"):
        list(chunks(tmp_path / "c.parquet", 100))


def test_an_all_empty_optional_column_is_no_problem(package: Path, frame: pd.DataFrame, tmp_path: Path) -> None:
    """A CSV column of nothing but blanks is read as unknown."""
    frame["monthly_inhand_salary"] = np.nan
    frame.to_csv(tmp_path / "a.csv", index=False)

    scored = score_frame(Model.load(package), next(chunks(tmp_path / "a.csv", ROWS)), reasons=False)

    assert (scored["problem"] == "").all()
