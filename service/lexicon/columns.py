"""A whole column read at once: its plain twin, what it leaves unread, and what it says of its decimal mark.

Cells that are plain already stay the very same; the others are looked at once a distinct text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.lexicon.cells import UNREAD, CellKind, CellRule, ColumnForm, meaning
from service.lexicon.numerals import DecimalEvidence, evidence
from service.lexicon.unknown_texts import is_unknown

Flags = NDArray[np.bool_]
_PLAIN: Final = {
    ".": r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)",
    ",": r"[+-]?[0-9]+",
    "": r"[+-]?(?:[0-9]+|[0-9]{4,}\.[0-9]*|0[0-9]*\.[0-9]*|\.[0-9]+|[0-9]+\.(?:[0-9]{0,2}|[0-9]{4,}))",
}
"""By decimal mark, numbers that read as they stand; without a mark only those that no other reading fits."""
_GROUPED: Final = {
    ".": r"[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?",
    ",": r"[+-]?(?:[0-9]+|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)(?:,[0-9]*)?",
}
_DECIDES_POINT: Final = r"[+-]?(?:[0-9]{4,}\.[0-9]*|0[0-9]*\.[0-9]*|\.[0-9]+|[0-9]+\.(?:[0-9]{0,2}|[0-9]{4,}))"
_DECIDES_COMMA: Final = _DECIDES_POINT.replace(r"\.", ",")
_INTEGER: Final = r"[+-]?[0-9]*"
_YEARS_MONTHS: Final = r"[0-9]{1,2}(?:[.,](?:0?[0-9]|1[01]))?"
_MONTHS_OF_A_YEAR: Final = r"[0-9]+[.,](?:[1-9]|0[1-9]|1[01])"
_TWO_DECIMALS: Final = r"[0-9]{1,2}[.,][0-9]{2}"


@dataclass(frozen=True)
class PlainColumn:
    """Cells in the contract's spelling, null where not known or unread; and which of both."""

    cells: pd.Series
    unknown: Flags
    unread: Flags


def is_typed(cells: pd.Series) -> bool:
    """True if every cell is a number by itself."""
    return pd.api.types.is_numeric_dtype(cells)


def texts_of(cells: pd.Series) -> pd.Series:
    """The cells that are text, by their place."""
    if is_typed(cells):
        return cells.iloc[:0].astype("str")
    if cells.dtype == "object":
        return cells[[isinstance(cell, str) for cell in cells]].astype("str")
    return cells


def column_evidence(cells: pd.Series) -> DecimalEvidence:
    """What the column's texts say of the decimal mark; numbers of their own accord say nothing."""
    texts = texts_of(cells)
    if texts.empty:
        return DecimalEvidence()
    point = _matches(texts, _DECIDES_POINT)
    comma = _matches(texts, _DECIDES_COMMA)
    rest = texts[~(point | comma | _matches(texts, _INTEGER))]
    # Texts alike but for digits say the same; zero is told apart, since no group of thousands begins with it.
    alike = rest.str.replace("[2-9]", "1", regex=True)
    result = evidence(rest[~alike.duplicated()])
    return replace(result, point=result.point + int(point.sum()), comma=result.comma + int(comma.sum()))


@dataclass(frozen=True)
class UnitEvidence:
    """What a history's cells say of its unit: `5.03` may be months, or five years and three months.

    A property of the column: every cell that says something must fit years and months, and some tell months of a year,
    or all are written with two decimals. Whole numbers, and `265.00` among them, are months.
    """

    fits: bool = True  # every cell that says something could be years and months
    first: int = 0  # line of the first that says something; 0 for none
    telling: int = 0  # line of the first with months of a year
    two_decimals: bool = True  # all that say something are written so

    @property
    def open_line(self) -> int:
        """The line that shows that the unit is open; 0 where it is not."""
        if not self.fits:
            return 0
        return self.telling or (self.first if self.two_decimals else 0)

    def plus(self, other: UnitEvidence) -> UnitEvidence:
        """What both say, this one first."""
        return UnitEvidence(
            self.fits and other.fits,
            self.first or other.first,
            self.telling or other.telling,
            self.two_decimals and other.two_decimals,
        )


def unit_evidence(cells: pd.Series, lines: NDArray[np.int64]) -> UnitEvidence:
    """What a history's cells say of its unit; each has its line."""
    if is_typed(cells):
        hundredths = cells.to_numpy(np.float64, na_value=np.nan) * 100
        known = ~np.isnan(hundredths)
        nearest = np.round(hundredths)
        with np.errstate(invalid="ignore"):  # of infinity
            months = nearest % 100
        fits = (hundredths >= 0) & (hundredths < 10_000) & (months <= 11) & np.isclose(hundredths, nearest)
        return UnitEvidence(
            bool(fits[known].all()), _line_of(known, lines), _line_of(months > 0, lines), two_decimals=not known.any()
        )
    texts = pd.Series([*map(_text, cells)], dtype="str").str.strip()
    known = ~texts.map({text: is_unknown(text) for text in texts.unique()}).to_numpy(np.bool_)
    known_texts = texts[known]
    return UnitEvidence(
        bool(_matches(known_texts, _YEARS_MONTHS).all()),
        _line_of(known, lines),
        _line_of(_matches(known_texts, _MONTHS_OF_A_YEAR), lines[known]),
        bool(_matches(known_texts, _TWO_DECIMALS).all()),
    )


def _line_of(flags: Flags, lines: NDArray[np.int64]) -> int:
    return int(lines[flags.argmax()]) if flags.any() else 0


def plain_column(cells: pd.Series, rule: CellRule, form: ColumnForm) -> PlainColumn:
    """The column's plain twin under its form."""
    if is_typed(cells) and rule.numeric:
        return PlainColumn(cells, cells.isna().to_numpy(), np.zeros(len(cells), np.bool_))
    texts = cells if cells.dtype == "str" else pd.Series([*map(_text, cells)], index=cells.index, dtype="str")
    if rule.numeric:
        return _numbers(texts, rule, form, _typed_cells(cells))
    return _distinct(texts, np.ones(len(texts), np.bool_), texts, rule, form)


def _text(cell: object) -> str:
    return "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell)


def _typed_cells(cells: pd.Series) -> Flags:
    if cells.dtype != "object":
        return np.zeros(len(cells), np.bool_)
    return np.array([not isinstance(cell, str) for cell in cells], np.bool_)


def _numbers(texts: pd.Series, rule: CellRule, form: ColumnForm, typed: Flags) -> PlainColumn:
    plain = _matches(texts, _PLAIN[form.decimal]) | typed
    plain_texts = texts
    if form.decimal and not plain.all():
        grouped = _matches(texts, _GROUPED[form.decimal]) & ~plain
        if grouped.any():
            plain_texts = texts.copy()
            plain_texts[grouped] = _without_groups(texts[grouped], form.decimal)
            plain = plain | grouped
    return _distinct(plain_texts, ~plain, texts, rule, form)


def _without_groups(texts: pd.Series, decimal: str) -> pd.Series:
    bare = texts.str.replace("," if decimal == "." else ".", "", regex=False)
    return bare if decimal == "." else bare.str.replace(",", ".", regex=False)


def _distinct(
    plain_texts: pd.Series, open_cells: Flags, texts: pd.Series, rule: CellRule, form: ColumnForm
) -> PlainColumn:
    """`plain_texts` with the open cells read once a distinct text."""
    unknown, unread = np.zeros(len(plain_texts), np.bool_), np.zeros(len(plain_texts), np.bool_)
    if not open_cells.any():
        return PlainColumn(plain_texts, unknown, unread)
    codes, words = pd.factorize(texts[open_cells])
    meanings = [meaning(rule, word, form) for word in words]
    nothing = np.array([value is None for value in meanings], np.bool_)[codes]
    strange = np.array([value is UNREAD for value in meanings], np.bool_)[codes]
    unknown[open_cells], unread[open_cells] = nothing, strange
    plain = np.array([value if isinstance(value, str) else None for value in meanings], dtype="object")
    if rule.kind is CellKind.LOANS:
        unknown[open_cells] = np.array([value == "" for value in meanings], np.bool_)[codes]
    cells = plain_texts.copy()
    cells[open_cells] = plain[codes]
    return PlainColumn(cells, unknown, unread)


def _matches(texts: pd.Series, form: str) -> Flags:
    return texts.str.fullmatch(form).to_numpy(dtype=np.bool_)
