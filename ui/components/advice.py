"""The way to the next band: the smallest set of changes, asked of the API in one priced call when a visitor wants it.

Nothing is guessed here: which changes, and where they lead, is what `POST /v1/score/advice` answers; where nothing
that was tried leads to the band, that is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import streamlit as st

from service.contract import Advice, AdviceTarget, Change, CreditClass, Score
from ui.api.errors import ApiError
from ui.applicant.fields import contract_fields
from ui.components import form, pending_question, problem
from ui.session import PageContext

_ANSWER: Final = "advice.answer"
_PART_OF: Final = {"loan_types": "num_loans", "total_emi_per_month": "num_loans"}  # goes along, is no decision itself
_COUNTED: Final = frozenset(
    {"num_delayed_payments", "num_credit_inquiries", "num_credit_cards", "num_bank_accounts", "num_loans"}
)


def next_band(band: CreditClass) -> CreditClass | None:
    """The band above; None above the best."""
    order = list(CreditClass)
    place = order.index(band) + 1
    return order[place] if place < len(order) else None


def decisions(changes: list[Change]) -> list[Change]:
    """The changes that a person decides on: what only goes along with one of them is left out."""
    moved = {change.field for change in changes}
    return [change for change in changes if _PART_OF.get(change.field) not in moved]


def show(context: PageContext, score: Score, inputs: Mapping[str, Any]) -> None:
    """The button with its cost, or what was answered to it."""
    t, target = context.texts, next_band(score.band)
    st.header(t("advice.title"), anchor=False)
    if target is None:
        st.markdown(t("advice.best_band"))
        return
    if _known(score) is None and not pending_question.clicks_of(_question(score)).wait:  # it costs a token
        _button(context, score, "advice.go", "advice.go")
        st.caption(t.plural("advice.cost", 1, units=1))
        return
    try:
        advice = _answer(context, score, inputs, target)
    except ApiError as error:
        st.caption(problem.sentence(context, error))
        _button(context, score, "problem.again", "advice.again")
        return
    with st.container(key="advice-told"):
        _show_advice(context, advice, target)


def _button(context: PageContext, score: Score, text: str, key: str) -> None:
    # A callback: a field left at the moment of the click begins the page anew, and the button's value would be lost.
    st.button(
        context.texts(text),
        icon=":material/trending_up:",
        key=key,
        on_click=pending_question.clicks_of(_question(score)).make,
    )


def _question(score: Score) -> str:
    return f"advice.{score.prediction_id}"


def _answer(context: PageContext, score: Score, inputs: Mapping[str, Any], target: CreditClass) -> Advice:
    """The API's answer, asked once a score."""
    known = _known(score)
    if known is not None:
        return known
    question = _question(score)
    clicks = pending_question.clicks_of(question)
    with st.spinner(context.texts("advice.wait")):
        try:
            _, reply = pending_question.answer_to(
                question, inputs, lambda subject: context.client.advice(subject, AdviceTarget(band=target))
            )
        except ApiError:
            pending_question.forget(question)
            clicks.answer()
            raise
        # Kept before it is taken: a run ended between the two takes the same answer once more.
        st.session_state[_ANSWER] = (score.prediction_id, reply.value)
        pending_question.forget(question)
        clicks.answer()
    context.remember(reply)
    return reply.value


def _known(score: Score) -> Advice | None:
    """The advice that the API gave for this score, if it was asked."""
    entry: tuple[str, Advice] | None = st.session_state.get(_ANSWER)
    return entry[1] if entry is not None and entry[0] == score.prediction_id else None


def _show_advice(context: PageContext, advice: Advice, target: CreditClass) -> None:
    t, f = context.texts, context.formats
    band, total = t.option(f"band_{target}"), f.number(advice.reached_score)
    if not advice.reachable:
        st.markdown(t("advice.none_reaches", band=band))
        gained = advice.reached_score > advice.score
        st.markdown(t("advice.most", score=total) if gained else t("advice.none"))
        return
    reached = t.option(f"band_{advice.reached_band}")
    st.markdown(t("advice.reaches", band=reached, score=total, points=f.signed(advice.reached_score - advice.score)))
    items = "".join(f"<li>{escape(in_words(context, change))}</li>" for change in decisions(advice.changes))
    st.html(f'<ul class="qf-list">{items}</ul>')
    st.caption(t("advice.note"))


def in_words(context: PageContext, change: Change) -> str:
    """One change as a decision; a field that the texts do not know is named with its values."""
    t = context.texts
    fields = {field.name: field for field in contract_fields()}
    field = fields.get(change.field)
    before, after = (
        form.in_words(context, field, value) if field is not None else str(value)
        for value in (change.before, change.after)
    )
    key = f"advice.{change.field}"
    if not change.after and f"{key}_none" in t.entries:
        return t(f"{key}_none", before=before)
    if change.field in _COUNTED:
        return t.plural(key, float(str(change.after)), before=before, after=after)
    default = t("advice.other", field=t.label(change.field), before=before, after=after)
    return t(key, before=before, after=after) if key in t.entries else default
