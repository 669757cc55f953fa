"""What changed in the API, newest first: the one home is `changelog.toml`."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

SOURCE: Final = Path(__file__).parent / "changelog.toml"


class ApiChange(BaseModel):
    """One change, as partners are told of it in both languages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    date: date
    en: str
    pt: str


@cache
def changelog() -> tuple[ApiChange, ...]:
    """Every change, newest first."""
    with open(SOURCE, "rb") as file:
        return tuple(ApiChange.model_validate(one) for one in tomllib.load(file)["change"])


def version() -> str:
    """The API's version: that of the newest change."""
    return changelog()[0].version
