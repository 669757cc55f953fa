"""Clean rows as what a partner would send: the JSON objects of the public contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from flows.cleaning.parsing import WHOLE
from service.contract import DESCRIBING_FIELDS

CHUNK_ROWS: Final = 10_000  # keeps a million rows from standing in memory as Python objects


def to_applicants(frame: pd.DataFrame, *, with_reference: bool = True) -> Iterator[dict[str, Any]]:
    """One applicant a row, in the frame's order, ready for `json.dumps` and `Applicant.model_validate`.

    `frame` has the columns of `clean_rows` (read back from parquet too). The reference is the customer's id; leave it
    out where nobody needs to find the answer again.
    """
    names = (["customer_id"] if with_reference else []) + list(DESCRIBING_FIELDS)
    keys = ["customer_ref" if name == "customer_id" else name for name in names]
    for start in range(0, len(frame), CHUNK_ROWS):
        chunk = frame.iloc[start : start + CHUNK_ROWS]
        columns = [_plain(chunk[name], name) for name in names]
        for row in zip(*columns, strict=True):
            yield dict(zip(keys, row, strict=True))


def _plain(cells: pd.Series, name: str) -> list[Any]:
    """Python's own numbers, texts and None; loan types as a list."""
    if name == "loan_types":
        return [words.split("|") if words else [] for words in cells]
    if name in WHOLE:
        values, absent = cells.to_numpy("float64", na_value=np.nan), cells.isna().to_numpy()
        return [None if none else int(value) for value, none in zip(values.tolist(), absent.tolist(), strict=True)]
    return [None if none else value for value, none in zip(cells.tolist(), cells.isna().tolist(), strict=True)]
