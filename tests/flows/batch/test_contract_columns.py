"""Columns that cannot hold their fields are refused before a row is read."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flows.batch.contract_columns import FIELDS, refuse_types, require_fields
from flows.batch.errors import BatchRefused

OWN = {name: name for name in FIELDS}


@pytest.mark.parametrize(
    ("fields", "columns", "said"),
    [
        pytest.param({name: name for name in FIELDS[1:]}, FIELDS[1:], "lacks annual_income: .*rename", id="missing"),
        pytest.param(OWN, (*FIELDS, "score"), "named as answers are, score", id="taken"),
        pytest.param(OWN, (*FIELDS, "my_id", "my_id"), "names my_id more than once", id="twice"),
    ],
)
def test_names_that_cannot_be_scored_are_refused(fields: dict[str, str], columns: tuple[str, ...], said: str) -> None:
    """With the columns that are missing, doubled or taken."""
    with pytest.raises(BatchRefused, match=said):
        require_fields("a.csv", "csv", fields, list(columns))


def test_a_type_that_holds_no_number_is_refused() -> None:
    """The column and both types are named; a flag may say whether the minimum is paid."""
    kinds = dict.fromkeys(FIELDS, pa.string()) | {"payment_of_min_amount": pa.bool_()}
    refuse_types(pa.schema([*kinds.items()]), OWN, "a.parquet")
    with pytest.raises(BatchRefused, match="a.parquet: column annual_income is of type bool, numbers needed"):
        refuse_types(pa.schema([*(kinds | {"annual_income": pa.bool_()}).items()]), OWN, "a.parquet")
