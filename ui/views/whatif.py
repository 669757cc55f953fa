"""What if one or two inputs were different: the score as a curve or a heat map, every point scored by the API.

Points are asked for with the page's test key where it has one: they are nobody's customers, and a test key's answers
reach neither drift nor outcomes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from service.contract import Applicant
from ui.api.errors import ApiError
from ui.api.pace import score_some
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import Field, FieldKind, contract_fields
from ui.components import charts, form, problem
from ui.session import PageContext, last_limits
from ui.views.score import APPLICANT

_CURVE_POINTS: Final = 25
_HEAT_SIDE: Final = 8
_TRIED: Final = 6
_SLIDER_STEPS: Final = 41
_CACHE: Final = "whatif.scores"
_CACHED_ANSWERS: Final = 20
# Spans that people move within, where the contract's range is far wider than life.
_SPANS: Final[dict[str, tuple[float, float]]] = {
    "delay_from_due_date": (0, 60),
    "outstanding_debt": (0, 5_000),
    "num_credit_cards": (0, 11),
    "num_bank_accounts": (0, 11),
    "interest_rate": (0, 35),
    "num_delayed_payments": (0, 28),
    "num_credit_inquiries": (0, 17),
    "credit_history_months": (0, 400),
    "credit_utilization_ratio": (0, 50),
    "changed_credit_limit": (-10, 40),
}


def show(context: PageContext) -> None:
    """The page."""
    t = context.texts
    st.markdown(t("whatif.lead"))
    who, applicant = _applicant(context)
    # num_loans is left out: moved alone it would contradict the list of loans.
    movable = [field for field in contract_fields() if field.numeric and field.name != "num_loans"]
    try:
        movable = _strongest_first(context, applicant, movable)
        left, right = st.columns(2)
        with left:
            # A key of the applicant's own: each opens with what moves this very score most.
            first = _choose(context, movable, "whatif.first", 0, f"whatif.first.{who}")
            first_span = _span(context, first, applicant)
        with right:
            others = [field for field in movable if field != first]
            second = _choose(context, others, "whatif.second", None, "whatif.second")
            second_span = _span(context, second, applicant) if second is not None else (0.0, 0.0)
        if second is None:
            _curve(context, applicant, first, first_span)
        else:
            _heat(context, applicant, (first, second), (first_span, second_span))
    except ApiError as error:
        context.remember_error(error)
        problem.show(context, error, entry="key" if context.test_client is None else "test_key")
        st.button(t("problem.again"), key="whatif.again")


def _strongest_first(context: PageContext, applicant: Applicant, movable: list[Field]) -> list[Field]:
    """The fields, the one that moves this applicant's score most first, as the API scores both ends of their spans.

    Asked of those that weigh most in the model alone: each costs two tokens.
    """
    weight = context.manifest().get("importance") or {}
    candidates = [field for field in movable if field.name in _SPANS and getattr(applicant, field.name) is not None]
    shortlist = sorted(candidates, key=lambda field: -float(weight.get(field.name, 0.0)))[:_TRIED]
    ends = [_with(applicant, {field: end}) for field in shortlist for end in _reach(field, applicant)]
    scores = _scores(context, [applicant, *ends])
    moved = {
        field.name: max(abs(scores[place] - scores[0]) for place in (1 + 2 * turn, 2 + 2 * turn))
        for turn, field in enumerate(shortlist)
    }
    return sorted(movable, key=lambda field: -moved.get(field.name, -1))


def _applicant(context: PageContext) -> tuple[str, Applicant]:
    """The applicant on the page: the one scored last, or an example."""
    t = context.texts
    scored: Applicant | None = st.session_state.get(APPLICANT)
    names = (["last"] if scored is not None else []) + list(EXAMPLES)
    titles = {"last": t("whatif.last"), **{name: t(f"examples.{name}") for name in EXAMPLES}}
    name = st.segmented_control(
        t("whatif.applicant"),
        names,
        default="last" if scored is not None else "ordinary",
        format_func=lambda each: titles[each],
        required=True,
        key="whatif.who",
    )
    if name == "last" and scored is not None:
        return hashlib.sha256(scored.model_dump_json().encode()).hexdigest()[:12], scored
    choice = str(name) if name in EXAMPLES else "ordinary"
    return choice, EXAMPLES[choice]


def _choose(context: PageContext, fields: Sequence[Field], title: str, index: int | None, key: str) -> Any:
    return st.selectbox(
        context.texts(title),
        fields,
        index=index,
        format_func=lambda field: form.label_of(context, field),
        placeholder=context.texts("whatif.none"),
        key=key,
        persist_state="session",
    )


def _reach(field: Field, applicant: Applicant) -> tuple[float, float]:
    """The span that people move within, wide enough to hold the applicant's own value."""
    own = getattr(applicant, field.name)
    low, high = _SPANS.get(field.name, (0.0, max(2.0 * abs(own or 0.0), 100.0)))
    low, high = min(low, own or low), max(high, own or high)
    return max(low, field.low if field.low is not None else low), min(high, field.high or high)


def _span(context: PageContext, field: Field, applicant: Applicant) -> tuple[float, float]:
    """The value the field is moved to, by a slider in the reader's own number format."""
    steps = _axis(field, _reach(field, applicant), _SLIDER_STEPS)
    span: tuple[float, float] = st.select_slider(
        context.texts("whatif.span", field=context.texts.label(field.name)),
        options=steps,
        value=(steps[0], steps[-1]),
        format_func=lambda value: form.in_words(context, field, value),
        key=f"whatif.span.{field.name}.{context.texts.language}",
        label_visibility="collapsed",
    )
    return span


def _axis(field: Field, span: tuple[float, float], points: int) -> list[float]:
    low, high = span
    if field.kind is FieldKind.INTEGER:
        steps = min(points, int(high - low) + 1)
        return sorted({round(low + (high - low) * place / max(1, steps - 1)) for place in range(steps)})
    values = {round(low + (high - low) * place / (points - 1), 2) for place in range(points)}
    return sorted(values)


def _curve(context: PageContext, applicant: Applicant, field: Field, span: tuple[float, float]) -> None:
    values = _axis(field, span, _CURVE_POINTS)
    own = getattr(applicant, field.name)
    scores = _scores(context, [applicant, *(_with(applicant, {field: value}) for value in values)])
    _head(context, scores[0], field, own)
    here = (own, scores[0]) if own is not None else None
    charts.curve(context, list(zip(values, scores[1:], strict=True)), form.label_of(context, field), here)
    st.caption(context.texts("whatif.note"))


def _heat(
    context: PageContext, applicant: Applicant, fields: tuple[Field, Field], spans: Sequence[tuple[float, float]]
) -> None:
    owns = [getattr(applicant, field.name) for field in fields]
    across, upward = (
        sorted({*_axis(field, span, _HEAT_SIDE), *([own] if own is not None else [])})
        for field, span, own in zip(fields, spans, owns, strict=True)
    )
    places = [(x, y) for y in upward for x in across]
    scores = _scores(context, [applicant, *(_with(applicant, {fields[0]: x, fields[1]: y}) for x, y in places)])
    _head(context, scores[0], None, None)
    cells = [(x, y, score) for (x, y), score in zip(places, scores[1:], strict=True)]
    here = (owns[0], owns[1]) if None not in owns else None
    charts.heat(context, cells, (form.label_of(context, fields[0]), form.label_of(context, fields[1])), here)
    st.caption(context.texts("whatif.note_map"))


def _head(context: PageContext, score: int, field: Field | None, own: Any) -> None:
    t, f = context.texts, context.formats
    if field is None or own is None:
        st.markdown(t("whatif.now", score=f.number(score)))
    else:
        st.markdown(
            t(
                "whatif.now_at",
                score=f.number(score),
                field=t.label(field.name),
                value=form.in_words(context, field, own),
            )
        )


def _with(applicant: Applicant, update: dict[Field, float]) -> Applicant:
    typed = {
        field.name: int(value) if field.kind is FieldKind.INTEGER else float(value) for field, value in update.items()
    }
    return Applicant.model_validate({**applicant.model_dump(), **typed})


def _scores(context: PageContext, rows: Sequence[Applicant]) -> list[int]:
    """The API's scores of these rows, asked once a set; in parts no larger than the key's limits allow."""
    cache: dict[str, list[int]] = st.session_state.setdefault(_CACHE, {})
    key = "".join(row.model_dump_json() for row in rows)
    if key not in cache:
        with_test_key = context.test_client is not None
        with st.spinner(context.texts("whatif.wait", points=len(rows))):
            reply = score_some(context.test_client or context.client, rows, last_limits(test_key=with_test_key))
        context.remember(reply, test_key=with_test_key)
        while len(cache) >= _CACHED_ANSWERS:
            cache.pop(next(iter(cache)))
        cache[key] = [score.score for score in reply.value]
    return cache[key]
