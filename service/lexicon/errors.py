"""What can go wrong when a table is read.

TableRefused        the file cannot be read as asked: its text says where, what was expected, and what to do next
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Trouble:
    """Why a table or a row is refused; `code` names the same for pages in other languages."""

    code: str
    what: str
    expected: str = ""
    advice: str = ""
    line: int = 0  # 0 where no line is to blame
    column: str = ""

    def __str__(self) -> str:
        where = ", ".join(
            part
            for part in (f"line {self.line:,}" if self.line else "", f"column {self.column}" if self.column else "")
            if part
        )
        sentence = f"{where}: {self.what}" if where else self.what
        return (
            sentence
            + (f"; expected {self.expected}" if self.expected else "")
            + (f"; {self.advice}" if self.advice else "")
        )


class TableRefused(ValueError):
    """The table cannot be read as asked; nothing of it was used."""

    def __init__(self, trouble: Trouble, name: str = "") -> None:
        super().__init__(f"{name}: {trouble}" if name else str(trouble))
        self.trouble = trouble
