"""Score one applicant: the form on one side, the answer on the other."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import streamlit as st
from pydantic import ValidationError

from service.contract import Applicant, Score
from ui.api.errors import ApiError, Invalid, LimitReached
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import Field, contract_fields, grouped
from ui.components import advice, browser_scripts, form, inputs, pending_question, printing, problem, result
from ui.session import PageContext

SCORE: Final = "score.answer"
APPLICANT: Final = "score.applicant"
SENT: Final = "score.sent"  # the body that the answer, or the refusal, was given for
_ERROR: Final = "score.error"
_UNTIL: Final = "score.wait_until"
_QUESTION: Final = "score"
_ARRIVED: Final = "score.arrived"


def show(context: PageContext) -> None:
    """The page."""
    st.markdown(context.texts("score.lead"))
    fields = contract_fields()
    # No st.fragment: a click elsewhere, such as on the language, is lost while a fragment runs for a field just left.
    form.resume(context.formats, fields, EXAMPLES["ordinary"])
    _examples(context, fields)
    left, right = st.columns([3, 2], gap="large")
    with left, st.container(key="form"):
        body = _form(context, fields)
    with right:
        _answer(context, fields, body)
    browser_scripts.watch(pending_question.clicks_of(_QUESTION).count, form.on_screen(context, fields))


def _examples(context: PageContext, fields: tuple[Field, ...]) -> None:
    with st.container(horizontal=True, key="examples", vertical_alignment="center"):
        for name, applicant in EXAMPLES.items():
            st.button(
                context.texts(f"examples.{name}"),
                key=f"example.{name}",
                on_click=form.fill,
                args=(context.formats, fields, applicant),
            )
        st.button(
            context.texts("examples.none"),
            key="example.none",
            on_click=form.fill,
            args=(context.formats, fields, None),
            type="tertiary",
            icon=":material/backspace:",
        )


def _form(context: PageContext, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The fields and two buttons; returns what stands in the form."""
    # Above too: an example is scored without scrolling past twenty fields.
    _submit(context, "submit.above")
    places = form.show(context, fields)
    _submit(context, "submit")
    body = form.typed(context.formats, fields)
    clicks = pending_question.clicks_of(_QUESTION)
    if clicks.wait:
        _ask(context, body, clicks)
    error: ApiError | None = st.session_state.get(_ERROR)
    if isinstance(error, Invalid):
        problem.beside(context, error, fields, places, body, _unchanged(body))
    return body


def _unchanged(body: dict[str, Any]) -> frozenset[str]:
    """The fields that still hold what was sent: a fault put right is no longer shown."""
    request: dict[str, Any] = st.session_state.get(SENT, {})
    return frozenset(name for name in {*request, *body} if request.get(name) == body.get(name))


def _submit(context: PageContext, key: str) -> None:
    # A callback: a field left at the moment of the click begins the page anew, and the button's value would be lost.
    st.button(
        context.texts("score.submit"),
        type="primary",
        icon=":material/speed:",
        width="stretch",
        key=key,
        on_click=pending_question.clicks_of(_QUESTION).make,
    )


def _ask(context: PageContext, body: dict[str, Any], clicks: pending_question.Clicks) -> None:
    """One request. The old answer goes first: a score never stands beside an applicant it was not given for."""
    for key in (SCORE, APPLICANT, _ERROR):
        st.session_state.pop(key, None)
    with st.spinner(context.texts("score.wait")):
        # From here to the end of the spinner nothing is drawn, so nothing parts the answer from what is kept of it.
        request = pending_question.subject_of(_QUESTION, body)
        try:
            _, reply = pending_question.answer_to(_QUESTION, body, context.client.score)
        except ApiError as error:
            context.remember_error(error)
            st.session_state[_ERROR] = error
            st.session_state[_UNTIL] = time.time() + error.retry_after_s
        else:
            context.remember(reply)
            st.session_state[SCORE] = reply.value
            st.session_state[APPLICANT] = _as_contract(request)
        st.session_state[SENT] = request
        st.session_state[_ARRIVED] = True
        pending_question.forget(_QUESTION)
        clicks.answer()  # last, and no look at the session: a run ended before it asks again for the answer it has


def _as_contract(typed: dict[str, Any]) -> Applicant | None:
    """What was typed as the contract's object; None where the API knows a newer contract than this page."""
    try:
        return Applicant.model_validate_json(json.dumps(typed))
    except ValidationError:
        return None


def _answer(context: PageContext, fields: tuple[Field, ...], body: dict[str, Any]) -> None:
    score: Score | None = st.session_state.get(SCORE)
    error: ApiError | None = st.session_state.get(_ERROR)
    request: dict[str, Any] = st.session_state.get(SENT, {})
    manifest = context.manifest(score.model.digest) if score is not None else {}
    with st.container(border=True, key="result"):
        if error is not None:
            _refused(context, error)
        elif score is None:
            result.idle(context)
        else:
            browser_scripts.mark(context, stale=request != body)
            result.show(context, score, manifest)
        if st.session_state.pop(_ARRIVED, False):
            # On a phone the answer stands below a long form: bring it, or the field at fault, into view.
            browser_scripts.arrive(_first_fault(error, fields))
        if score is None:
            return
        advice.show(context, score, request)
        inputs.show(context, fields, request)
        printing.quote(context, score, manifest, fields, request)


def _refused(context: PageContext, error: ApiError) -> None:
    """Why there is no score, where the score would stand."""
    problem.show(context, error)
    if isinstance(error, LimitReached):
        problem.countdown(context, st.session_state[_UNTIL])


def _first_fault(error: ApiError | None, fields: tuple[Field, ...]) -> str:
    """The uppermost field that was refused, "" where none was."""
    refused = {fault.field for fault in error.faults} if isinstance(error, Invalid) else set()
    return next((field.name for _, members in grouped(fields) for field in members if field.name in refused), "")
