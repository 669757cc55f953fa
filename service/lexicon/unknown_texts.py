"""What "not known" looks like in the tables people have: the one list, for every reader.

The odd ones are masks of Kaggle's credit-score file; the others are what R, SQL, pandas, SAS and spreadsheets write.
An error of a spreadsheet other than `#N/A` (`#DIV/0!`, `#REF!`) is no way to say "not known" and stays unread.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from service.lexicon.numerals import bare_text

NOT_KNOWN: Final = frozenset(
    {
        *("na", "nan", "nat", "null", "none", "nil", "nm", "nd", "unknown", "undefined", "missing", "blank"),
        *("empty", "nodata", "notavailable", "notapplicable", "notknown", "nottold", "notprovided"),
        *("naoinformado", "naodisponivel", "naoseaplica", "naoconsta", "naosei", "seminformacao", "semdados"),
        *("desconhecido", "desconhecida", "vazio", "embranco", "nulo"),
    }
)
"""Words, compared by their letters alone: `N/A`, `(null)`, `n. a.` and `Não informado` are among them."""
MASKS: Final = frozenset({"!@9#%8", "#f%$d@*&8", "\\n", "s/d", "#nv", "1.#qnan", "1.#ind", "-nan"})
"""Texts that are no words, in lower case."""
_AROUND: Final = re.compile(r"[\s\w().\[\]<>{}/\\#$'\"|-]*")  # signs that may stand between and around a word's letters
_MARKS: Final = re.compile(r"[-.?*\u2026 ]*")
_WALLED: Final = re.compile(r"__+[^_].*__+", re.DOTALL)  # `__10000__`: a number between walls is a mask, `24_` is 24


def is_unknown(text: str) -> bool:
    """True if a cell's text says that the value is not known."""
    plain = bare_text(text)
    bare = plain.strip("_ ").casefold()
    if bare in MASKS or _MARKS.fullmatch(bare) or _WALLED.fullmatch(plain):
        return True
    return _AROUND.fullmatch(bare) is not None and _letters(bare) in NOT_KNOWN


def _letters(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if sign.isalnum())
