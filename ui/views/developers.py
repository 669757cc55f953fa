"""For the partner's own developers: the applicant of the form as code, to try at once; costs, limits, documentation.

On a desktop the answer stands beside its request, as in the documentation that developers know; on a phone below it.
"""

from __future__ import annotations

import json
from typing import Any, Final

import streamlit as st

from ui.api.client import SCORE_PATH
from ui.api.errors import ApiError
from ui.api.exchange import Exchange, snippets
from ui.applicant.examples import EXAMPLES
from ui.applicant.fields import contract_fields
from ui.components import form, problem
from ui.session import PageContext, last_exchange, last_limits

_CODE_HEIGHT: Final = 560  # px, of request and answer alike; more scrolls, since an answer may be of a thousand rows
_COSTS: Final = ("score", "batch", "advice", "whatif", "model")


def show(context: PageContext) -> None:
    """The page."""
    t = context.texts
    st.markdown(t("developers.lead"))
    _links(context)
    context.manifest()  # its answer tells the limits, before anything is scored
    request = _request(context)
    left, right = st.columns(2, gap="medium")
    with left, st.container(key="request"):
        st.header(t("developers.request"), anchor=False)
        st.markdown(t("developers.request_note"))
        _code(context, request)
    with right, st.container(key="answer"):
        st.header(t("developers.answer"), anchor=False)
        with st.container(horizontal=True, vertical_alignment="center"):
            tried = st.button(t("developers.try"), type="primary", icon=":material/play_arrow:", key="developers.try")
            st.caption(t.plural("developers.try_cost", 1, units=1), width="content")
        if tried:
            _try(context, request)
        exchange = last_exchange()
        if exchange is None:
            st.markdown(t("developers.no_answer", button=t("developers.try")))
        else:
            _response(context, exchange, request)
    left, right = st.columns(2, gap="medium")
    with left:
        _limits(context)
        _costs(context)
    with right:
        st.header(t("developers.advice"), anchor=False)
        st.markdown(t("developers.advice_text"))
        _changes(context)


def _links(context: PageContext) -> None:
    t, public = context.texts, context.settings.public_endpoint
    with st.container(horizontal=True):
        st.link_button(t("developers.docs"), f"{public}/docs?lang={t.language}", icon=":material/menu_book:")
        st.link_button(t("developers.openapi"), f"{public}/openapi.json", icon=":material/data_object:")
    st.caption(t("developers.docs_help"))


def _changes(context: PageContext) -> None:
    """The changelog has one home, the API's own documentation: this is the way there."""
    t = context.texts
    st.header(t("developers.changes"), anchor=False)
    st.markdown(t("developers.changes_text"))
    changes = f"{context.settings.public_endpoint}/docs?lang={t.language}#changes"
    st.link_button(t("developers.changes_open"), changes, icon=":material/history:")


def _request(context: PageContext) -> Exchange:
    """A request not made yet: the score of the applicant who stands in the form, or of the example."""
    body: dict[str, Any] = form.typed(context.formats, contract_fields()) if form.has_draft() else {}
    if not body:
        example = EXAMPLES["ordinary"].model_dump(mode="json", exclude_unset=True)
        body = {name: value for name, value in example.items() if value is not None}
    return Exchange("POST", SCORE_PATH, json.dumps(body, allow_nan=False).encode(), 0, b"", {}, 0.0)


def _code(context: PageContext, exchange: Exchange) -> None:
    samples = snippets(exchange, context.settings.public_endpoint)
    for tab, (language, code) in zip(st.tabs(list(samples)), samples.values(), strict=True):
        with tab:
            st.code(code, language=language, wrap_lines=True, height=_CODE_HEIGHT)


def _try(context: PageContext, request: Exchange) -> None:
    try:
        with st.spinner(context.texts("score.wait")):
            context.remember(context.client.score(request.body))
    except ApiError as error:
        context.remember_error(error)
        problem.show(context, error)


def _response(context: PageContext, exchange: Exchange, request: Exchange) -> None:
    t = context.texts
    took = context.formats.number(exchange.took_ms)
    line = f"`{exchange.method} {exchange.path}`"
    st.markdown(t("developers.status", asked=line, status=exchange.status, took=took))
    if (exchange.path, exchange.request_body) != (request.path, request.request_body):
        st.caption(t("developers.other_request"))
    body, headers = st.tabs([t("developers.body"), t("developers.headers")])
    with body:
        st.code(
            json.dumps(exchange.answer, indent=2, ensure_ascii=False),
            language="json",
            wrap_lines=True,
            height=_CODE_HEIGHT,
        )
    with headers:
        st.code(
            "\n".join(f"{name}: {value}" for name, value in exchange.headers.items()), language="http", wrap_lines=True
        )


def _limits(context: PageContext) -> None:
    t, f = context.texts, context.formats
    st.header(t("developers.limits"), anchor=False)
    for limit in last_limits():
        line = t(
            "developers.limit",
            name=t.get(f"limits.{limit.name}", limit.name),
            remaining=f.number(limit.remaining),
            quota=f.number(limit.quota),
            window=f.span(limit.window_s),
            reset=f.span(limit.reset_s),
        )
        st.markdown(line)
        if limit.quota:
            st.progress(min(1.0, limit.remaining / limit.quota))
    st.caption(t("developers.limits_note"))


def _costs(context: PageContext) -> None:
    t = context.texts
    st.header(t("developers.costs"), anchor=False)
    own = {"whatif": "whatif" if context.test_client is None else "whatif_test_key"}
    st.markdown("\n".join(f"- {t(f'costs.{own.get(name, name)}')}" for name in _COSTS))
