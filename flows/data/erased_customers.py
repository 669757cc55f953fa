"""Customers who asked to be left out of the training data: keyed digests, so that no later table brings them back.

It lies under the state folder with its key, both for the owner alone, and outlives every table: whoever loses the list
lets people back in with the next fetch, so it is saved as the audit trail is. Who has no key can try no numbers out.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.cleaning.parsing import text
from flows.errors import DatasetError
from service import files

KEY_BYTES: Final = 32
_NUMBER_COLUMNS: Final = ("Customer_ID", "customer_id")  # of the raw table and of clean rows
_PARQUET: Final = b"PAR1"


@dataclass(frozen=True)
class ErasedCustomers:
    """The list as it stands: hexadecimal HMAC-SHA-256 of customers' numbers. Empty: nobody asked."""

    key: bytes = field(default=b"", repr=False)
    digests: frozenset[str] = frozenset()

    def among(self, numbers: pd.Series) -> NDArray[np.bool_]:
        """Mask of the cells that hold the number of somebody who asked."""
        if not self.digests:
            return np.zeros(len(numbers), dtype=np.bool_)
        texts = text(numbers)
        erased = {number for number in texts.unique() if number and self.digest(number) in self.digests}
        return texts.isin(erased).to_numpy(dtype=np.bool_)

    def held_by(self, table: bytes) -> int:
        """Number of rows of somebody who asked in a file of ours: the raw CSV, or clean rows as parquet."""
        return int(self.among(_numbers(table)).sum()) if self.digests else 0

    def digest(self, number: str) -> str:
        """A customer's digest under this list's key."""
        return hmac.digest(self.key, number.encode(), "sha256").hex()


def read_erased(state: Path) -> ErasedCustomers:
    """The list under a state folder; empty where nobody asked yet.

    Raises:
        DatasetError: of the list and its key one is lost, so that nobody on it could be left out.
    """
    folder = _folder(state)
    file = folder / "digests"
    if not file.is_file():
        if (folder / "key").exists():
            raise DatasetError(f"{file} is missing, so who asked to be left out is unknown: restore your backup")
        return ErasedCustomers()
    digests = frozenset(file.read_text("ascii").split())
    return ErasedCustomers(_key(folder), digests) if digests else ErasedCustomers()


def remember(state: Path, number: str) -> ErasedCustomers:
    """Put a customer's number on the list, durably; the list with them on it.

    Raises:
        DatasetError: of the list and its key one is lost.
    """
    folder = _folder(state)
    folder.mkdir(parents=True, exist_ok=True)
    with files.locked(folder / "lock"):
        before = read_erased(state).digests
        if not before:  # an empty list first: a key without a list is a list that was lost
            files.make_once(folder / "digests", b"")
            files.make_once(folder / "key", secrets.token_bytes(KEY_BYTES))
        key = _key(folder)
        erased = ErasedCustomers(key, before | {ErasedCustomers(key).digest(number)})
        files.replace(folder / "digests", "\n".join(sorted(erased.digests)).encode(), files.PRIVATE)
    return erased


def _folder(state: Path) -> Path:
    return state / "erased-customers"


def _key(folder: Path) -> bytes:
    path = folder / "key"
    key = path.read_bytes() if path.is_file() else b""
    if len(key) != KEY_BYTES:
        raise DatasetError(f"{path} is missing or damaged, so who asked to be left out is unknown: restore your backup")
    return key


def _numbers(table: bytes) -> pd.Series:
    """The customers' numbers in a file; none where it is no table of customers."""
    if table.startswith(_PARQUET):
        from pyarrow import parquet

        names = parquet.read_schema(BytesIO(table)).names
        column = next((name for name in _NUMBER_COLUMNS if name in names), None)
        return pd.read_parquet(BytesIO(table), columns=[column])[column] if column else pd.Series(dtype="str")
    header = table.partition(b"\n")[0].decode("utf-8", "replace").split(",")
    column = next((name for name in _NUMBER_COLUMNS if name in header), None)
    if column is None:
        return pd.Series(dtype="str")
    return pd.read_csv(BytesIO(table), usecols=[column], dtype="str", keep_default_na=False)[column]
