"""Every visible text, out of `texts/<language>.toml`, and nowhere else.

Both files hold the same keys and the same placeholders (tested). A contract field without a text of its own, such as
one added since, is shown by the contract's own name and description.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

LANGUAGES: Final = ("pt", "en")
HTML_LANGUAGES: Final = {"pt": "pt-BR", "en": "en"}
NAMES: Final = {"pt": "Português", "en": "English"}
_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True)
class Texts:
    """The texts of one language: `t("score.title")`, with placeholders filled by name."""

    language: str
    entries: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        text = self.entries[key]
        return text.format(**values) if values else text

    def get(self, key: str, default: str) -> str:
        """The text of `key`, or `default`: for names that come from the API and may be newer than this page."""
        return self.entries.get(key, default)

    def plural(self, key: str, count: float, **values: object) -> str:
        """The form of `key` for so many: `<key>.one` or `<key>.other`, as Portuguese and English both tell them
        apart."""
        return self(f"{key}.{'one' if count == 1 else 'other'}", **values)

    def label(self, field: str) -> str:
        """A field's name in words."""
        return self.get(f"fields.{field}.label", field.replace("_", " ").capitalize())

    def option(self, value: str) -> str:
        """A choice's name in words."""
        return self.get(f"options.{value}", value.replace("_", " ").capitalize())

    def either(self, values: Sequence[str]) -> str:
        """Choices as alternatives: "A", "A or B", "A, B or C"."""
        *some, last = [self.option(value) for value in values]
        return f"{', '.join(some)} {self('result.or')} {last}" if some else last


@cache
def texts(language: str) -> Texts:
    """The texts of `language` ("pt" or "en")."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        return Texts(language, dict(_flat(tomllib.load(file))))


def choose_language(locale: str | None) -> str:
    """Portuguese for a browser that asks for it, English for every other."""
    return "pt" if (locale or "").lower().startswith("pt") else "en"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    for name, value in tree.items():
        key = f"{prefix}{name}"
        entries += _flat(value, f"{key}.") if isinstance(value, Mapping) else [(key, str(value).strip())]
    return entries
