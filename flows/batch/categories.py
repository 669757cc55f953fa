"""A column of categories or loan lists held against the contract: its words are looked at once a distinct one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.batch.contract_columns import SCHEMA, CellFault
from flows.batch.piece_rows import UNREAD_CELL
from service.lexicon.cells import RULES, UNREAD, meaning
from service.score.features import LOAN_KINDS, Coded


def category(
    cells: pa.ChunkedArray, name: str, rule: Mapping[str, Any], nullable: bool
) -> tuple[Coded, NDArray[np.int8]]:
    """The column of a field, broken cells emptied, and the CellFault of each row."""
    is_list = rule.get("type") == "array"
    coded = _encoded(cells)
    texts = [_spelt(name, text) for text in coded.dictionary.to_pylist()]
    allowed = _allowed_loans if is_list else _levels(rule).__contains__
    good = [text is None or allowed(text) for text in texts]
    codes = np.where(
        coded.is_null().to_numpy(zero_copy_only=False),
        len(texts),
        pc.fill_null(coded.indices, 0).to_numpy().astype(np.intp),
    )
    nothing = "" if is_list else None
    values = [
        *(text if fine and text is not None else nothing for text, fine in zip(texts, good, strict=True)),
        nothing,
    ]
    missing = CellFault.NONE if nullable or is_list else CellFault.UNKNOWN
    text_faults = [
        missing if text is None else CellFault.NONE if fine else CellFault.UNREAD
        for text, fine in zip(texts, good, strict=True)
    ]
    faults = np.array([*text_faults, missing], np.int8)[codes]
    return Coded(values, codes), faults


def _levels(rule: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]]["enum"])


@lru_cache(maxsize=4_096)  # every part has the same words
def _spelt(name: str, text: str | None) -> str | None:
    """A category in the contract's spelling, null for a word that says it is not known; any other text as it is."""
    if not text:
        return text
    value = meaning(RULES[name], text)
    return text if value is UNREAD else value


def _encoded(cells: pa.ChunkedArray) -> pa.DictionaryArray:
    """The texts as one array of distinct values and positions."""
    if pa.types.is_list(cells.type) or pa.types.is_large_list(cells.type):
        cells = cells.cast(pa.list_(pa.string()))
        texts = pc.binary_join(cells, "|")  # nothing where an element is: that is no kind of loan
        cells = pc.if_else(pc.and_(pc.is_null(texts), pc.is_valid(cells)), UNREAD_CELL, texts)
    if pa.types.is_boolean(cells.type):
        cells = pc.if_else(cells, "Yes", "No")
    if not pa.types.is_dictionary(cells.type):
        cells = cells.cast(pa.string()).dictionary_encode()
    if not cells.num_chunks:
        return pa.array([], pa.string()).dictionary_encode()
    texts = cells.unify_dictionaries().combine_chunks()
    return texts.chunk(0) if isinstance(texts, pa.ChunkedArray) else texts


def _allowed_loans(text: str) -> bool:
    return not text or all(kind in LOAN_KINDS for kind in text.split("|"))
