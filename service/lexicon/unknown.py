"""What "not known" looks like in the tables people have: the one list, for every reader.

The odd ones are masks of Kaggle's credit-score file; the others are what R, SQL, pandas, SAS and spreadsheets write.
An error of a spreadsheet other than `#N/A` (`#DIV/0!`, `#REF!`) is no way to say "not known" and stays unread.
"""

from __future__ import annotations

import re
from typing import Final

NOT_KNOWN: Final = frozenset(
    {
        *("", "-", "--", "\N{EN DASH}", "\N{EM DASH}", "?", "."),
        *("na", "n/a", "n.a.", "#n/a", "<na>", "nan", "nat", "null", "(null)", "#null", "\\n", "none", "nil"),
        *("nm", "!@9#%8", "#f%$d@*&8"),
        *("unknown", "missing", "no data", "not available", "not known", "not told"),
        *("nd", "n/d", "n.d.", "não informado", "nao informado", "não disponível", "nao disponivel"),
        *("desconhecido", "desconhecida", "não sei", "nao sei", "sem informação", "sem informacao"),
    }
)
"""Compared without regard to case and to space and underscores around: `_` and `_______` are the empty text here."""
SPELLINGS: Final = ("", "_", "_______", "__10000__", "!@9#%8", "#F%$D@*&8", "NM", "NA", "NULL", "\\N", "#N/A")
"""How the commonest of them are written, for pages and messages."""
_WALLED: Final = re.compile(r"__+[^_].*__+", re.DOTALL)  # `__10000__`: a number between walls is a mask, `24_` is 24


def is_unknown(text: str) -> bool:
    """Whether a cell's text says that the value is not known."""
    plain = text.strip()
    return plain.strip("_ ").casefold() in NOT_KNOWN or _WALLED.fullmatch(plain) is not None
