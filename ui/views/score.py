"""Score one applicant: the form on one side, the answer on the other."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import streamlit as st
from pydantic import ValidationError

from service.contract import Applicant, Score
from ui.api.errors import ApiError, Invalid, LimitReached
from ui.api.pace import score_some
from ui.applicant import advice
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import Field, contract_fields, grouped
from ui.components import form, inputs, live, printing, problem, result
from ui.session import Desk, last_limits

SCORE: Final = "score.answer"
APPLICANT: Final = "score.applicant"
SENT: Final = "score.sent"  # the body that the answer, or the refusal, was given for
_ERROR: Final = "score.error"
_UNTIL: Final = "score.wait_until"
_ADVICE: Final = "score.advice"
_WANTED: Final = "score.advice_wanted"  # the answer that advice was asked for: it costs tokens
_ARRIVED: Final = "score.arrived"


def show(desk: Desk) -> None:
    """The page."""
    st.markdown(desk.texts("score.lead"))
    fields = contract_fields()
    # No st.fragment: a click elsewhere, such as on the language, is lost while a fragment runs for a field just left.
    form.resume(desk.formats, fields, EXAMPLES["ordinary"])
    _examples(desk, fields)
    left, right = st.columns([3, 2], gap="large")
    with left, st.container(key="form"):
        body = _form(desk, fields)
    with right:
        _answer(desk, fields, body)
    live.watch()


def _examples(desk: Desk, fields: tuple[Field, ...]) -> None:
    with st.container(horizontal=True, key="examples", vertical_alignment="center"):
        for name, applicant in EXAMPLES.items():
            st.button(
                desk.texts(f"examples.{name}"),
                key=f"example.{name}",
                on_click=form.fill,
                args=(desk.formats, fields, applicant),
            )
        st.button(
            desk.texts("examples.none"),
            key="example.none",
            on_click=form.fill,
            args=(desk.formats, fields, None),
            type="tertiary",
            icon=":material/backspace:",
        )


def _form(desk: Desk, fields: tuple[Field, ...]) -> dict[str, Any]:
    """The fields and two buttons; returns what stands in the form."""
    # Above too: an example is scored without scrolling past twenty fields.
    above = _submit(desk, "submit.above")
    places = form.show(desk, fields)
    below = _submit(desk, "submit")
    body = form.typed(desk.formats, fields)
    if above or below:
        _ask(desk, body)
    error: ApiError | None = st.session_state.get(_ERROR)
    if isinstance(error, Invalid):
        problem.beside(desk, error, fields, places, body, _unchanged(body))
    return body


def _unchanged(body: dict[str, Any]) -> frozenset[str]:
    """The fields that still hold what was sent: a fault put right is no longer shown."""
    sent: dict[str, Any] = st.session_state.get(SENT, {})
    return frozenset(name for name in {*sent, *body} if sent.get(name) == body.get(name))


def _submit(desk: Desk, key: str) -> bool:
    return st.button(desk.texts("score.submit"), type="primary", icon=":material/speed:", width="stretch", key=key)


def _ask(desk: Desk, body: dict[str, Any]) -> None:
    """One request. The old answer goes first: a score never stands beside an applicant it was not given for."""
    for key in (SCORE, APPLICANT, _ERROR, _ADVICE):
        st.session_state.pop(key, None)
    st.session_state[SENT] = body
    st.session_state[_ARRIVED] = True
    try:
        with st.spinner(desk.texts("score.wait")):
            reply = desk.client.score(body)
    except ApiError as error:
        desk.remember_error(error)
        st.session_state[_ERROR] = error
        st.session_state[_UNTIL] = time.time() + error.retry_after_s
        return
    desk.remember(reply)
    st.session_state[SCORE] = reply.value
    st.session_state[APPLICANT] = _as_contract(body)


def _as_contract(typed: dict[str, Any]) -> Applicant | None:
    """What was typed as the contract's object; None where the API knows a newer contract than this page."""
    try:
        return Applicant.model_validate_json(json.dumps(typed))
    except ValidationError:
        return None


def _answer(desk: Desk, fields: tuple[Field, ...], body: dict[str, Any]) -> None:
    score: Score | None = st.session_state.get(SCORE)
    error: ApiError | None = st.session_state.get(_ERROR)
    sent: dict[str, Any] = st.session_state.get(SENT, {})
    manifest = desk.manifest(score.model.digest) if score is not None else {}
    with st.container(border=True, key="result"):
        if error is not None:
            _refused(desk, error)
        elif score is None:
            result.idle(desk)
        else:
            live.mark(desk, stale=sent != body)
            result.show(desk, score, manifest)
        if st.session_state.pop(_ARRIVED, False):
            # On a phone the answer stands below a long form: bring it, or the field at fault, into view.
            live.arrive(_first_fault(error, fields))
        if score is None:
            return
        _advice(desk, score)
        inputs.show(desk, fields, sent)
        printing.quote(desk, score, manifest, fields, sent)


def _refused(desk: Desk, error: ApiError) -> None:
    """Why there is no score, where the score would stand."""
    problem.show(desk, error)
    if isinstance(error, LimitReached):
        problem.countdown(desk, st.session_state[_UNTIL])


def _first_fault(error: ApiError | None, fields: tuple[Field, ...]) -> str:
    """The uppermost field that was refused, "" where none was."""
    refused = {fault.field for fault in error.faults} if isinstance(error, Invalid) else set()
    return next((field.name for _, members in grouped(fields) for field in members if field.name in refused), "")


def _advice(desk: Desk, score: Score) -> None:
    applicant: Applicant | None = st.session_state.get(APPLICANT)
    if applicant is None:
        return
    st.header(desk.texts("advice.title"), anchor=False)
    if st.session_state.get(_WANTED) != score.prediction_id:
        units = len(advice.possible_changes(applicant)) + 1
        asked = st.button(desk.texts("advice.go"), icon=":material/trending_up:", key="advice.go")
        st.caption(desk.texts.plural("advice.cost", units, units=units))
        if not asked:
            return
        st.session_state[_WANTED] = score.prediction_id
    try:
        found, combined = _gains(desk, score, applicant)
    except ApiError as error:
        st.caption(problem.sentence(desk, error))
        st.button(desk.texts("problem.again"), key="advice.again")
        return
    if not found:
        st.markdown(desk.texts("advice.none"))
        return
    st.html("".join(_gain_row(desk, gain) for gain in found) + _combined_row(desk, score, combined))
    st.caption(desk.texts("advice.note"))


def _gains(desk: Desk, score: Score, applicant: Applicant) -> tuple[list[advice.Gain], Score | None]:
    """The changes that gain points, as the API scored them; asked once an answer."""
    kept: tuple[str, list[advice.Gain], Score | None] | None = st.session_state.get(_ADVICE)
    if kept is not None and kept[0] == score.prediction_id:
        return kept[1], kept[2]
    changes = advice.possible_changes(applicant)
    found: list[advice.Gain] = []
    combined: Score | None = None
    with st.spinner(desk.texts("advice.wait")):
        if changes:
            scores = score_some(desk.client, [change.applicant for change in changes], last_limits()).value
            found = advice.gains(changes, scores, score.score)
        both = advice.together(applicant, found)
        if both is not None:
            combined = score_some(desk.client, [both], ()).value[0]
    st.session_state[_ADVICE] = (score.prediction_id, found, combined)
    return found, combined


def _gain_row(desk: Desk, gain: advice.Gain) -> str:
    return _row(desk, _in_words(desk, gain.change), gain.points, gain.score.score)


def _in_words(desk: Desk, change: advice.PossibleChange) -> str:
    t = desk.texts
    if change.code == "pay_on_time" and not change.after:
        return t("advice.pay_in_time")
    values = {
        "before": _shown(desk, change.field, change.before),
        "after": _shown(desk, change.field, change.after),
    }
    key = f"advice.{change.code}"
    return t(key, **values) if key in t.entries else t.plural(key, change.after, **values)


def _combined_row(desk: Desk, score: Score, combined: Score | None) -> str:
    if combined is None or combined.score <= score.score:
        return ""
    return _row(desk, desk.texts("advice.together"), combined.score - score.score, combined.score)


def _row(desk: Desk, text: str, points: int, total: int) -> str:
    figures = desk.texts("advice.points", points=desk.formats.signed(points), total=desk.formats.number(total))
    return f'<div class="qf-gain"><span>{text}</span><b>{figures}</b></div>'


def _shown(desk: Desk, field: str, value: Any) -> str:
    if isinstance(value, str):
        return desk.texts.option(value)
    money = any(each.name == field and each.unit in ("currency", "per month", "per year") for each in contract_fields())
    return desk.formats.amount(value) if money else desk.formats.plain(value)
