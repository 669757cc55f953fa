"""The interactive report: Evidently draws it, with the statistics that decided registered in it.

Importing Evidently costs ten to twenty seconds, so it happens inside the function. Only the compared columns go in:
no id, no reference of a customer.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flows import divergence
from flows.monitor import Column, ColumnVerdict
from flows.windows import Thresholds

PSI_DECILE = "psi_decile"
PSI_CATEGORY = "psi_category"


def _register() -> None:
    """Make our two deciding statistics known to Evidently by name; a second call changes nothing."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Importing Evidently warns of its own and its web server's deprecations, which nobody here can mend.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", SyntaxWarning)
        import evidently  # noqa: F401  # pylint: disable=unused-import  # the import itself is what warns
        from evidently.legacy.calculations.stattests import StatTest, register_stattest
        from evidently.legacy.core import ColumnType

    def by_decile(reference: pd.Series, current: pd.Series, _kind: Any, threshold: float) -> tuple[float, bool]:
        value = divergence.psi_decile(reference.to_numpy(float), current.to_numpy(float))
        return value, value >= threshold

    def by_category(reference: pd.Series, current: pd.Series, _kind: Any, threshold: float) -> tuple[float, bool]:
        _, before, after = divergence.category_counts(list(reference), list(current))
        value = divergence.psi(before, after)
        return value, value >= threshold

    for name, title, kind, function in (
        (PSI_DECILE, "PSI over reference deciles", ColumnType.Numerical, by_decile),
        (PSI_CATEGORY, "PSI over categories", ColumnType.Categorical, by_category),
    ):
        register_stattest(
            StatTest(name=name, display_name=title, allowed_feature_types=[kind], default_threshold=0.1),
            default_impl=function,
        )


def _prepared(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """The compared columns alone, with the plain types Evidently reads: floats and objects."""
    prepared = {}
    for column in columns:
        values = frame[column.name]
        if column.kind == "number":
            prepared[column.name] = (
                pd.to_numeric(values, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
            )
        else:
            prepared[column.name] = values.astype(object).where(values.notna(), None)
    return pd.DataFrame(prepared)


@dataclass(frozen=True)
class Comparison:
    """What a report shows: two frames, the columns watched and what became of them."""

    reference: pd.DataFrame
    current: pd.DataFrame
    columns: Sequence[Column]
    verdicts: Sequence[ColumnVerdict]
    thresholds: Thresholds

    @property
    def shown(self) -> list[Column]:
        """Columns that can be drawn: not broken (one all-missing column would stop the whole report), and no lists."""
        broken = {verdict.name for verdict in self.verdicts if verdict.method == "data quality"}
        return [column for column in self.columns if column.name not in broken and column.kind != "list"]


def write_report(comparison: Comparison, html: Path, json: Path) -> None:
    """Write Evidently's report of the columns that could be compared, as offline HTML and as JSON.

    What is left out of it (broken columns; lists, compared item by item) stands in the summary with its verdict.
    """
    _register()
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import MissingValueCount, ValueDrift

    metrics: list[Any] = []
    for column in comparison.shown:
        method = PSI_DECILE if column.kind == "number" else PSI_CATEGORY
        metrics += [
            ValueDrift(column=column.name, method=method, threshold=comparison.thresholds.psi_amber),
            MissingValueCount(column=column.name),
        ]
    definition = DataDefinition(
        numerical_columns=[column.name for column in comparison.shown if column.kind == "number"],
        categorical_columns=[column.name for column in comparison.shown if column.kind == "category"],
    )
    current, reference = (
        Dataset.from_pandas(_prepared(frame, comparison.shown), data_definition=definition)
        for frame in (comparison.current, comparison.reference)
    )
    snapshot = Report(metrics).run(current, reference)
    snapshot.save_html(str(html))
    json.write_text(snapshot.json(), encoding="utf-8")
