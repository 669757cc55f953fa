"""The stage `prepare`: validate, clean, split, report. Nothing is written unless everything holds.

What is learned from and judged on are rows as the API would see them. Beside them lie the rows of the customers set
aside as their own past repairs them: what a caller gains who gives it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from flows.cleaning.gates import judged, refuse, unread_sentence
from flows.cleaning.pipeline import clean_rows
from flows.cleaning.quality import Quality, as_markdown, summarise, suspect_repeats
from flows.cleaning.raw_table import PERSONAL_COLUMNS
from flows.cleaning.schemas import clean_schema, hold, raw_violations
from flows.data.erased_customers import ErasedCustomers
from flows.data.params import PrepareParams
from flows.data.raw_reading import RawTable, read_raw_table
from flows.data.sources import replacing, sha256
from flows.data.split import is_test_customer, last_months
from flows.errors import DatasetError
from flows.learning.prepared_data import QUALITY_REPORT

NEEDS_PAST: Final = " without the customer's past"


def prepare(
    raw_file: Path, folder: Path, params: PrepareParams, erased: ErasedCustomers = ErasedCustomers()
) -> Quality:
    """Write train, test, repaired and quarantine as parquet, and `quality.json` and `quality.md`; the report.

    Rows of `erased` customers are left out before anything looks at them. Raises `DatasetError`; then nothing was
    written.
    """
    table = read_raw_table(raw_file, labelled=True)
    table = table.without(erased.among(table.frame["Customer_ID"]))
    fills = suspect_repeats(table.frame)
    result = clean_rows(table.frame, fills)
    alone = clean_rows(table.frame, fills, as_served=True)
    if result.frame.empty or alone.frame.empty:
        raise DatasetError(
            f"no row of {raw_file} can be used: is it Kaggle's train.csv?{unread_sentence(table.understanding)}"
        )
    gates = judged(result, table.understanding, params.gates, params.overrides)
    refuse(gates)
    frame, served = (hold(clean_schema(labelled=True), rows) for rows in (result.frame, alone.frame))
    repaired, test = (
        is_test_customer(rows["customer_id"], seed=params.seed, share=params.test_share) for rows in (frame, served)
    )
    quality = summarise(
        result,
        raw_sha256=sha256(raw_file),
        served=served,
        test=test,
        out_of_time=last_months(frame["month"], params.out_of_time_months),
        violations=raw_violations(table.frame),
        fills=fills,
        gates=gates,
    )
    aside = alone.quarantine.index
    reasons = alone.quarantine["reason"].where(
        ~aside.isin(result.frame.index), other=lambda reason: reason + NEEDS_PAST
    )
    quarantine = _as_written(table, aside).assign(line=table.lines[aside], reason=reasons)
    tables = {"train": served[~test], "test": served[test], "repaired": frame[repaired], "quarantine": quarantine}
    _write(folder, tables, quality)
    return quality


def _as_written(table: RawTable, rows: pd.Index) -> pd.DataFrame:
    """The rows' cells as the file has them, without personal data."""
    names = [name for name in table.frame.columns if name not in PERSONAL_COLUMNS]
    return table.file_frame.loc[rows, names].astype("str")


def _write(folder: Path, tables: dict[str, pd.DataFrame], quality: Quality) -> None:
    for name, rows in tables.items():
        with replacing(folder / f"{name}.parquet") as path:
            rows.to_parquet(path, index=False)
    for name, text in (
        (QUALITY_REPORT, as_markdown(quality)),
        ("quality.json", quality.model_dump_json(indent=2) + "\n"),
    ):
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")
