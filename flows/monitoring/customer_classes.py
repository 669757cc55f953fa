"""Classes observed of one partner's customers, by the reference that the partner gave: what makes a file's rows known.

Only outcomes are read, which partners send, and never an answer of ours. A reference is brought to its pseudonym under
the partner's own key, so one partner's outcomes cannot meet another's rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from flows.batch.contract_columns import PREVIOUS
from flows.batch.errors import BatchRefused
from flows.batch.piece_rows import RowsRead
from flows.batch.rows import DAY_FIELD, day_of
from flows.monitoring.outcomes import CLASSES, codes_of, days_of, one_a_key
from flows.monitoring.traffic import days
from flows.predictions.rows import hashed
from service.access.pseudonyms import pseudonym
from service.contract import MAX_PREVIOUS_CLASSES
from service.lexicon.cells import ColumnForm

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REFERENCE: Final = "customer_ref"
MOST_OUTCOMES: Final = 10_000_000  # of one partner: 200 MB in each process that scores
WITHOUT_REFERENCE: Final = "without a reference"


@dataclass(frozen=True)
class CustomerClasses:
    """What outcomes tell of a partner's customers, ordered by customer and day; workers hold a copy each."""

    key: bytes = field(repr=False)  # of the partner's pseudonyms
    customers: NDArray[np.uint64] = field(repr=False)  # hash of each outcome's pseudonym
    codes: NDArray[np.int8] = field(repr=False)  # position in CLASSES
    observed: NDArray[np.int32] = field(repr=False)  # day, as its ordinal

    def __len__(self) -> int:
        return len(self.codes)

    def fill(self, rows: RowsRead) -> tuple[RowsRead, int]:
        """The rows with `previous_classes` where their file says nothing and outcomes do, and how many those are.

        Of each customer the latest classes that were observed before the row's own day, or before today where it has
        none. What the file says of a customer stands, whatever is stored.
        """
        name, previous = (rows.fields.get(one, one) for one in (REFERENCE, PREVIOUS))
        if name not in rows.table.column_names or not self.codes.size:
            return rows, 0
        table = rows.table
        texts = _texts(table, previous)
        first, last = self._spans(_texts(table, name))
        as_of = _texts(table, rows.fields.get(DAY_FIELD, DAY_FIELD))
        form, today = rows.forms.get(DAY_FIELD, ColumnForm()), datetime.now(UTC).date()
        count = 0
        for row in np.flatnonzero(last > first).tolist():
            day = None if texts[row] else day_of(as_of[row], form, today)
            if day is not None and (classes := self._previous_classes(first[row], last[row], day)):
                texts[row] = classes
                count += 1
        if not count:
            return rows, 0
        column = pa.array(texts, pa.string())
        if previous in table.column_names:
            place = table.column_names.index(previous)
            return replace(rows, table=table.set_column(place, previous, column)), count
        return replace(rows, table=table.append_column(previous, column)), count

    def _spans(self, refs: list[str | None]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where each row's customer begins and ends among the outcomes; nowhere without a reference."""
        codes, distinct = pd.factorize(np.array([(ref or "").strip() for ref in refs], dtype=object))
        keys = hashed(pa.array([pseudonym(self.key, ref) for ref in distinct], pa.string()))
        first = np.searchsorted(self.customers, keys, "left")
        last = np.searchsorted(self.customers, keys, "right")
        nobody = np.array([not ref for ref in distinct], np.bool_)
        last[nobody] = first[nobody]
        return first[codes], last[codes]

    def _previous_classes(self, first: int, last: int, day: date) -> str:
        """The latest of these classes that were observed before a day, as stored rows have them."""
        end = first + int(np.searchsorted(self.observed[first:last], day.toordinal(), "left"))
        places = range(max(first, end - MAX_PREVIOUS_CLASSES), end)
        return "|".join(f"{CLASSES[self.codes[at]]}@{date.fromordinal(int(self.observed[at]))}" for at in places)


def _texts(table: pa.Table, name: str) -> list[str | None]:
    if name not in table.column_names:
        return [None] * len(table)
    texts: list[str | None] = table.column(name).cast(pa.string()).to_pylist()
    return texts


def read_classes(client: S3Client, partner: str, key: bytes, today: date) -> tuple[CustomerClasses, Mapping[str, int]]:
    """What came of a partner's customers, and how many outcomes were set aside, by reason.

    An outcome that was sent twice counts once; those of one prediction, or of one customer and day, that contradict
    one another do not count at all.

    Args:
        client: of the object store.
        partner: whose outcomes.
        key: of the partner's pseudonyms.
        today: an outcome observed later is none.

    Raises:
        BatchRefused: there are more than a process should hold.
    """
    aside: Counter[str] = Counter()
    parts = []
    for day in days(client, "outcomes", date.min, today):
        rows = day.rows()
        part = _usable(rows.filter(compute.fill_null(compute.equal(rows["partner"], partner), False)), today, aside)
        parts.append(part)
        if sum(map(len, parts)) > MOST_OUTCOMES:
            raise BatchRefused(f"partner {partner} has more than {MOST_OUTCOMES:,} outcomes: fill previous_classes in")
    outcomes = pd.concat(parts) if parts else _usable(_NOTHING, today, aside)
    for key_columns in (["hash"], ["customer", "observed"]):
        outcomes, contradicting, repeated = one_a_key(outcomes, key_columns)
        aside.update({"contradicting": contradicting, "repeated": repeated})
    outcomes = outcomes.sort_values(["customer", "observed"])
    return CustomerClasses(
        key,
        outcomes["customer"].to_numpy(np.uint64),
        outcomes["code"].to_numpy(np.int8),
        outcomes["observed"].to_numpy(np.int32),
    ), {reason: count for reason, count in aside.items() if count}


_NOTHING: Final = pa.table(
    {name: pa.array([], pa.uint64()) for name in ("hash", "customer")}
    | {name: pa.array([], pa.string()) for name in ("observed_class", "observed_at")}
)


def _usable(rows: pa.Table, today: date, aside: Counter[str]) -> pd.DataFrame:
    """The outcomes that tell a class, a day and a customer, in some twenty bytes each."""
    outcomes = rows.select(["hash", "customer", "observed_class", "observed_at"]).to_pandas(strings_to_categorical=True)
    observed, codes = days_of(outcomes["observed_at"]), codes_of(outcomes["observed_class"])
    undated = ~(observed <= np.datetime64(today, "ns"))
    nameless = (outcomes["customer"] == outcomes["hash"]).to_numpy()
    for reason, wrong in (
        ("in the future or undated", undated),
        ("no such class", (codes < 0) & ~undated),
        (WITHOUT_REFERENCE, nameless & (codes >= 0) & ~undated),
    ):
        aside[reason] += int(wrong.sum())
    good = ~undated & (codes >= 0) & ~nameless
    ordinals = observed[good].astype("datetime64[D]").astype(np.int64) + date(1970, 1, 1).toordinal()
    return pd.DataFrame(
        {
            "hash": outcomes["hash"].to_numpy(np.uint64)[good],
            "customer": outcomes["customer"].to_numpy(np.uint64)[good],
            "code": codes[good].astype(np.int8),
            "observed": ordinals.astype(np.int32),
        }
    )
