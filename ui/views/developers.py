"""For the partner's own developers: the last request as code, the limits, the documentation, how to treat the key."""

from __future__ import annotations

import json
from typing import Final

import streamlit as st

from ui.api.exchange import Exchange, snippets
from ui.session import Desk, last_exchange, last_limits

_HEIGHT_PX: Final = 420


def show(desk: Desk) -> None:
    """The page."""
    t = desk.texts
    st.markdown(t("developers.lead"))
    with st.container(horizontal=True):
        public = desk.settings.public_endpoint
        st.link_button(
            t("developers.docs"), f"{public}/docs", icon=":material/menu_book:", help=t("developers.docs_help")
        )
        st.link_button(t("developers.openapi"), f"{public}/openapi.json", icon=":material/data_object:")
    exchange = last_exchange()
    if exchange is None:
        st.info(t("developers.none"), icon=":material/info:")
    else:
        _request(desk, exchange)
        _response(desk, exchange)
    _limits(desk)
    st.header(t("developers.advice"), anchor=False)
    st.markdown(t("developers.advice_text"))


def _request(desk: Desk, exchange: Exchange) -> None:
    st.header(desk.texts("developers.request"), anchor=False)
    made = snippets(exchange, desk.settings.public_endpoint)
    for tab, (language, code) in zip(st.tabs(list(made)), made.values(), strict=True):
        with tab:
            st.code(code, language=language, height=_HEIGHT_PX)


def _response(desk: Desk, exchange: Exchange) -> None:
    t = desk.texts
    st.header(t("developers.answer"), anchor=False)
    st.markdown(t("developers.status", status=exchange.status, took=desk.formats.number(exchange.took_ms)))
    body, headers = st.tabs([t("developers.body"), t("developers.headers")])
    with body:
        st.code(json.dumps(exchange.answer, indent=2, ensure_ascii=False), language="json", height=_HEIGHT_PX)
    with headers:
        st.code("\n".join(f"{name}: {value}" for name, value in exchange.headers.items()), language="http")


def _limits(desk: Desk) -> None:
    t, f = desk.texts, desk.formats
    st.header(t("developers.limits"), anchor=False)
    limits = last_limits()
    if not limits:
        st.markdown(t("developers.limits_none"))
    for limit in limits:
        st.markdown(
            t(
                "developers.limit",
                name=limit.name,
                remaining=f.number(limit.remaining),
                quota=f.number(limit.quota),
                window=f.span(limit.window_s),
                reset=f.span(limit.reset_s),
            )
        )
        if limit.quota:
            st.progress(min(1.0, limit.remaining / limit.quota))
    st.caption(t("developers.limits_note"))
