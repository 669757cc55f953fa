"""infra/compose.yaml as compose reads it, and its parts as programs of this machine under the very same arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

import yaml

from infra.settings import ROOT

FILE: Final = ROOT / "infra" / "compose.yaml"
VARIABLE: Final = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\})")


def raw() -> dict[str, Any]:
    """The file with its anchors merged and its variables left as they are."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """`text` with compose's variables replaced; one that is asked for and missing is a KeyError."""

    def value(match: re.Match[str]) -> str:
        escaped, name, kind, rest = match.groups()
        if escaped:
            return "$"
        return values.get(name, rest) if kind == ":-" else values[name]

    return VARIABLE.sub(value, text)


def asked_for() -> set[str]:
    """Names of the variables that must be given."""
    return {name for _, name, kind, _ in VARIABLE.findall(FILE.read_text()) if kind != ":-" and name}


def environment(service: str, values: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """The environment of a part, with the addresses and paths of `places` in the stead of compose's."""
    given = raw()["services"][service].get("environment", {})
    return {name: _placed(interpolated(str(value), values), places) for name, value in given.items()}


def command(service: str, values: Mapping[str, str], places: Mapping[str, str]) -> list[str]:
    """The arguments of a part, likewise."""
    given = raw()["services"][service]["command"]
    words = shlex.split(given) if isinstance(given, str) else given
    return [_placed(interpolated(word, values), places) for word in words]


def _placed(text: str, places: Mapping[str, str]) -> str:
    for before, after in places.items():
        text = text.replace(before, after)
    return text
