"""Numbers as people write them, and their decimal mark: a property of a column and its file, never of a cell.

`2,900` is 2900 or 2.9, and no cell says which. `1,234.56`, `12,5` and `0.125` can be read one way only: such cells
decide for their column, all deciding columns for the file, and what nothing decides is asked, not guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Decimal = Literal[".", ",", ""]
"""The decimal mark; empty where nothing decides, then only cells with one possible reading are read."""
KEPT: Final = 3
_ONE_MONEY: Final = (
    *(("R$", "BRL"), ("US$", "U$", "USD"), ("MX$", "MXN"), ("C$", "CA$", "CAD"), ("A$", "AUD"), ("ARS",), ("CLP",)),
    *(("COP",), ("€", "EUR"), ("£", "GBP"), ("CHF", "FR."), ("₹", "INR", "RS", "RS."), ("¥",)),
)
"""The marks of each currency, its own first."""
_OF_DOLLARS: Final = frozenset({"USD", "MXN", "CAD", "AUD", "ARS", "CLP", "COP"})
"""Codes that stand behind amounts whose `$` says too little: `$1,234.56 MXN`."""
CURRENCIES: Final = ("$", *(mark for marks in _ONE_MONEY for mark in marks))
_CURRENCY: Final = "|".join(re.escape(mark) for mark in sorted(CURRENCIES, key=len, reverse=True))
_SHELL: Final = re.compile(
    rf"(?P<sign>[+-]?)\s*(?P<before>(?:{_CURRENCY})?)\s*(?P<inner>[+-]?)\s*"
    rf"(?P<core>[0-9][0-9.,' ]*(?:[eE][+-]?[0-9]+)?|[.,][0-9]+)\s*"
    rf"(?P<after>(?:{_CURRENCY})?)\s*(?P<percent>%?)(?P<last>-?)",
    re.IGNORECASE,
)
_BRACKETS: Final = re.compile(
    rf"(?P<before>(?:{_CURRENCY})?)\s*\((?P<inside>[^()]+)\)\s*(?P<after>(?:{_CURRENCY})?\s*%?)", re.IGNORECASE
)
"""A negative amount as accountants write it: `(1,234.56)`, `$ (1,234.56)`, `(1.234,56) €`."""
_NOTHING: Final = re.compile(rf"(?P<before>{_CURRENCY})\s*-+|-+\s*(?P<after>{_CURRENCY})", re.IGNORECASE)
"""No amount as accountants write it, `$ -`: a dash without a currency may as well say that nothing is known."""
_WHOLE: Final = r"[0-9]+|[1-9][0-9]{0,2}(?:[ '][0-9]{3})+"
_GROUPED: Final = r"[1-9][0-9]{0,2}(?:MARK[0-9]{3})+|[1-9][0-9]?(?:MARK[0-9]{2})+MARK[0-9]{3}"  # 12,34,567 is Indian
_EXPONENT: Final = r"(?:[eE][+-]?[0-9]{1,3})?"
_DASHES: Final = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63"  # hyphens, dashes and the minus sign proper
_QUOTES: Final = "\u2018\u2019\u201c\u201d\u02bc"
_SIGNS: Final = {
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys(_QUOTES, "'"),
    "\N{ARABIC DECIMAL SEPARATOR}": ".",
    "\N{ARABIC THOUSANDS SEPARATOR}": ",",
    "\N{ARABIC PERCENT SIGN}": "%",
}
_FULL_WIDTH: Final = range(0xFF01, 0xFF5F)  # the printable signs of ASCII once more, as wide as a Chinese letter


def bare_text(text: str) -> str:
    """A cell's text in plain signs: digits and marks of any script as ASCII's, without what cannot be seen.

    Quotes around it go too, and what spreadsheets put before a number that is to stay text: `'34000`, `="34000"`.
    """
    if not text.isascii():
        text = "".join(map(_plain_sign, text))
    text = text.strip()
    return text.removeprefix("=").strip("\"'").strip() if text.startswith(("'", '"', '="')) else text


def _plain_sign(sign: str) -> str:
    if ord(sign) in _FULL_WIDTH:
        return chr(ord(sign) - _FULL_WIDTH.start + ord("!"))
    kind = unicodedata.category(sign)
    if kind == "Nd":
        return str(unicodedata.decimal(sign))
    if kind in ("Zs", "Cf"):  # spaces of any width; joiners, direction marks, a byte order mark
        return " " if kind == "Zs" else ""
    return _SIGNS.get(sign, sign)


def currency_name(mark: str) -> str:
    """What a currency's marks share, and the mark itself where it has one alone; empty for `$`, which many share."""
    return "" if mark == "$" else next((marks[0] for marks in _ONE_MONEY if mark in marks), mark)


def _form(decimal: str, group: str) -> re.Pattern[str]:
    mark, grouped = re.escape(decimal), _GROUPED.replace("MARK", re.escape(group))
    return re.compile(rf"(?:{_WHOLE}|{grouped})(?:{mark}[0-9]*)?{_EXPONENT}|{mark}[0-9]+{_EXPONENT}")


_FORMS: Final = {".": _form(".", ","), ",": _form(",", ".")}


@dataclass(frozen=True)
class Numeral:
    """A number's text without currency and percent signs: sign, digits with their marks, and which signs it had."""

    sign: str
    core: str
    currency: str
    percent: bool

    def plain(self, decimal: str) -> str | None:
        """As `-1234.5` under this decimal mark; None if it is no number then."""
        if not _FORMS[decimal].fullmatch(self.core):
            return None
        group = "," if decimal == "." else "."
        digits = self.core.replace(group, "").replace(" ", "").replace("'", "").replace(decimal, ".")
        return self.sign + digits

    def read(self, decimal: Decimal) -> str | None:
        """As `plain`; without a decimal mark only what has one possible reading."""
        if decimal:
            return self.plain(decimal)
        point, comma = self.plain("."), self.plain(",")
        if point is not None and comma is not None and point != comma:
            return None
        return point if point is not None else comma


def numeral(text: str) -> Numeral | None:
    """A cell's text as a number in whatever dress; None where it is none under any mark."""
    bare = bare_text(text).strip("_").strip()
    if nothing := _NOTHING.fullmatch(bare):
        return Numeral("", "0", (nothing["before"] or nothing["after"]).upper(), percent=False)
    negative = _BRACKETS.fullmatch(bare)
    match = _SHELL.fullmatch("".join(negative.group("before", "inside", "after")).strip() if negative else bare)
    if match is None:
        return None
    signs = match["sign"] + match["inner"] + match["last"]
    before, after = match["before"].upper(), match["after"].upper()
    if len(signs) + bool(negative) > 1 or (before and after and not (before == "$" and after in _OF_DOLLARS)):
        return None
    currency = after or before
    return Numeral("-" if negative or signs == "-" else "", match["core"].strip(), currency, bool(match["percent"]))


@dataclass(frozen=True)
class DecimalEvidence:
    """What a column's cells say of its decimal mark: how many decide for which, and those that could be either."""

    point: int = 0
    comma: int = 0
    either_point: tuple[str, ...] = ()  # such as 2.900
    either_comma: tuple[str, ...] = ()  # such as 2,900
    currencies: tuple[tuple[str, str], ...] = ()  # each currency with the first cell that is in it

    @property
    def either(self) -> tuple[str, ...]:
        """Cells that two readings fit."""
        return self.either_point + self.either_comma

    @property
    def decimal(self) -> Decimal:
        """The mark that the column's own cells tell; empty if none does, or both do."""
        if bool(self.point) == bool(self.comma):
            return ""
        return "." if self.point else ","

    def plus(self, other: DecimalEvidence) -> DecimalEvidence:
        """What both say, of cells that fit two readings the first few."""
        return DecimalEvidence(
            self.point + other.point,
            self.comma + other.comma,
            (self.either_point + other.either_point)[:KEPT],
            (self.either_comma + other.either_comma)[:KEPT],
            tuple((dict(other.currencies) | dict(self.currencies)).items()),
        )

    @property
    def contradicts(self) -> bool:
        """True if some cells can only be read with one mark, and some only with the other."""
        return bool(self.point and self.comma)


def evidence(texts: Iterable[str]) -> DecimalEvidence:
    """What distinct cells of a column say; cells that are no numbers say nothing."""
    point = comma = 0
    either_point: list[str] = []
    either_comma: list[str] = []
    currencies: dict[str, str] = {}
    for text in texts:
        number = numeral(text)
        if number is None:
            continue
        if name := currency_name(number.currency):
            currencies.setdefault(name, text)
        with_point, with_comma = number.plain("."), number.plain(",")
        if with_point == with_comma:
            continue
        if with_comma is None:
            point += 1
        elif with_point is None:
            comma += 1
        else:
            (either_point if "." in number.core else either_comma).append(text)
    return DecimalEvidence(point, comma, tuple(either_point), tuple(either_comma), tuple(currencies.items()))


def decide(column: DecimalEvidence, file: Iterable[DecimalEvidence], delimiter: str, option: Decimal = "") -> Decimal:
    """A column's decimal mark: the option, the one its own cells tell, or the one all other columns agree on.

    A `;` file is what programs write where the comma is the decimal mark: there `2.900` under a decimal point is no
    proof, and stays open.
    """
    if option:
        return option
    if column.decimal or column.contradicts:
        return column.decimal
    others = {one.decimal for one in file if one.decimal} | {mark for one in file if one.contradicts for mark in ".,"}
    if len(others) != 1:
        return ""
    mark: Decimal = others.pop()  # type: ignore[assignment]  # a set of one of the marks
    return "" if mark == "." and delimiter == ";" and column.either_point else mark
