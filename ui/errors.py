"""What can go wrong in the demo.

UiError
├── SettingsMissing      the secrets file lacks an entry, or one makes no sense
├── SheetRefused         an uploaded file that cannot be read as a table of applicants
└── ApiError             the API did not give the answer asked for: see ui/api/errors.py
"""

from __future__ import annotations


class UiError(Exception):
    """Root of everything this package raises on purpose."""


class SettingsMissing(UiError):
    """A secret is absent or makes no sense; `entry` names it, never its value."""

    def __init__(self, entry: str, state: str) -> None:
        super().__init__(f"secret {entry!r} is {state}: see ui/.streamlit/secrets.toml.example")
        self.entry = entry
        self.state = state


class SheetRefused(UiError):
    """The uploaded file is no table of applicants; `code` names the text that says why."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.values = values
