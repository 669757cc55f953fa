"""A decimal mark is the file's: its beginning decides, else all of it; what stays open is refused with the option."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.batch.errors import BatchRefused
from service.lexicon.limits import ReadOptions
from tests.flows.batch.files import applicants, as_csv
from tests.flows.batch.reading import read_file

INCOME = 0  # of the features


def _whole_numbers(rows: int) -> pd.DataFrame:
    """Applicants none of whose numbers has a decimal mark."""
    frame = applicants(rows)
    for name in frame.select_dtypes("number").columns:
        frame[name] = frame[name].round(0).astype("Int64")
    return frame.assign(annual_income=[str(one) for one in frame["annual_income"]])


def _written(folder: Path, frame: pd.DataFrame, by: str, packed: bool) -> Path:
    content = as_csv(frame, by=by).encode()
    path = folder / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["cut", "streamed"])
@pytest.mark.parametrize(("cell", "by", "meant"), [("2,900", ",", "."), ("2.900", ";", ",")])
@pytest.mark.parametrize("at", [1, 11_999], ids=["near", "far"])
def test_what_two_marks_fit_is_refused_until_told(
    tmp_path: Path, cell: str, by: str, meant: str, packed: bool, at: int
) -> None:
    """Wherever it stands, with its line; either mark, once told, is taken; the cell itself is not repeated."""
    frame = _whole_numbers(12_000 if at > 1 else 4)
    frame.loc[at, "annual_income"] = cell
    path = _written(tmp_path, frame, by, packed)
    assert (len(as_csv(frame)) > 1 << 20) is (at > 1)

    with pytest.raises(BatchRefused, match=f"line {at + 2:,}, column annual_income: .*--decimal") as refused:
        read_file(path, 5_000)

    assert cell not in str(refused.value)
    for decimal in (".", ","):
        found = read_file(path, 5_000, ReadOptions(decimal=decimal))  # type: ignore[arg-type]
        expected = 2900.0 if decimal == meant else 2.9
        assert found.features[at, INCOME] == expected and set(found.problems) == {""}


@pytest.mark.parametrize("packed", [False, True], ids=["cut", "streamed"])
def test_a_mark_that_only_the_end_shows_is_found(tmp_path: Path, packed: bool) -> None:
    """Beyond the beginning another cell of the column decides for all of it."""
    frame = _whole_numbers(12_000)
    frame.loc[1, "annual_income"] = "2,900"
    frame.loc[11_990, "annual_income"] = "1,234.5"

    found = read_file(_written(tmp_path, frame, ",", packed), 5_000)

    assert found.features[[1, 11_990], INCOME].tolist() == [2900.0, 1234.5]


@pytest.mark.parametrize("packed", [False, True], ids=["cut", "streamed"])
def test_an_end_that_contradicts_the_beginning_ends_the_job(tmp_path: Path, packed: bool) -> None:
    """A point was found, later cells have a comma: what both fit is no longer known. The first of them is named."""
    frame = _whole_numbers(12_000)
    frame.loc[1, "annual_income"] = "2900.5"
    frame.loc[11_990, "annual_income"] = "2,900"
    frame.loc[11_991, "annual_income"] = "1.234,5"

    with pytest.raises(BatchRefused, match="line 11,993, column annual_income: .*--decimal"):
        read_file(_written(tmp_path, frame, ",", packed), 5_000)


def test_a_decimal_comma_is_read_in_every_piece(tmp_path: Path) -> None:
    """A Brazilian file of many pieces has the features of its plain twin."""
    frame = applicants(2_000)
    (tmp_path / "a.csv").write_text(as_csv(frame))
    (tmp_path / "b.csv").write_text(as_csv(frame, by=";", decimal=","))

    plain, brazilian = (read_file(tmp_path / name, 300) for name in ("a.csv", "b.csv"))

    np.testing.assert_array_equal(plain.features, brazilian.features)
    assert brazilian.told == "csv, utf-8, columns cut at semicolon, header on line 1, decimal comma"


def test_texts_in_parquet_are_asked_as_csv_is(tmp_path: Path) -> None:
    """Numbers as text have a mark; numbers have none."""
    frame = _whole_numbers(20).astype("str")
    frame.loc[17, "annual_income"] = "2,900"
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=6)

    with pytest.raises(BatchRefused, match="line 18, column annual_income: .*--decimal"):
        read_file(tmp_path / "a.parquet", 5)
    assert read_file(tmp_path / "a.parquet", 5, ReadOptions(decimal=".")).features[17, INCOME] == 2900.0


@pytest.mark.parametrize("kind", ["a.csv", "a.csv.gz", "a.parquet"])
def test_a_history_of_years_and_months_is_refused(tmp_path: Path, kind: str) -> None:
    """Its first line that tells so is named; months as whole numbers are read."""
    frame = applicants(20).assign(credit_history_months=[5.0] * 19 + [5.03])
    path = tmp_path / kind
    for told in (frame, frame.assign(credit_history_months=5.0)):
        if kind.endswith("parquet"):
            told.to_parquet(path)
        else:
            path.write_bytes(gzip.compress(as_csv(told).encode()) if kind.endswith("gz") else as_csv(told).encode())
        if told is frame:
            with pytest.raises(BatchRefused, match=r"line 2\d, column credit_history_months: .*years and months"):
                read_file(path)
    assert set(read_file(path).problems) == {""}


def test_the_order_of_days_is_the_files(tmp_path: Path) -> None:
    """One day beyond the twelfth decides for all; where none does, the option is asked for."""
    frame = applicants(3).assign(as_of=["02/03/2026", "04/03/2026", "05/03/2026"])
    (tmp_path / "a.csv").write_text(as_csv(frame))
    with pytest.raises(BatchRefused, match="line 2, column as_of: .*--days"):
        read_file(tmp_path / "a.csv")
    options = replace(ReadOptions(), days="dmy")
    assert read_file(tmp_path / "a.csv", options=options).reads[0].forms["as_of"].days == "dmy"
    (tmp_path / "a.csv").write_text(as_csv(frame).replace("05/03", "25/03"))
    assert read_file(tmp_path / "a.csv").reads[0].forms["as_of"].days == "dmy"


@pytest.mark.parametrize("packed", [False, True], ids=["cut", "streamed"])
@pytest.mark.parametrize("told", ["", "R$ "], ids=["none before", "reais before"])
@pytest.mark.parametrize("decimal", ["", "."], ids=["found", "by option"])
def test_another_currency_at_the_end_gives_the_row_back(tmp_path: Path, packed: bool, told: str, decimal: str) -> None:
    """What a dollar is worth the file does not say: beyond its beginning the row comes back, the others are scored."""
    frame = applicants(12_000)
    frame["annual_income"] = [f"{told}{income:.2f}" for income in frame["annual_income"]]
    last = len(frame) - 1
    frame.loc[last, "annual_income"] = "US$ 30000.50"

    found = read_file(_written(tmp_path, frame, ",", packed), 5_000, ReadOptions(decimal=decimal))  # type: ignore[arg-type]

    assert found.problems == [""] * last + ["annual_income"]
