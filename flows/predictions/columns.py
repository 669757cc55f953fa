"""The columns that are watched: which there are, what each may hold, and how its values are read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.contract import REFERENCE_FIELDS, Applicant, CreditClass, RiskGrade

LIST_SEPARATOR: Final = "|"


@dataclass(frozen=True)
class WatchedColumn:
    """A column to watch: its kind, its allowed range or levels, and whether the model leans on it."""

    name: str
    kind: Literal["number", "category", "list"]
    low: float = -np.inf
    high: float = np.inf
    levels: tuple[str, ...] = ()
    key: bool = False


def contract_columns(key: Sequence[str] = ()) -> list[WatchedColumn]:
    """The applicant's fields as columns, ranges and levels from the contract; `key` names the model's main ones."""
    schema = Applicant.model_json_schema()
    columns = []
    for name, field in schema["properties"].items():
        if name in REFERENCE_FIELDS:
            continue
        options = field.get("anyOf", [field])
        first = options[0]
        levels = schema["$defs"].get(first.get("items", first).get("$ref", "").rsplit("/", 1)[-1], {}).get("enum", ())
        kind: Literal["number", "category", "list"] = (
            "list" if first.get("type") == "array" else "category" if levels else "number"
        )
        columns.append(
            WatchedColumn(
                name,
                kind,
                low=first.get("minimum", -np.inf),
                high=first.get("maximum", np.inf),
                levels=tuple(levels),
                key=name in key,
            )
        )
    return columns


ANSWERED: Final = (
    WatchedColumn("score", "number", 0, 1000, key=True),
    WatchedColumn("predicted_class", "category", levels=tuple(CreditClass)),
    WatchedColumn("risk_grade", "category", levels=tuple(RiskGrade)),
    WatchedColumn("reasons", "list"),
)
"""The answer's own columns: the score (always key), class, grade and reasons."""


def prediction_columns(stored: Collection[str]) -> list[WatchedColumn]:
    """Those of `ANSWERED` that are among the stored ones: an older model's reference does not hold them all."""
    return [column for column in ANSWERED if column.name in stored]


def numbers_of(values: pd.Series) -> NDArray[np.float64]:
    """The values as numbers (n,), not-a-number where one is none."""
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def present(column: WatchedColumn, values: pd.Series) -> Any:
    """The usable values: finite numbers, or texts (the items of a list column)."""
    if column.kind == "number":
        numbers = numbers_of(values)
        return numbers[np.isfinite(numbers)]
    texts = values.dropna().astype(str)
    if column.kind == "category":
        return texts[texts != ""].to_numpy()
    return texts.str.split(LIST_SEPARATOR, regex=False).explode().loc[lambda items: items != ""].to_numpy()


def missing_share(column: WatchedColumn, values: pd.Series) -> float:
    """Share of rows without a usable value; an empty list is a value."""
    if values.empty:
        return 0.0
    if column.kind == "number":
        return float(np.mean(~np.isfinite(numbers_of(values))))
    empty = values.isna() if column.kind == "list" else values.isna() | (values.astype(str) == "")
    return float(empty.mean())
