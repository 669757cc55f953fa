"""The stage `prepare`: validate, clean, split, report. Nothing is written unless everything holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flows.cleaning.pipeline import clean_rows
from flows.cleaning.quality import Quality, as_markdown, summarise, suspect_repeats
from flows.cleaning.schemas import clean_schema, hold, raw_violations
from flows.data.params import PrepareParams
from flows.data.sources import read_raw, replacing, sha256
from flows.data.split import is_test_customer, last_months
from flows.errors import DatasetError


def prepare(raw_file: Path, folder: Path, params: PrepareParams) -> Quality:
    """Write train, test and quarantine as parquet, and the report as `quality.json` and `quality.md`; the report.

    Raises `DatasetError`; then nothing was written.
    """
    raw = read_raw(raw_file, labelled=True)
    fills = suspect_repeats(raw)
    result = clean_rows(raw, fills)
    if result.frame.empty:
        raise DatasetError(f"no row of {raw_file} can be used: is it Kaggle's train.csv?")
    frame = hold(clean_schema(labelled=True), result.frame)
    test = is_test_customer(frame["customer_id"], seed=params.seed, share=params.test_share)
    quality = summarise(
        result,
        raw_sha256=sha256(raw_file),
        test=test,
        out_of_time=last_months(frame["month"], params.out_of_time_months),
        violations=raw_violations(raw),
        fills=fills,
    )
    _write(folder, {"train": frame[~test], "test": frame[test], "quarantine": result.quarantine}, quality)
    return quality


def _write(folder: Path, tables: dict[str, pd.DataFrame], quality: Quality) -> None:
    for name, rows in tables.items():
        with replacing(folder / f"{name}.parquet") as path:
            rows.to_parquet(path, index=False)
    for name, text in (
        ("quality.md", as_markdown(quality)),
        ("quality.json", quality.model_dump_json(indent=2) + "\n"),
    ):
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")
