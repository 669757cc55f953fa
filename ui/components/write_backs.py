"""What a visitor typed, and what the page wrote in its place: a number or a day as it was understood.

The browser may hear of a write-back after the visitor has typed anew. The next message of the browser then holds the
text that the page itself wrote before, beside what was changed meanwhile; it is no word of the visitor's, and what was
typed last stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

ECHO_S: Final = 10.0  # how long a slow line may take to bring an own text back


@dataclass
class WriteBacks:
    """The texts of one filling's fields, by widget key."""

    typed: dict[str, str] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _earlier: dict[str, tuple[str, float]] = field(default_factory=dict)  # the text before, and until when it may come

    def take(self, key: str, text: str, understood: Callable[[str], str]) -> str:
        """What stands in the field from now on, where the browser told `text` of it."""
        earlier, until = self._earlier.get(key, ("", 0.0))
        if text and text == earlier and time.monotonic() < until:
            return self._texts[key]
        self.typed[key] = text
        if key in self._texts:
            self._earlier[key] = self._texts[key], time.monotonic() + ECHO_S
        self._texts[key] = understood(text)
        return self._texts[key]
