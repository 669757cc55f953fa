"""What a visitor did is not lost where he has gone on: Streamlit ends a callback at its next look at the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import RerunException

from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.components import form, pending_question, records
from ui.components.write_backs import WriteBacks
from ui.texts.formats import Formats

FORMATS = Formats("en", "BRL")
FIELDS = contract_fields()
INCOME = next(field for field in FIELDS if field.name == "annual_income")


class GoneOn(dict[str, Any]):
    """The session of a visitor who has done something else: any look at an entry ends the callback."""

    def __getitem__(self, key: str) -> Any:
        raise RerunException(None)  # type: ignore[arg-type]  # nobody reads its data here

    def __setitem__(self, key: str, value: Any) -> None:
        raise RerunException(None)  # type: ignore[arg-type]  # as above

    def get(self, key: str, default: Any = None) -> Any:
        """As a look."""
        raise RerunException(None)  # type: ignore[arg-type]  # as above

    def __contains__(self, key: object) -> bool:
        raise RerunException(None)  # type: ignore[arg-type]  # as above

    def to_dict(self) -> dict[str, Any]:
        """All of it at once, which Streamlit gives without asking what else there is to do."""
        return dict(self.items())


@pytest.fixture(name="gone_on")
def _gone_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the session one whose visitor has gone on, with these entries beside those it had."""

    def make(**entries: Any) -> None:
        monkeypatch.setattr(st, "session_state", GoneOn({**dict(st.session_state.items()), **entries}))

    class Session(dict[str, Any]):
        """One that nothing disturbs."""

        def to_dict(self) -> dict[str, Any]:
            """All of it."""
            return dict(self)

    monkeypatch.setattr(st, "session_state", Session())
    return make


def test_a_click_on_what_asks_waits_for_its_answer(gone_on: Callable[..., None]) -> None:
    """Counted although the session cannot be looked at; one answer is that of every click until then."""
    clicks = pending_question.clicks_of("score")
    callback = clicks.make
    gone_on()
    callback()
    callback()
    assert clicks.wait and clicks.count == 2
    clicks.answer()
    assert not clicks.wait and clicks.count == 2


def test_an_example_fills_the_whole_form(gone_on: Callable[..., None]) -> None:
    """Chosen, and something else done at once: every field has its value."""
    form.resume(FORMATS, FIELDS, EXAMPLES["ordinary"])
    gone_on()
    form.fill(FORMATS, FIELDS, EXAMPLES["careful"])
    filled = form.typed(FORMATS, FIELDS)
    wanted = EXAMPLES["careful"].model_dump(mode="json")
    assert filled["annual_income"] == wanted["annual_income"]
    assert filled["num_bank_accounts"] == wanted["num_bank_accounts"]


@pytest.mark.parametrize(("typed", "stands"), [("34000", 34_000), ("some", "some")])
def test_a_number_typed_is_kept(gone_on: Callable[..., None], typed: str, stands: object) -> None:
    """Understood or not; that it is then written as it was understood may wait."""
    form.resume(FORMATS, FIELDS, EXAMPLES["ordinary"])
    filling = form._filling()  # pylint: disable=protected-access  # what Streamlit hands to the callback
    assert filling is not None
    gone_on(**{filling.key_of("annual_income"): typed})
    try:
        form._mask(filling, INCOME, FORMATS)  # pylint: disable=protected-access  # as above
    except RerunException:
        pass  # at its very last step
    assert form.typed(FORMATS, FIELDS)["annual_income"] == stands


@pytest.mark.parametrize("day", ["2024-12-31", ""])
def test_a_line_changed_or_emptied_stays_so(gone_on: Callable[..., None], day: str) -> None:
    """Its class and its day are those that stand there."""
    lines = records.Lines("key", (), [("Good", "2020-01-01")], WriteBacks())
    gone_on(**{"key.0.kind": "Poor", "key.0.day": day})
    records._changed(lines, 0, FORMATS)  # pylint: disable=protected-access  # Streamlit calls it
    assert lines.draft == [("Poor", day)]
