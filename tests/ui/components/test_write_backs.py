"""What was typed last stands, though the browser tells an older text that the page itself had written."""

from __future__ import annotations

import time

import pytest

from ui.components.write_backs import ECHO_S, WriteBacks


def amount(text: str) -> str:
    """As the page writes it."""
    return f"R$ {text.removeprefix('R$ ')}"


def test_an_echo_is_no_word_of_the_visitors() -> None:
    """The text of the write-back before the last is not taken; any other is."""
    backs = WriteBacks()
    assert [backs.take("a", text, amount) for text in ("34", "50")] == ["R$ 34", "R$ 50"]
    assert backs.take("a", "R$ 34", amount) == "R$ 50" and backs.typed["a"] == "50"
    assert backs.take("a", "34", amount) == "R$ 34" and backs.typed["a"] == "34"
    assert backs.take("b", "R$ 34", amount) == "R$ 34"


def test_what_stands_may_be_told_again() -> None:
    """The last write-back is no echo of an older one, and neither is an emptied field."""
    backs = WriteBacks()
    for text in ("", "50", "R$ 50", ""):
        assert backs.take("a", text, lambda typed: typed and amount(typed)) == (text and "R$ 50")


def test_an_old_text_may_come_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pasted by a visitor once no line is that slow."""
    backs = WriteBacks()
    for text in ("34", "50"):
        backs.take("a", text, amount)
    later = time.monotonic() + ECHO_S + 1
    monkeypatch.setattr("ui.components.write_backs.time.monotonic", lambda: later)
    assert backs.take("a", "R$ 34", amount) == "R$ 34"
