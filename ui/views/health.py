"""For staff: is the world still the one the model learned? Drift now and over time, versions, the reports themselves.

Shown only for a key of scope `staff`, where the secrets hold read access to the bucket `reports`; read-only by what it
can do (GET).
"""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
import pandas as pd
import streamlit as st

from ui.api.errors import ApiError
from ui.api.reports import ReportBucket
from ui.components import causes, charts
from ui.session import TRANSPORT, PageContext
from ui.settings import Reports

_BADGES: Final = {"green": "green", "amber": "orange", "red": "red"}
_ICONS: Final = {"green": ":material/check_circle:", "amber": ":material/warning:", "red": ":material/error:"}
_SIGNS: Final = {"green": "✓", "amber": "▲", "red": "✕"}
_NOTE_WIDTH: Final = 300  # px: left alone, a column is as wide as its first rows' texts, and cuts the rest
_LINES: Final = 5  # as many as the theme has colours: one a series


def show(context: PageContext) -> None:
    """The page."""
    t = context.texts
    st.markdown(t("health.lead"))
    settings = context.settings.reports
    if settings is None:
        st.info(t("health.not_configured"), icon=":material/info:")
        return
    with _bucket(settings) as bucket:
        _show(context, bucket)


def _show(context: PageContext, bucket: ReportBucket) -> None:
    t = context.texts
    try:
        with st.spinner(t("health.wait")):
            current, history = _object(bucket, "current.json"), _object(bucket, "history.json")
    except ApiError as error:
        st.error(t(f"health.{error.code}"), icon=":material/error:")
        st.button(t("problem.again"), key="health.again")
        return
    if not current:
        st.info(t("health.none_yet"), icon=":material/info:")
        return
    _now(context, current)
    _columns(context, current)
    moments = [moment for moment in history.get("moments", []) if isinstance(moment, dict)]
    _over_time(context, moments)
    _versions(context, moments)
    _reports(context, bucket, moments)


def _bucket(settings: Reports) -> ReportBucket:
    transport: httpx.BaseTransport | None = st.session_state.get(TRANSPORT)
    return ReportBucket(settings, transport)


def _object(bucket: ReportBucket, key: str) -> dict[str, Any]:
    """A JSON object of the bucket; empty where there is none or it cannot be read."""
    content = bucket.read(key)
    try:
        document = json.loads(content or b"{}")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _badge(context: PageContext, state: str) -> str:
    """The state in words and colour: never by colour alone."""
    name = context.texts.get(f"states.{state}", state)
    return f":{_BADGES.get(state, 'gray')}-badge[{_ICONS.get(state, ':material/help:')} {name}]"


def _worded(context: PageContext, state: str) -> str:
    """The state in a table: a sign and a word."""
    return f"{_SIGNS.get(state, '·')} {context.texts.get(f'states.{state}', state)}"


def _chance(context: PageContext, value: Any) -> str:
    """A p value; one too small to write is said to be."""
    if value is None:
        return ""
    smallest = 0.001
    return (
        f"<\u2009{context.formats.number(smallest, 3)}" if value < smallest else context.formats.number(float(value), 3)
    )


def _missing(context: PageContext, column: dict[str, Any]) -> str:
    """The share without a value: in the reference, and now."""
    before, now = column.get("missing_reference"), column.get("missing_current")
    shares = [context.formats.percent(float(share), 1) for share in (before, now) if share is not None]
    return " → ".join(shares)


def _now(context: PageContext, current: dict[str, Any]) -> None:
    t, f = context.texts, context.formats
    window, model = current.get("window") or {}, current.get("model") or {}
    st.markdown(f"### {_badge(context, str(current.get('state', '?')))}")
    if current.get("replay"):
        st.info(t("health.replay"), icon=":material/history:")
    st.markdown(
        t(
            "health.window",
            start=f.day(str(window.get("start", "?"))),
            end=f.day(str(window.get("end", "?"))),
            rows=f.number(int(current.get("rows", 0))),
            version=model.get("version", "?"),
        )
    )
    st.markdown("\n".join(f"- {reason}" for reason in causes.causes(context, current)))
    # A list and no table: on a phone a table hides why.
    checks = [
        f"- {_badge(context, str(check.get('state')))} **{causes.check_name(context, check)}**: "
        f"{causes.sentence(context, check, str(check.get('explanation', '')))}"
        for check in current.get("checks", [])
    ]
    if checks:
        st.header(t("health.checks"), anchor=False)
        st.markdown("\n".join(checks))


def _columns(context: PageContext, current: dict[str, Any]) -> None:
    t, f = context.texts, context.formats
    order = {"red": 0, "amber": 1}
    columns = sorted(
        current.get("columns", []), key=lambda each: (order.get(each.get("state"), 2), -(each.get("psi") or 0))
    )
    if not columns:
        return

    def figure(each: dict[str, Any], name: str) -> str:
        value = each.get(name)
        return "" if value is None else f.number(float(value), 3)

    st.header(t("health.columns"), anchor=False)
    rows = [
        {
            t("health.input"): causes.column(context, str(each.get("name"))),
            t("health.state"): _worded(context, str(each.get("state"))),
            t("health.note"): causes.note(context, each),
            "PSI": figure(each, "psi"),
            t("health.effect"): figure(each, "effect"),
            t("health.p_value"): _chance(context, each.get("p_value")),
            t("health.missing"): _missing(context, each),
        }
        for each in columns
    ]
    whole = {t("health.note"): st.column_config.TextColumn(width=_NOTE_WIDTH)}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=whole, alt=t("health.columns"))


def _over_time(context: PageContext, moments: list[dict[str, Any]]) -> None:
    t = context.texts
    st.header(t("health.over_time"), anchor=False)
    if len(moments) < 2:
        st.markdown(t("health.one_window"))
        return
    rows = [
        (str(moment.get("end")), causes.column(context, name), float(value))
        for moment in moments
        for name, value in (moment.get("psi") or {}).items()
    ]
    peaks: dict[str, float] = {}
    for _, name, value in rows:
        peaks[name] = max(value, peaks.get(name, 0.0))
    top = sorted(peaks, key=lambda name: -peaks[name])[:_LINES]
    charts.lines(context, [row for row in rows if row[1] in top], "PSI", "chart.psi")


def _versions(context: PageContext, moments: list[dict[str, Any]]) -> None:
    """Which version answered when, and how its windows went."""
    t = context.texts
    windows: dict[str, list[dict[str, Any]]] = {}
    for moment in moments:
        windows.setdefault(str(moment.get("version", "?")), []).append(moment)
    if not windows:
        return
    st.header(t("health.versions"), anchor=False)
    rows = [
        {
            t("health.version"): version,
            t("health.first"): context.formats.day(min(str(each.get("start")) for each in own)),
            t("health.last"): context.formats.day(max(str(each.get("end")) for each in own)),
            t("health.windows"): len(own),
            t("health.red_windows"): sum(each.get("state") == "red" for each in own),
            t("health.retrained"): sum(bool(each.get("retrained")) for each in own),
        }
        for version, own in windows.items()
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=t("health.versions"))


def _reports(context: PageContext, bucket: ReportBucket, moments: list[dict[str, Any]]) -> None:
    t = context.texts
    reports = [moment for moment in reversed(moments) if moment.get("report")]
    if not reports:
        return
    st.header(t("health.reports"), anchor=False)
    # A link from a drift run names its report; only one that is listed is opened.
    linked = [place for place, moment in enumerate(reports) if moment["report"] == st.query_params.get("report")]
    choice = st.selectbox(
        t("health.report"),
        range(len(reports)),
        index=linked[0] if linked else None,
        format_func=lambda place: (
            t(
                "health.report_name",
                start=context.formats.day(str(reports[place].get("start"))),
                end=context.formats.day(str(reports[place].get("end"))),
                version=reports[place].get("version"),
                state=t.get(f"states.{reports[place].get('state')}", "?"),
            )
            + (t("health.report_replay") if reports[place].get("replay") else "")
        ),
        placeholder=t("health.report_choose"),
        key="health.report",
    )
    if choice is None:
        return
    try:
        content = bucket.read(str(reports[choice]["report"]))
    except ApiError as error:
        st.error(t(f"health.{error.code}"), icon=":material/error:")
        return
    if content is None:
        st.warning(t("health.report_gone"), icon=":material/warning:")
        return
    st.download_button(
        t("health.report_download"),
        content,
        file_name="drift-report.html",
        mime="text/html",
        on_click="ignore",
        key="report",
    )
    st.iframe(content.decode("utf-8", errors="replace"), height=900, alt=t("health.report"))
