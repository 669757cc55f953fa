"""Charts: each with its own description for screen readers, axes in the reader's own number format, theme's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import altair as alt
import pandas as pd
import streamlit as st

from service.contract import BANDS, POOR_MAX, SCORE_MAX, STANDARD_MAX
from ui.components.gauge import COLOURS
from ui.session import PageContext
from ui.texts.brand import BAND_TINTS, GROUND, INK, ON_TINT, OWN_COLOUR

_HEIGHT: Final = 320
_LEGEND_ROW: Final = 20  # px
_BIN_POINTS: Final = 50
_NAME_MIDDLE: Final = 45  # points above a band's lower end at which the middle of its name stands
_NAME_SPAN: Final = 0.2  # of the chart's width that a band's name takes


def ink() -> str:
    """The colour of marks that belong to no series: the text's own, in the theme that the visitor sees."""
    return INK[st.context.theme.type or "light"]


def ground_colour() -> str:
    """The page's own ground in the theme that the visitor sees."""
    return GROUND[st.context.theme.type or "light"]


def _draw(context: PageContext, chart: Any, description: str, key: str) -> None:
    # The description says it all, in the page's language: Vega's own of marks, axes and legends are English.
    styled = chart.configure(
        locale={"number": _locale(context)},
        mark=alt.MarkConfig(aria=False),
        axis=alt.AxisConfig(aria=False),
        legend=alt.LegendConfig(aria=False),
    )
    st.altair_chart(styled, width="stretch", alt=description, key=key)


def _locale(context: PageContext) -> dict[str, Any]:
    """D3's description of how the language writes numbers."""
    points = context.texts.language == "pt"
    return {
        "decimal": "," if points else ".",
        "thousands": "." if points else ",",
        "grouping": [3],
        "currency": [f"{context.formats.currency_sign} ", ""],
    }


def distribution(context: PageContext, scores: Sequence[int]) -> None:
    """How many rows have which score, coloured by band."""
    t = context.texts
    table = pd.DataFrame({"score": scores})
    table["bin"] = (table["score"].clip(upper=SCORE_MAX - 1) // _BIN_POINTS) * _BIN_POINTS
    counts = table.groupby("bin", as_index=False).agg(rows=("score", "size"))
    counts["end"] = counts["bin"] + _BIN_POINTS
    counts["band"] = [_band_name(context, value + _BIN_POINTS / 2) for value in counts["bin"]]
    chart = (
        alt.Chart(counts)
        .mark_bar()
        .encode(
            x=alt.X("bin:Q", bin="binned", title=t("charts.score"), scale=alt.Scale(domain=[0, SCORE_MAX])),
            x2="end:Q",
            y=alt.Y("rows:Q", title=t("charts.rows")),
            color=_band_colour(context),
            tooltip=[
                alt.Tooltip("bin:Q", title=t("charts.from")),
                alt.Tooltip("end:Q", title=t("charts.to")),
                alt.Tooltip("rows:Q", title=t("charts.rows")),
            ],
        )
        .properties(height=_HEIGHT)
    )
    _draw(context, chart, t("charts.distribution_alt", rows=context.formats.number(len(scores))), "chart.distribution")


def curve(context: PageContext, points: Sequence[tuple[float, int]], axis: str, here: tuple[float, int] | None) -> None:
    """The score along one input over the bands it crosses, the applicant's own place marked and named."""
    t, f = context.texts, context.formats
    table = pd.DataFrame(points, columns=["value", "score"])
    tips = [alt.Tooltip("value:Q", title=axis, format=",~r"), alt.Tooltip("score:Q", title=t("charts.score"))]
    x = alt.X(
        "value:Q",
        title=axis,
        scale=alt.Scale(zero=False, nice=False),
        axis=alt.Axis(format=",~r", tickMinStep=tick_step([value for value, _ in points])),
    )
    y = alt.Y(
        "score:Q",
        title=t("charts.score"),
        scale=alt.Scale(domain=[0, SCORE_MAX]),
        axis=alt.Axis(grid=False),
    )
    line = alt.Chart(table).mark_line(point=True, strokeWidth=3, color=ink())
    grounds, names = _bands(context, points)
    marks = [mark.encode(x=x, y=y, tooltip=tips) for mark in (line, *_own_place(context, here))]
    layers = [*grounds, marks[0], *names, *marks[1:]]
    low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
    description = t(
        "charts.curve_alt",
        axis=axis,
        low=f.number(low[1]),
        at_low=f.plain(low[0]),
        high=f.number(high[1]),
        at_high=f.plain(high[0]),
    )
    _draw(context, alt.layer(*layers).properties(height=360), description, "chart.curve")


def _own_place(context: PageContext, here: tuple[float, int] | None) -> list[Any]:
    """A mark at the applicant's own place, and its name above it; nothing where there is none."""
    if here is None:
        return []
    own = alt.Chart(pd.DataFrame([(*here, context.texts("whatif.here"))], columns=["value", "score", "name"]))
    dot = own.mark_point(size=260, filled=True, shape="diamond", color=OWN_COLOUR, opacity=1, stroke=ink())
    names = [  # the rim first, so that the curve does not run through it
        own.mark_text(dy=-18, fontSize=13, fontWeight="bold", color=ink(), stroke=rim, strokeWidth=width)
        for rim, width in ((ground_colour(), 5), (ink(), 0))
    ]
    return [dot, *(name.encode(text="name:N") for name in names)]


def _bands(context: PageContext, points: Sequence[tuple[float, int]]) -> tuple[list[Any], list[Any]]:
    """The three bands as grounds, for a chart whose y is the score, and their names, to be drawn over the curve."""
    rows = [
        (low, high, low + _NAME_MIDDLE, context.texts.option(f"band_{band}"), COLOURS[band], clear_end(points, low))
        for band, low, high in BANDS
    ]
    table = pd.DataFrame(rows, columns=["low", "high", "middle", "name", "colour", "end"])
    ground = (
        alt.Chart(table).mark_rect(opacity=0.16).encode(y="low:Q", y2="high:Q", color=alt.Color("colour:N", scale=None))
    )
    edges = alt.Chart(pd.DataFrame({"score": [POOR_MAX + 0.5, STANDARD_MAX + 0.5]})).mark_rule(
        strokeDash=[5, 4], color=ink()
    )
    names = []
    sides: tuple[tuple[Literal["left", "right"], float | Literal["width"], int], ...] = (
        ("left", 0, 8),
        ("right", "width", -8),
    )
    for end, x, dx in sides:
        here = alt.Chart(table[table["end"] == end])
        for rim, width in ((ground_colour(), 5), (ink(), 0)):  # a rim first, so that no line runs through it
            mark = here.mark_text(
                align=end,
                dx=dx,
                x=x,
                fontWeight="bold",
                fontSize=13,
                color=ink(),
                stroke=rim,
                strokeWidth=width,
            )
            names.append(mark.encode(y="middle:Q", text="name:N"))
    return [ground, edges.encode(y="score:Q")], names


def tick_step(values: Sequence[float]) -> int:
    """The least way from tick to tick, 0 for any: where each value is whole nobody has half of it."""
    return int(all(float(value).is_integer() for value in values))


def clear_end(points: Sequence[tuple[float, int]], low: int) -> str:
    """The end ("left" or "right") where the curve keeps away from the name of the band that begins at `low`."""
    first, last = points[0][0], points[-1][0]
    reach = (last - first) * _NAME_SPAN

    def room(near: Sequence[tuple[float, int]]) -> int:
        return min(abs(score - low - _NAME_MIDDLE) for _, score in near)

    room_left = room([point for point in points if point[0] <= first + reach])
    return "left" if room_left > room([point for point in points if point[0] >= last - reach]) else "right"


def heat(
    context: PageContext,
    cells: Sequence[tuple[float, float, int]],
    axes: tuple[str, str],
    here: tuple[float, float] | None,
) -> None:
    """The score over two inputs at once, each cell in its band's tint, the applicant's own cell framed."""
    t = context.texts
    rows = [(x, y, score, _band_name(context, score)) for x, y, score in cells]
    table = pd.DataFrame(rows, columns=["x", "y", "score", "band"])
    base = alt.Chart(table).encode(
        x=alt.X("x:O", title=axes[0], axis=alt.Axis(format=",~r", labelAngle=0, labelOverlap=True)),
        y=alt.Y("y:O", title=axes[1], sort="descending", axis=alt.Axis(format=",~r", labelOverlap=True)),
        tooltip=[
            alt.Tooltip("x:Q", title=axes[0]),
            alt.Tooltip("y:Q", title=axes[1]),
            alt.Tooltip("score:Q", title=t("charts.score")),
            alt.Tooltip("band:N", title=t("charts.band")),
        ],
    )
    names = [t.option(f"band_{band}") for band, _, _ in BANDS]
    tints = alt.Scale(domain=names, range=list(BAND_TINTS))
    legend = alt.Legend(orient="top")
    layers = [
        base.mark_rect().encode(color=alt.Color("band:N", title=t("charts.band"), scale=tints, legend=legend)),
        base.mark_text(fontSize=12, color=ON_TINT).encode(text="score:Q"),
    ]
    if here is not None:
        own = base.transform_filter((alt.datum.x == here[0]) & (alt.datum.y == here[1]))
        layers.append(own.mark_rect(fill=None, stroke=ON_TINT, strokeWidth=4))
    scores = [score for _, _, score in cells]
    low, high = context.formats.number(min(scores)), context.formats.number(max(scores))
    description = t("charts.heat_alt", across=axes[0], upward=axes[1], low=low, high=high)
    _draw(context, alt.layer(*layers).properties(height=420), description, "chart.heat")


def intervals(
    context: PageContext,
    rows: Sequence[tuple[str, float, float | None, float | None]],
    axis: str,
    key: str,
    threshold: float | None = None,
) -> None:
    """Figures with their 95 % intervals, one row a name; `threshold` is drawn as a dashed line."""
    t, table = context.texts, pd.DataFrame(rows, columns=["name", "value", "low", "high"])
    axis_x = alt.X("value:Q", title=axis, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8, labelOverlap=True))
    base = alt.Chart(table).encode(y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=240)))
    dots = base.mark_point(size=90, filled=True).encode(
        x=axis_x,
        tooltip=[
            alt.Tooltip("name:N", title=t("charts.group")),
            alt.Tooltip("value:Q", title=axis, format=".3f"),
            alt.Tooltip("low:Q", title=t("charts.from"), format=".3f"),
            alt.Tooltip("high:Q", title=t("charts.to"), format=".3f"),
        ],
    )
    spans = base.mark_rule(strokeWidth=2, color=ink()).encode(x="low:Q", x2="high:Q")
    layers = [spans, dots]
    if threshold is not None:
        mark = alt.Chart(pd.DataFrame({"value": [threshold]})).mark_rule(strokeDash=[5, 4], color=ink())
        layers.insert(0, mark.encode(x="value:Q"))
    description = "; ".join(f"{name}: {context.formats.number(value, 3)}" for name, value, _, _ in rows)
    _draw(context, alt.layer(*layers).properties(height=80 + 38 * len(rows)), f"{axis}. {description}", key)


def bars(context: PageContext, values: Mapping[str, float], axis: str, key: str) -> None:
    """Named figures as horizontal bars, longest first."""
    ordered = sorted(values.items(), key=lambda item: -item[1])
    table = pd.DataFrame(ordered, columns=["name", "value"])
    chart = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X("value:Q", title=axis),
            y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=260)),
            tooltip=[
                alt.Tooltip("name:N", title=context.texts("charts.group")),
                alt.Tooltip("value:Q", title=axis, format=",~r"),
            ],
        )
        .properties(height=80 + 26 * len(table))
    )
    description = "; ".join(f"{name}: {context.formats.plain(value)}" for name, value in ordered)
    _draw(context, chart, f"{axis}. {description}", key)


def lines(context: PageContext, rows: Sequence[tuple[str, str, float]], axis: str, key: str) -> None:
    """Named figures over days (ISO)."""
    table = pd.DataFrame(rows, columns=["day", "name", "value"])
    shape = "%d/%m/%Y" if context.texts.language == "pt" else "%-d %b %Y"
    # At most one tick a day: left alone, a short span repeats its few days at every sixth hour.
    days = alt.Axis(format=shape, tickCount="day", labelOverlap=True)
    legend = alt.Legend(orient="bottom", direction="vertical", labelLimit=0, symbolType="stroke")
    chart = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("day:T", title=None, axis=days),
            y=alt.Y("value:Q", title=axis),
            color=alt.Color("name:N", title=None, legend=legend),
            strokeDash=alt.StrokeDash("name:N", title=None, legend=None),
            tooltip=[
                alt.Tooltip("day:T", title=context.texts("charts.day"), format=shape),
                alt.Tooltip("name:N", title=context.texts("charts.group")),
                alt.Tooltip("value:Q", title=axis, format=".3f"),
            ],
        )
        .properties(height=_HEIGHT + _LEGEND_ROW * table["name"].nunique())
    )
    _draw(context, chart, context.texts("charts.lines_alt", axis=axis), key)


def grade_outcomes(context: PageContext, rows: Sequence[tuple[str, float, float, float, float, float]]) -> None:
    """By grade the probability of Poor that the model said (from, to), as a bar, and the share that was seen among
    customers it never saw (share, low, high), as a dot with its 95 % interval: on the bar it came true."""
    t = context.texts
    table = pd.DataFrame(rows, columns=["grade", "from", "to", "share", "low", "high"])
    percent = alt.Axis(format="%")
    base = alt.Chart(table).encode(
        x=alt.X("grade:N", sort=None, title=t("charts.grade"), axis=alt.Axis(labelAngle=0)),
        tooltip=[
            alt.Tooltip("grade:N", title=t("charts.grade")),
            alt.Tooltip("from:Q", title=t("charts.probability_from"), format=".1%"),
            alt.Tooltip("to:Q", title=t("charts.probability_to"), format=".1%"),
            alt.Tooltip("share:Q", title=t("charts.observed_share"), format=".1%"),
            alt.Tooltip("low:Q", title=t("charts.from"), format=".1%"),
            alt.Tooltip("high:Q", title=t("charts.to"), format=".1%"),
        ],
    )
    axis = alt.Y("from:Q", title=t("charts.share_of_poor"), scale=alt.Scale(domain=[0, 1]), axis=percent)
    ranges = base.mark_bar(size=44, color=OWN_COLOUR, opacity=0.3).encode(y=axis, y2="to:Q")
    spans = base.mark_rule(strokeWidth=2.5, color=ink()).encode(y="low:Q", y2="high:Q")
    dots = base.mark_point(size=110, filled=True, opacity=1, color=ink()).encode(y="share:Q")
    sentence = "; ".join(
        t(
            "charts.grade_outcomes_alt",
            grade=grade,
            low=context.formats.percent(low, 1),
            high=context.formats.percent(high, 1),
            share=context.formats.percent(share, 1),
        )
        for grade, low, high, share, _, _ in rows
    )
    _draw(context, alt.layer(ranges, spans, dots).properties(height=_HEIGHT), sentence, "chart.grade_outcomes")


def reliability(
    context: PageContext, rows: Sequence[tuple[str, float, float, float, float]], title: str, key: str
) -> None:
    """Of one class, what was told across and what came upward with its 95 % interval (name of the customers, told,
    seen, low, high); on the diagonal it came true."""
    t, f = context.texts, context.formats
    table = pd.DataFrame(rows, columns=["name", "told", "seen", "low", "high"])
    whole = alt.Scale(domain=[0, 1])
    axis = alt.Axis(format="%", tickCount=5)
    diagonal = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line(strokeDash=[5, 4], color=ink())
    names = list(dict.fromkeys(table["name"]))
    legend = alt.Legend(orient="top", direction="vertical", labelLimit=0)
    base = alt.Chart(table).encode(
        x=alt.X("told:Q", title=t("charts.told"), scale=whole, axis=axis),
        color=alt.Color(
            "name:N", title=None, scale=alt.Scale(domain=names, range=[OWN_COLOUR, ink()]), sort=names, legend=legend
        ),
        tooltip=[
            alt.Tooltip("name:N", title=t("charts.customers")),
            alt.Tooltip("told:Q", title=t("charts.told"), format=".1%"),
            alt.Tooltip("seen:Q", title=t("charts.seen"), format=".1%"),
            alt.Tooltip("low:Q", title=t("charts.from"), format=".1%"),
            alt.Tooltip("high:Q", title=t("charts.to"), format=".1%"),
        ],
    )
    upward = alt.Y("seen:Q", title=t("charts.seen"), scale=whole, axis=axis)
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        y=upward, shape=alt.Shape("name:N", title=None, sort=names, legend=legend)
    )
    spans = base.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q")
    layers = alt.layer(diagonal.encode(x="x:Q", y="x:Q"), spans, dots).properties(height=_HEIGHT + 60)
    sentence = "; ".join(
        t("charts.reliability_alt", name=name, told=f.percent(probability), seen=f.percent(share))
        for name, probability, share, _, _ in rows
    )
    _draw(context, layers, f"{title}. {sentence}", key)


def correction(context: PageContext, rows: Sequence[tuple[str, float, float]]) -> None:
    """What calibration makes of the model's own value, by class; on the diagonal nothing was corrected."""
    t = context.texts
    table = pd.DataFrame(rows, columns=["name", "before", "after"])
    names = [t.option(f"class_{band}") for band in COLOURS]
    colours = alt.Scale(domain=names, range=list(COLOURS.values()))
    legend = alt.Legend(orient="top", symbolType="stroke")
    diagonal = alt.Chart(pd.DataFrame({"x": [0, 1]})).mark_line(strokeDash=[5, 4], color=ink()).encode(x="x:Q", y="x:Q")
    marks = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            x=alt.X("before:Q", title=t("charts.before"), axis=alt.Axis(format="%")),
            y=alt.Y("after:Q", title=t("charts.after"), axis=alt.Axis(format="%")),
            color=alt.Color("name:N", title=None, sort=names, scale=colours, legend=legend),
            strokeDash=alt.StrokeDash("name:N", title=None, sort=names, legend=legend),
        )
    )
    _draw(context, (diagonal + marks).properties(height=320), t("charts.correction_alt"), "chart.correction")


def _band_name(context: PageContext, points: float) -> str:
    band = next(band for band, _, high in BANDS if points <= high)
    return context.texts.option(f"band_{band}")


def _band_colour(context: PageContext) -> alt.Color:
    names = [context.texts.option(f"band_{band}") for band, _, _ in BANDS]
    return alt.Color(
        "band:N",
        title=context.texts("charts.band"),
        scale=alt.Scale(domain=names, range=[COLOURS[band] for band, _, _ in BANDS]),
        legend=alt.Legend(orient="top"),
    )
