"""Applicants for measurements: by the million for batch scoring, our own sample tiled with jitter; by the thousand for
serving, real ones where there are any. The same seed gives the same.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from flows.batch.contract_columns import FIELDS
from flows.cleaning.applicants import to_applicants
from flows.cleaning.pipeline import clean_rows
from flows.data.raw_reading import read_raw
from flows.data.sample import MONTHS_OF_TRAINING, generate

CUSTOMERS: Final = 2_000
BLOCK_ROWS: Final = 100_000
JITTERED: Final = {  # field -> decimals: what differs from one customer to the next
    "annual_income": 2,
    "monthly_inhand_salary": 6,
    "outstanding_debt": 2,
    "credit_utilization_ratio": 6,
    "total_emi_per_month": 6,
    "amount_invested_monthly": 6,
    "monthly_balance": 6,
}
JITTER: Final = 0.05


@lru_cache(maxsize=1)
def _sample(seed: int) -> pa.Table:
    """The sample's clean rows as the contract has them."""
    frame = clean_rows(generate(CUSTOMERS, MONTHS_OF_TRAINING, seed, labelled=False)).frame
    return pa.Table.from_pandas(frame[list(FIELDS)], preserve_index=False)


def _block(first: int, rows: int, seed: int) -> pa.Table:
    """Rows `first` to `first + rows` of the endless file of this seed."""
    sample, rng = _sample(seed), np.random.default_rng((seed, first))
    table = sample.take(rng.integers(0, len(sample), rows))
    for name, decimals in JITTERED.items():
        values = table.column(name).to_numpy() * rng.uniform(1 - JITTER, 1 + JITTER, rows)
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(np.round(values, decimals), from_pandas=True))
    return table.append_column("my_id", pa.array(np.arange(first, first + rows)))


def write_applicants(path: Path, rows: int, seed: int) -> None:
    """`rows` applicants with `my_id` counting from 0, as CSV or parquet by the name; same seed, same bytes."""
    firsts = range(0, rows, BLOCK_ROWS)
    blocks = (_block(first, min(BLOCK_ROWS, rows - first), seed) for first in firsts)
    schema = _block(0, 1, seed).schema
    if path.suffix == ".parquet":
        with pq.ParquetWriter(path, schema) as writer:
            for block in blocks:
                writer.write_table(block)
        return
    with csv.CSVWriter(path, schema, write_options=csv.WriteOptions(quoting_style="none")) as writer:
        for block in blocks:
            writer.write_table(block)


def bodies_of(count: int, source: Path | None, seed: int = 1) -> list[bytes]:
    """So many distinct applicants as bodies of JSON, from Kaggle's file or, without one, from our own sample.

    Raises:
        ValueError: there are not so many.
    """
    raw = read_raw(source, labelled=True) if source else generate(max(CUSTOMERS, count), MONTHS_OF_TRAINING, seed)
    rows = clean_rows(raw, as_served=True).frame.sample(frac=1, random_state=seed).head(2 * count)
    bodies = {json.dumps(one).encode() for one in to_applicants(rows, with_reference=False)}
    if len(bodies) < count:
        raise ValueError(f"{count} distinct applicants are asked for, there are {len(bodies)}")
    return sorted(bodies)[:count]
