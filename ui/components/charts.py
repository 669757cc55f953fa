"""Charts: each with its own description for screen readers, axes in the reader's own number format, theme's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import altair as alt
import pandas as pd
import streamlit as st

from service.contract import SCORE_MAX
from ui.components.gauge import BANDS, COLOURS
from ui.session import Desk

_HEIGHT: Final = 320
_BIN_POINTS: Final = 50


def _draw(desk: Desk, chart: Any, description: str, key: str) -> None:
    with_locale = chart.configure(locale={"number": _locale(desk)})
    st.altair_chart(with_locale, width="stretch", alt=description, key=key)


def _locale(desk: Desk) -> dict[str, Any]:
    """D3's description of how the language writes numbers."""
    points = desk.texts.language == "pt"
    return {
        "decimal": "," if points else ".",
        "thousands": "." if points else ",",
        "grouping": [3],
        "currency": [f"{desk.formats.currency_sign} ", ""],
    }


def distribution(desk: Desk, scores: Sequence[int]) -> None:
    """How many rows have which score, coloured by band."""
    t = desk.texts
    table = pd.DataFrame({"score": scores})
    table["bin"] = (table["score"].clip(upper=SCORE_MAX - 1) // _BIN_POINTS) * _BIN_POINTS
    counts = table.groupby("bin", as_index=False).agg(rows=("score", "size"))
    counts["end"] = counts["bin"] + _BIN_POINTS
    counts["band"] = [_band_name(desk, value + _BIN_POINTS / 2) for value in counts["bin"]]
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            x=alt.X("bin:Q", bin="binned", title=t("charts.score"), scale=alt.Scale(domain=[0, SCORE_MAX])),
            x2="end:Q",
            y=alt.Y("rows:Q", title=t("charts.rows")),
            color=_band_colour(desk),
            tooltip=[
                alt.Tooltip("bin:Q", title=t("charts.from")),
                alt.Tooltip("end:Q", title=t("charts.to")),
                alt.Tooltip("rows:Q", title=t("charts.rows")),
            ],
        )
        .properties(height=_HEIGHT)
    )
    _draw(desk, chart, t("charts.distribution_alt", rows=desk.formats.number(len(scores))), "chart.distribution")


def shares(desk: Desk, counts: Mapping[str, int], title: str, key: str) -> None:
    """Named counts as horizontal bars, longest first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    table = pd.DataFrame(ordered, columns=["name", "rows"])
    chart = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("rows:Q", title=desk.texts("charts.rows")),
            y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
            tooltip=[alt.Tooltip("name:N", title=title), alt.Tooltip("rows:Q", title=desk.texts("charts.rows"))],
        )
        .properties(height=80 + 38 * len(table))
    )
    spoken = "; ".join(f"{name}: {desk.formats.number(rows)}" for name, rows in ordered)
    _draw(desk, chart, f"{title}. {spoken}", key)


def curve(desk: Desk, points: Sequence[tuple[float, int]], axis: str, here: tuple[float, int] | None) -> None:
    """The score along one input, with the applicant's own place marked."""
    t, f = desk.texts, desk.formats
    table = pd.DataFrame(points, columns=["value", "score"])
    limits = pd.DataFrame({"score": [300.5, 700.5]})
    line = (
        alt.Chart(table)
        .mark_line(point=True, interpolate="step-after" if len(points) < 3 else "linear")
        .encode(
            x=alt.X("value:Q", title=axis, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("score:Q", title=t("charts.score"), scale=alt.Scale(domain=[0, SCORE_MAX])),
            tooltip=[alt.Tooltip("value:Q", title=axis), alt.Tooltip("score:Q", title=t("charts.score"))],
        )
    )
    rules = alt.Chart(limits).mark_rule(strokeDash=[5, 4], opacity=0.7).encode(y="score:Q")
    layers = [rules, line]
    if here is not None:
        own = alt.Chart(pd.DataFrame([here], columns=["value", "score"]))
        layers.append(
            own.mark_point(size=180, filled=True, shape="diamond", color=COLOURS[BANDS[0][0]], opacity=1).encode(
                x="value:Q", y="score:Q", tooltip=alt.value(t("whatif.here"))
            )
        )
    low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
    spoken = t(
        "charts.curve_alt",
        axis=axis,
        low=f.number(low[1]),
        at_low=f.plain(low[0]),
        high=f.number(high[1]),
        at_high=f.plain(high[0]),
    )
    _draw(desk, alt.layer(*layers).properties(height=340), spoken, "chart.curve")


def heat(desk: Desk, cells: Sequence[tuple[float, float, int]], across: str, upward: str) -> None:
    """The score over two inputs at once."""
    t = desk.texts
    table = pd.DataFrame(cells, columns=["x", "y", "score"])
    base = alt.Chart(table).encode(
        x=alt.X("x:O", title=across, axis=alt.Axis(format=",~r", labelAngle=0, labelOverlap=True)),
        y=alt.Y("y:O", title=upward, sort="descending", axis=alt.Axis(format=",~r", labelOverlap=True)),
        tooltip=[
            alt.Tooltip("x:Q", title=across),
            alt.Tooltip("y:Q", title=upward),
            alt.Tooltip("score:Q", title=t("charts.score")),
        ],
    )
    chart = base.mark_rect().encode(
        color=alt.Color("score:Q", title=t("charts.score"), scale=alt.Scale(scheme="viridis", domain=[0, SCORE_MAX]))
    )
    figures = base.mark_text(fontSize=11).encode(
        text="score:Q",
        color=alt.condition(alt.datum.score > 550, alt.value("#101828"), alt.value("#FFFFFF")),
    )
    found = [score for _, _, score in cells]
    spoken = t(
        "charts.heat_alt",
        across=across,
        upward=upward,
        low=desk.formats.number(min(found)),
        high=desk.formats.number(max(found)),
    )
    _draw(desk, (chart + figures).properties(height=420), spoken, "chart.heat")


def intervals(
    desk: Desk,
    rows: Sequence[tuple[str, float, float | None, float | None]],
    axis: str,
    key: str,
    threshold: float | None = None,
) -> None:
    """Figures with their 95 % intervals, one row a name; `threshold` is drawn as a dashed line."""
    table = pd.DataFrame(rows, columns=["name", "value", "low", "high"])
    axis_x = alt.X("value:Q", title=axis, scale=alt.Scale(zero=False))
    base = alt.Chart(table).encode(y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=240)))
    dots = base.mark_point(size=90, filled=True).encode(
        x=axis_x,
        tooltip=[
            "name:N",
            alt.Tooltip("value:Q", format=".3f"),
            alt.Tooltip("low:Q", format=".3f"),
            alt.Tooltip("high:Q", format=".3f"),
        ],
    )
    spans = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q")
    layers = [spans, dots]
    if threshold is not None:
        mark = alt.Chart(pd.DataFrame({"value": [threshold]})).mark_rule(strokeDash=[5, 4])
        layers.insert(0, mark.encode(x="value:Q"))
    spoken = "; ".join(f"{name}: {desk.formats.number(value, 3)}" for name, value, _, _ in rows)
    _draw(desk, alt.layer(*layers).properties(height=80 + 38 * len(rows)), f"{axis}. {spoken}", key)


def bars(desk: Desk, values: Mapping[str, float], axis: str, key: str) -> None:
    """Named figures as horizontal bars, longest first."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    table = pd.DataFrame(ordered, columns=["name", "value"])
    chart = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=axis),
            y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
            tooltip=["name:N", "value:Q"],
        )
        .properties(height=80 + 26 * len(table))
    )
    spoken = "; ".join(f"{name}: {desk.formats.plain(value)}" for name, value in ordered)
    _draw(desk, chart, f"{axis}. {spoken}", key)


def lines(desk: Desk, rows: Sequence[tuple[str, str, float]], axis: str, key: str) -> None:
    """Named figures over days (ISO)."""
    table = pd.DataFrame(rows, columns=["day", "name", "value"])
    shape = "%d/%m" if desk.texts.language == "pt" else "%m-%d"
    # At most one tick a day: left alone, a short span repeats its few days at every sixth hour.
    days = alt.Axis(format=shape, tickCount="day", labelOverlap=True)
    chart = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("day:T", title=None, axis=days),
            y=alt.Y("value:Q", title=axis),
            color=alt.Color("name:N", title=None, legend=alt.Legend(orient="bottom", columns=2)),
            strokeDash=alt.StrokeDash("name:N", title=None, legend=None),
            tooltip=["day:T", "name:N", alt.Tooltip("value:Q", format=".3f")],
        )
        .properties(height=_HEIGHT)
    )
    _draw(desk, chart, desk.texts("charts.lines_alt", axis=axis), key)


def reliability(desk: Desk, rows: Sequence[tuple[str, float, float]]) -> None:
    """Predicted against observed share by class; on the diagonal a probability means what it says."""
    t = desk.texts
    table = pd.DataFrame(rows, columns=["name", "predicted", "observed"])
    diagonal = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line(strokeDash=[5, 4], opacity=0.7).encode(x="x:Q", y="x:Q")
    drawn = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("predicted:Q", title=t("charts.predicted"), axis=alt.Axis(format="%")),
            y=alt.Y("observed:Q", title=t("charts.observed"), axis=alt.Axis(format="%")),
            color=alt.Color("name:N", title=None),
            strokeDash=alt.StrokeDash("name:N", title=None),
        )
    )
    _draw(desk, (diagonal + drawn).properties(height=320), t("charts.reliability_alt"), "chart.reliability")


def _band_name(desk: Desk, points: float) -> str:
    band = next(band for band, _, high in BANDS if points <= high)
    return desk.texts.option(f"band_{band}")


def _band_colour(desk: Desk) -> alt.Color:
    names = [desk.texts.option(f"band_{band}") for band, _, _ in BANDS]
    return alt.Color(
        "band:N",
        title=desk.texts("charts.band"),
        scale=alt.Scale(domain=names, range=[COLOURS[band] for band, _, _ in BANDS]),
        legend=alt.Legend(orient="top"),
    )
