"""A question to the API that outlives the run of the page which put it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import streamlit as st

from ui.api.errors import ApiError, Unavailable
from ui.components import pending_question


@pytest.fixture(autouse=True)
def _one_visitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A session of its own, and threads that end with the test."""
    with ThreadPoolExecutor(4) as threads:
        monkeypatch.setattr(st, "session_state", {})
        monkeypatch.setattr(pending_question, "_threads", lambda: threads)
        yield


def counted(asked: list[str], answer: Callable[[str], str]) -> Callable[[str], str]:
    """A question that notes each time it is put."""

    def ask(subject: str) -> str:
        asked.append(subject)
        return answer(subject)

    return ask


def test_it_is_asked_once_though_another_run_wants_it() -> None:
    """A second run, with other inputs by now, takes the answer that is on its way, and is told whose it is."""
    asked: list[str] = []
    go_on = threading.Event()

    def answer(subject: str) -> str:
        assert go_on.wait(60)
        return f"score of {subject}"

    ask = counted(asked, answer)
    taken: list[tuple[str, str]] = []
    runs = [
        threading.Thread(target=lambda: taken.append(pending_question.answer_to("score", "Ana", ask))),
        threading.Thread(target=lambda: taken.append(pending_question.answer_to("score", "Rui", ask))),
    ]
    runs[0].start()
    while "asking.score" not in st.session_state:
        runs[0].join(0.01)
    assert pending_question.subject_of("score", "Rui") == "Ana"
    runs[1].start()
    go_on.set()
    for run in runs:
        run.join(60)
    assert taken == [("Ana", "score of Ana")] * 2 and asked == ["Ana"]


def test_taken_the_next_question_is_a_new_one() -> None:
    """Until the page has kept the answer it stands; afterwards the same name asks again."""
    asked: list[str] = []
    ask = counted(asked, str.upper)
    assert pending_question.answer_to("score", "ana", ask) == ("ana", "ANA")
    assert pending_question.answer_to("score", "rui", ask) == ("ana", "ANA")
    pending_question.forget("score")
    assert pending_question.subject_of("score", "rui") == "rui"
    assert pending_question.answer_to("score", "rui", ask) == ("rui", "RUI")
    assert asked == ["ana", "rui"]
    pending_question.forget("score")
    pending_question.forget("score")  # nothing is under way: nothing to forget


def test_questions_of_other_names_stand_apart() -> None:
    """Advice asked for while a score is under way is a question of its own."""
    asked: list[str] = []
    ask = counted(asked, str.upper)
    pending_question.answer_to("score", "ana", ask)
    assert pending_question.answer_to("advice", "rui", ask) == ("rui", "RUI")
    pending_question.forget("advice")
    assert pending_question.subject_of("score", "other") == "ana" and asked == ["ana", "rui"]


def test_what_it_ends_with_reaches_whoever_stands() -> None:
    """An error is every run's until it is taken: none is lost with the run that met it first."""

    def fail(subject: str) -> str:
        raise Unavailable(status=503)

    for _ in range(2):
        with pytest.raises(ApiError) as met:
            pending_question.answer_to("score", "ana", fail)
        assert isinstance(met.value, Unavailable)
    pending_question.forget("score")
    assert pending_question.answer_to("score", "ana", str.upper) == ("ana", "ANA")
