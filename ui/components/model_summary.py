"""The model on one screen, for whoever decides with it: what it is for, how often it is right, for whom, and where not.

Every figure is of customers the model had not seen, out of the manifest; a part that the manifest lacks is left out.
What is said in a sentence stands open; the tables and pictures behind it are folded, so that a phone shows the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import streamlit as st

from service.contract import Basis, CreditClass
from ui.components import charts
from ui.components.gauge import COLOURS
from ui.session import PageContext

_USES: Final = ("decide", "explain", "review")
_NOT_USES: Final = ("alone", "other_purposes", "groups", "other_data", "default")
_QUARTERS: Final = ("quarter_1", "quarter_2", "quarter_3")
_BASES: Final = ("pooled", "known_1_month", "known_2_to_3_months", "known_longer")
_FAIR_FROM: Final = 0.8  # the four-fifths rule


def show(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """The screen."""
    _right(context, manifest)
    left, right = st.columns(2, gap="large")
    with left:
        _bullets(context, "summary.uses", [f"summary.use_{name}" for name in _USES])
    with right:
        _bullets(context, "summary.not_uses", [f"summary.not_{name}" for name in _NOT_USES])
    left, right = st.columns(2, gap="large")
    with left:
        _accuracies(context, manifest, "summary.bases", _BASES)
        _fairness(context, manifest)
    with right:
        _truth(context, manifest)
        _accuracies(context, manifest, "summary.quarters", _QUARTERS)
    _standings(context, manifest, "score_steps")
    _standings(context, manifest, "grades")
    _reliability(context, manifest)


def _bullets(context: PageContext, title: str, keys: Sequence[str]) -> None:
    st.header(context.texts(title), anchor=False)
    st.markdown("\n".join(f"- {context.texts(key)}" for key in keys))


def _right(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """How often the class is right, with its interval, and how often it is badly wrong."""
    t, f = context.texts, context.formats
    pooled = (manifest.get("slices") or {}).get("pooled") or {}
    accuracy, severe = pooled.get("accuracy"), pooled.get("severe_error_rate")
    if not accuracy:
        return
    span = {name: f.percent(float(accuracy[name])) for name in ("low", "high")}
    st.markdown(f"## {t('summary.right', tenths=f.number(round(10 * float(accuracy['value']))))}")
    st.markdown(t("summary.right_note", share=f.percent(float(accuracy["value"])), **span))
    if severe:
        st.markdown(t("summary.severe", count=f.number(100 * float(severe["value"]), 0)))


def _standings(context: PageContext, manifest: Mapping[str, Any], part: str) -> None:
    """Rows by step of the score, or by grade: how many, and which classes the bureau gave them."""
    rows = (manifest.get(part) or {}).get("pooled") or []
    if not rows:
        return
    t, f = context.texts, context.formats
    markup = ""
    for row in rows:
        classes = {band: row["classes"].get(band.value) or {} for band in CreditClass}
        shares = {band: float(each.get("value", 0.0)) for band, each in classes.items()}
        parts = "".join(
            f'<i style="width:{100 * share:.1f}%;background:{COLOURS[band]}"></i>' for band, share in shares.items()
        )
        labels = ", ".join(
            f"<span>{escape(t.option(f'class_{band}'))} {escape(_share(context, each))}</span>"
            for band, each in classes.items()
        )
        share_of_all = t("summary.of_all", share=f.percent(float(row["share"])))
        markup += (
            f'<div class="qf-stand"><b>{escape(_step_name(context, str(row["name"])))}</b>'
            f'<span class="qf-parts">{parts}</span>'
            f'<span class="qf-classes">{labels}</span><span class="qf-all">{escape(share_of_all)}</span></div>'
        )
    with st.expander(t(f"summary.{part}"), key=f"fold.{part}"):
        st.caption(t(f"summary.{part}_note"))
        st.html(markup)
        if part == "grades":
            _outcomes(context, manifest)


def grade_outcomes(manifest: Mapping[str, Any]) -> list[tuple[str, float, float, float, float, float]]:
    """By grade the probability of Poor that it stands for (from, to), and the share seen (share, low, high)."""
    rows, borders = (manifest.get("grades") or {}).get("pooled") or [], manifest.get("grade_borders") or []
    if not rows or len(rows) != len(borders) + 1:
        return []
    ends = [0.0, *map(float, borders), 1.0]
    grades = []
    for row, low, high in zip(rows, ends[:-1], ends[1:], strict=True):
        poor = row["classes"].get(CreditClass.POOR.value)
        if poor and row["rows"]:
            grades.append((str(row["name"]), low, high, float(poor["value"]), float(poor["low"]), float(poor["high"])))
    return grades


def _truth(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """Draw what the model said beside what came true on unseen customers: by grade, and a line for each basis."""
    t, f = context.texts, context.formats
    rows = grade_outcomes(manifest)
    slices = manifest.get("slices") or {}
    errors = [(name, slices[name]["ece"]) for name in _BASES if (slices.get(name) or {}).get("ece")]
    if not rows and not errors:
        return
    st.header(t("summary.truth"), anchor=False)
    if rows:
        outside = [name for name, low, high, _, least, most in rows if least > high or most < low]
        some = t("summary.truth_some", grades=", ".join(outside))
        st.markdown(some if outside else t("summary.truth_all", count=len(rows)))
    lines = [
        t(
            "summary.truth_error",
            name=t("summary.basis_pooled") if name == "pooled" else t.get(f"slices.{name}", name),
            share=f.percent(float(part["value"]), 1),
            low=f.percent(float(part["low"]), 1),
            high=f.percent(float(part["high"]), 1),
        )
        for name, part in errors
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))


def _outcomes(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """What was said of each grade and what was seen, as a picture."""
    rows = grade_outcomes(manifest)
    if rows:
        st.markdown(f"**{context.texts('summary.truth')}**")
        charts.grade_outcomes(context, rows)
        st.caption(context.texts("summary.truth_note"))


def _reliability(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """By class, what was told against what came, of new customers and of known ones."""
    t, reliability = context.texts, manifest.get("reliability") or {}
    by_basis = {str(basis): reliability[basis] for basis in Basis if reliability.get(basis)}
    if not by_basis:
        return
    lines = []
    for basis, classes in by_basis.items():
        bins = [each for one in classes.values() for each in one]
        hits = sum(each["seen"]["low"] <= each["told"] <= each["seen"]["high"] for each in bins)
        lines.append(t("summary.reliability_held", name=t(f"summary.of_{basis}"), held=hits, bins=len(bins)))
    with st.expander(t("summary.reliability"), key="fold.reliability"):
        st.caption(t("summary.reliability_note"))
        st.markdown("\n".join(f"- {line}" for line in lines))
        for column, name in zip(st.columns(len(CreditClass)), CreditClass, strict=True):
            rows = [
                (t(f"summary.of_{basis}"), each["told"], *(each["seen"][part] for part in ("value", "low", "high")))
                for basis, classes in by_basis.items()
                for each in classes.get(name) or []
            ]
            title = t("summary.reliability_of", name=t.option(f"class_{name}"))
            with column:
                st.markdown(f"**{title}**")
                charts.reliability(context, rows, title, f"chart.reliability.{name}")


def _share(context: PageContext, estimate: Mapping[str, Any]) -> str:
    """A share with its 95 % interval."""
    f = context.formats
    value, low, high = (estimate.get(name) for name in ("value", "low", "high"))
    text = f.percent(float(value or 0.0))
    return text if low is None or high is None else f"{text} ({f.percent(float(low))}–{f.percent(float(high))})"


def _step_name(context: PageContext, name: str) -> str:
    """`301-400` in the reader's own figures; a grade is its letter."""
    ends = name.replace("–", "-").split("-")
    if len(ends) != 2 or not all(end.strip().isdigit() for end in ends):
        return name
    return "–".join(context.formats.number(int(end)) for end in ends)


def _accuracies(context: PageContext, manifest: Mapping[str, Any], title: str, names: tuple[str, ...]) -> None:
    """How often it is right on each of these choices of customers: what differs is said, not averaged away."""
    t, f = context.texts, context.formats
    slices = manifest.get("slices") or {}
    rows = [(name, slices[name]["accuracy"]) for name in names if (slices.get(name) or {}).get("accuracy")]
    if not rows or rows[0][0] == rows[-1][0] == "pooled":
        return
    st.header(t(title), anchor=False)
    lines = [
        t(
            "summary.quarter",
            name=t("summary.basis_pooled") if name == "pooled" else t.get(f"slices.{name}", name),
            share=f.percent(float(part["value"])),
            low=f.percent(float(part["low"])),
            high=f.percent(float(part["high"])),
        )
        for name, part in rows
    ]
    st.markdown("\n".join(f"- {line}" for line in lines))


def _fairness(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """One sentence an attribute: the group treated worst, and whether a person should look."""
    t, f = context.texts, context.formats
    groups = [each for each in (manifest.get("fairness") or {}).get("groups") or [] if isinstance(each, Mapping)]
    lines = []
    for attribute in dict.fromkeys(str(each.get("attribute", "?")) for each in groups):
        ratios = {
            str(each.get("group")): float(each["impact_not_poor"]["value"])
            for each in groups
            if str(each.get("attribute", "?")) == attribute and isinstance(each.get("impact_not_poor"), Mapping)
        }
        if not ratios:
            continue
        worst = min(ratios, key=ratios.__getitem__)
        key = "summary.fair" if ratios[worst] >= _FAIR_FROM else "summary.look"
        name = t.get(f"group_names.{worst}", worst)
        title = t.get(f"groups_by.{attribute}", attribute)
        lines.append(t(key, attribute=title, group=name, share=f.percent(ratios[worst])))
    if lines:
        st.header(t("model.fairness"), anchor=False)
        st.markdown("\n".join(f"- {line}" for line in [t("summary.no_inputs"), *lines]))
