"""Comparison of written names: those that look the same, or differ in spelling alone, are one person's.

The comparison fails closed. Two people whose names look alike are taken for one and choose another sign; the other way
round one person could sign twice. A name may be an account of a sign-in (`ana@bank.example`), which two people never
share; beside a name without a domain it counts as its part before the @, so that a login is no second person. A name
is brought to its skeleton: compatibility forms and accents undone, signs that nobody sees and separators dropped,
letters of other scripts read as the Latin ones they look like (Unicode's UTS 39, the part that names of people use).
What is left of rare scripts and of phonetic signs, which have a twin for nearly every letter, stands for any letter.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_LOOKS: Final = str.maketrans(
    {
        # Cyrillic
        **dict(zip("абвгԁезіїјкӏмнор", "abbrdezijjk1mhop", strict=True)),
        **dict(zip("сѕтухһԛԝуьпг", "cstyxhqwybnr", strict=True)),
        **{"ё": "e", "є": "e", "ү": "y", "ӏ": "l", "л": "n"},
        **{"и": "u", "ш": "w", "щ": "w", "ч": "4", "з": "3"},
        # Greek
        **dict(zip("αβγεζηικνορτυχωκμσ", "abyeznikvoptuxwkuo", strict=True)),
        # Latin letters and signs with a twin
        **{
            "ı": "l",
            "i": "l",
            "1": "l",
            "|": "l",
            "!": "l",
            "ł": "l",
            "ɩ": "l",
            "ⅼ": "l",
            "j": "l",
            "0": "o",
            "ø": "o",
        },
        **{
            "ɑ": "a",
            "ɡ": "g",
            "ʋ": "v",
            "ß": "b",
            "đ": "d",
            "æ": "ae",
            "œ": "oe",
            "ð": "d",
            "þ": "p",
            "5": "s",
            "3": "z",
        },
        **dict(zip("ѵѡԍґғҏҳӿҝқҡңҫәҽӡҙҹҭ", "vwgrfpxxkkkhceezz4t", strict=True)),
        # Armenian
        **{"ո": "n", "օ": "o", "ս": "u", "հ": "h", "ց": "g", "զ": "q"},
    }
)


_ANY: Final = "?"
_UNSEEN: Final = "\u115f\u1160"  # Hangul's fillers count as letters
_SCRIPTS: Final = tuple(
    "CYRILLIC GREEK ARMENIAN GEORGIAN HEBREW ARABIC DEVANAGARI BENGALI TAMIL THAI CJK HANGUL HIRAGANA KATAKANA".split()
)
"""Of people's names, whose letters look like no Latin one once the twins above are read as such."""


def skeleton(name: str) -> str:
    """The name without everything that a reader would not notice; empty if nothing is left."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    signs = (sign for sign in plain if (unicodedata.category(sign)[0] in "LN" or sign in "|!") and sign not in _UNSEEN)
    latin = "".join(signs).translate(_LOOKS).translate(_LOOKS)
    known = (one if one.isascii() or unicodedata.name(one, "").startswith(_SCRIPTS) else _ANY for one in latin)
    return "".join(known).replace("rn", "m").replace("vv", "w")


def same_person(one: str, other: str) -> bool:
    """True if two names may be one person's."""
    if _alike(skeleton(one), skeleton(other)):
        return True
    (here, domain), (there, another) = _account(one), _account(other)
    return _alike(here, there) and not (domain and another)


def _alike(one: str, other: str) -> bool:
    return len(one) == len(other) and all(a == b or _ANY in (a, b) for a, b in zip(one, other, strict=True))


def _account(name: str) -> tuple[str, str]:
    local, _, domain = unicodedata.normalize("NFKC", name).partition("@")
    return skeleton(local), skeleton(domain)
