"""The prepared data a training starts from: frames, their digest, and which rows are judged how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.digests import combined, file_sha256
from flows.learning.rows import Ints, Rows, columns, rows_of
from service.contract import DESCRIBING_FIELDS
from service.score.input_warnings import RANGED

_EDGES: Final = (0.001, 0.999)
QUALITY_REPORT: Final = "quality.md"
FRAMES: Final = ("train.parquet", "test.parquet")
REPAIRED: Final = "repaired.parquet"
FIELDS: Final = DESCRIBING_FIELDS
"""Contract fields that describe an applicant; a few of them are accepted and stored but are no feature."""


class NotPrepared(RuntimeError):
    """The prepared data is missing or unusable: prepare it again."""


@dataclass(frozen=True)
class PreparedData:
    """Training and unseen customers' rows as the API would see them; `repaired` are the unseen ones' from their past.

    `sha256` covers the rows as served, so equal digests mean equal rows in equal order; `raw_sha256` is the raw file's,
    as DVC knows it.
    """

    folder: Path
    train: pd.DataFrame
    unseen: pd.DataFrame
    repaired: pd.DataFrame
    out_of_time_months: tuple[int, ...]
    sha256: str
    raw_sha256: str
    gates: tuple[Mapping[str, Any], ...] | None = None  # what the stage's gates found, as `quality.json` has it

    @property
    def customers(self) -> int:
        """Customers on the training side."""
        return int(self.train["customer_id"].nunique())


def read_prepared(folder: Path) -> PreparedData:
    """The prepared data in `folder`.

    Raises:
        NotPrepared: a file is missing, unreadable, empty, or a customer is on both sides.
    """
    try:
        quality: dict[str, Any] = json.loads((folder / "quality.json").read_text(encoding="utf-8"))
        train, unseen, repaired = (pd.read_parquet(folder / name) for name in (*FRAMES, REPAIRED))
        months = tuple(int(month) for month in quality["out_of_time_months"])
        raw_sha256 = str(quality["raw_sha256"])
        gates = tuple(quality["gates"]) if "gates" in quality else None
    except FileNotFoundError as error:
        raise NotPrepared(f"{folder}/{Path(str(error.filename)).name} is missing: run `dvc repro` first") from error
    except (OSError, ValueError, KeyError) as error:
        raise NotPrepared(f"{folder} cannot be read ({type(error).__name__}): run `dvc repro` again") from error
    if train.empty or unseen.empty:
        raise NotPrepared(f"{folder} holds no rows: prepare more data")
    if shared := set(train["customer_id"]) & {*unseen["customer_id"], *repaired["customer_id"]}:
        raise NotPrepared(f"{len(shared)} customers are both in training and test data: run `dvc repro` again")
    digest = combined({name: file_sha256(folder / name) for name in FRAMES})
    return PreparedData(folder, train, unseen, repaired, months, digest, raw_sha256, gates)


def contract_columns(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Every contract field as an array: those of features as learning takes them, the others as plain numbers."""
    learned = columns(frame)
    others = [name for name in FIELDS if name not in learned]
    return {**learned, **{name: frame[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in others}}


def ranges(columns: Mapping[str, NDArray[Any]]) -> dict[str, tuple[float, float]]:
    """The range that holds 99.8 % of these rows' numbers, by field."""
    result = {}
    for name in RANGED:
        known = np.asarray(columns[name], np.float64)
        known = known[np.isfinite(known)]
        if known.size:
            low, high = np.quantile(known, _EDGES).tolist()
            result[name] = (low, high)
    return result


def quarters(rows: Rows) -> dict[str, NDArray[np.bool_]]:
    """Rows of each calendar quarter that is present, as slices to judge: the label is set anew each quarter."""
    return by_quarter(rows.quarters)


def by_quarter(numbers: Ints) -> dict[str, NDArray[np.bool_]]:
    """Masks of the rows of each calendar quarter that is present."""
    return {f"quarter_{number}": numbers == number for number in np.unique(numbers).tolist()}


def before(frame: pd.DataFrame, months: tuple[int, ...]) -> pd.DataFrame:
    """The rows of months other than these, to learn what is judged out of time from."""
    return frame[~frame["month"].isin(months)]


def during(frame: pd.DataFrame, months: tuple[int, ...]) -> Rows:
    """The labelled rows of these months."""
    return rows_of(frame[frame["month"].isin(months)])
