"""A question to the API that outlives the run of the page which put it.

Streamlit ends a run as soon as a visitor does anything else, and begins another beside it; what the old run writes
afterwards is thrown away. So a priced question is asked in a thread of the server, and whichever run stands then takes
the answer: it is paid once and lost never.

The click that asks is lost just as little. Streamlit ends a button's callback at its next look at `st.session_state`
where the visitor has gone on by then, and nobody learns of the click. So no callback here looks at anything of
Streamlit's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import streamlit as st

Answer = TypeVar("Answer")
Subject = TypeVar("Subject")
_THREADS: Final = 32  # visitors who wait at once; more wait for a thread


@dataclass
class Clicks:
    """The clicks on what asks one question, by one visitor."""

    count: int = 0
    answered_count: int = 0

    def make(self) -> None:
        """A button's callback: one more."""
        self.count += 1

    def answer(self) -> None:
        """Whatever was clicked by now has its answer."""
        self.answered_count = self.count

    @property
    def wait(self) -> bool:
        """True if a click waits for its answer."""
        return self.count > self.answered_count


def clicks_of(name: str) -> Clicks:
    """The clicks of the question `name`; its buttons take `make` for their callback."""
    clicks: Clicks = st.session_state.setdefault(f"clicks.{name}", Clicks())
    return clicks


@st.cache_resource(show_spinner=False)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="asking")


def answer_to(name: str, subject: Subject, ask: Callable[[Subject], Answer]) -> tuple[Subject, Answer]:
    """The answer of the question `name` and what it was asked of: an earlier subject, if that answer is still to come.

    Raises:
        ApiError: what the question ended with.
    """
    key = f"asking.{name}"
    if key not in st.session_state:
        st.session_state[key] = (subject, _threads().submit(ask, subject))
    entry: tuple[Subject, Future[Answer]] = st.session_state[key]
    return entry[0], entry[1].result()


def subject_of(name: str, otherwise: Subject) -> Subject:
    """The subject of the question that is under way."""
    entry: tuple[Subject, object] | None = st.session_state.get(f"asking.{name}")
    return otherwise if entry is None else entry[0]


def forget(name: str) -> None:
    """The answer is kept by the page: the next question is a new one."""
    st.session_state.pop(f"asking.{name}", None)
