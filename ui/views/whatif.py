"""What if one or two inputs were different: the score as a curve or a heat map, every point scored by the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from service.contract import Applicant
from ui.api.errors import ApiError
from ui.api.pace import score_some
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import Field, FieldKind, contract_fields
from ui.components import charts, form, problem
from ui.session import Desk, last_limits
from ui.views.score import APPLICANT

_CURVE_POINTS: Final = 25
_HEAT_SIDE: Final = 9
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


def show(desk: Desk) -> None:
    """The page."""
    t = desk.texts
    st.markdown(t("whatif.lead"))
    applicant = _applicant(desk)
    # num_loans is left out: moved alone it would contradict the list of loans.
    movable = [field for field in contract_fields() if field.numeric and field.name != "num_loans"]
    movable.sort(key=lambda field: list(_SPANS).index(field.name) if field.name in _SPANS else len(_SPANS))
    left, right = st.columns(2)
    with left:
        first = _choose(desk, movable, "whatif.first", 0)
        first_span = _span(desk, first, applicant)
    with right:
        second = _choose(desk, [field for field in movable if field != first], "whatif.second", None)
        second_span = _span(desk, second, applicant) if second is not None else (0.0, 0.0)
    try:
        if second is None:
            _curve(desk, applicant, first, first_span)
        else:
            _heat(desk, applicant, (first, second), (first_span, second_span))
    except ApiError as error:
        desk.remember_error(error)
        problem.show(desk, error)
        st.button(t("problem.again"), key="whatif.again")


def _applicant(desk: Desk) -> Applicant:
    """The applicant scored last, or an example."""
    t = desk.texts
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
        return scored
    return EXAMPLES[str(name)] if name in EXAMPLES else EXAMPLES["ordinary"]


def _choose(desk: Desk, fields: Sequence[Field], key: str, index: int | None) -> Any:
    return st.selectbox(
        desk.texts(key),
        fields,
        index=index,
        format_func=lambda field: form.label_of(desk, field),
        placeholder=desk.texts("whatif.none"),
        key=key,
        persist_state="session",
    )


def _span(desk: Desk, field: Field, applicant: Applicant) -> tuple[float, float]:
    """Where the field is moved, with a slider; wide enough to hold the applicant's own value."""
    own = getattr(applicant, field.name)
    low, high = _SPANS.get(field.name, (0.0, max(2.0 * abs(own or 0.0), 100.0)))
    low, high = min(low, own or low), max(high, own or high)
    low, high = max(low, field.low or low), min(high, field.high or high)
    step = 1 if field.kind is FieldKind.INTEGER else 1.0
    cast = int if field.kind is FieldKind.INTEGER else float
    chosen: tuple[float, float] = st.slider(
        desk.texts("whatif.span", field=desk.texts.label(field.name)),
        min_value=cast(low),
        max_value=cast(high),
        value=(cast(low), cast(high)),
        step=step,
        format="%.0f" if field.kind is FieldKind.NUMBER else None,
        key=f"whatif.span.{field.name}",
        label_visibility="collapsed",
    )
    return chosen


def _axis(field: Field, span: tuple[float, float], points: int) -> list[float]:
    low, high = span
    if field.kind is FieldKind.INTEGER:
        steps = min(points, int(high - low) + 1)
        return sorted({round(low + (high - low) * place / max(1, steps - 1)) for place in range(steps)})
    values = {round(low + (high - low) * place / (points - 1), 2) for place in range(points)}
    return sorted(values)


def _curve(desk: Desk, applicant: Applicant, field: Field, span: tuple[float, float]) -> None:
    values = _axis(field, span, _CURVE_POINTS)
    own = getattr(applicant, field.name)
    rows = [_with(applicant, {field: value}) for value in values]
    scores = _scores(desk, [applicant, *rows])
    here = scores[0]
    _head(desk, here, field, own)
    axis = form.label_of(desk, field)
    charts.curve(desk, list(zip(values, scores[1:], strict=True)), axis, (own, here) if own is not None else None)
    st.caption(desk.texts("whatif.note"))


def _heat(desk: Desk, applicant: Applicant, fields: tuple[Field, Field], spans: Sequence[tuple[float, float]]) -> None:
    across, upward = (_axis(field, span, _HEAT_SIDE) for field, span in zip(fields, spans, strict=True))
    places = [(x, y) for y in upward for x in across]
    rows = [_with(applicant, {fields[0]: x, fields[1]: y}) for x, y in places]
    scores = _scores(desk, [applicant, *rows])
    _head(desk, scores[0], None, None)
    cells = [(x, y, score) for (x, y), score in zip(places, scores[1:], strict=True)]
    charts.heat(desk, cells, form.label_of(desk, fields[0]), form.label_of(desk, fields[1]))
    st.caption(desk.texts("whatif.note"))


def _head(desk: Desk, score: int, field: Field | None, own: Any) -> None:
    t, f = desk.texts, desk.formats
    if field is None or own is None:
        st.markdown(t("whatif.now", score=f.number(score)))
    else:
        st.markdown(t("whatif.now_at", score=f.number(score), field=t.label(field.name), value=f.plain(own)))


def _with(applicant: Applicant, update: dict[Field, float]) -> Applicant:
    typed = {
        field.name: int(value) if field.kind is FieldKind.INTEGER else float(value) for field, value in update.items()
    }
    return Applicant.model_validate({**applicant.model_dump(), **typed})


def _scores(desk: Desk, rows: Sequence[Applicant]) -> list[int]:
    """The API's scores of these rows, asked once a set; in parts no larger than the key's limits allow."""
    cache: dict[str, list[int]] = st.session_state.setdefault(_CACHE, {})
    key = "".join(row.model_dump_json() for row in rows)
    if key not in cache:
        with st.spinner(desk.texts("whatif.wait", points=len(rows))):
            reply = score_some(desk.client, rows, last_limits())
        desk.remember(reply)
        while len(cache) >= _CACHED_ANSWERS:
            cache.pop(next(iter(cache)))
        cache[key] = [score.score for score in reply.value]
    return cache[key]
