"""The model that answers: card, figures by quarter with intervals, fairness, calibration. From `GET /v1/model` alone.

The manifest may be older or newer than this page: each part that is absent is said to be, nothing is made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import pandas as pd
import streamlit as st

from service.contract import CreditClass
from ui.api.errors import ApiError
from ui.components import charts, model_summary, problem
from ui.session import PageContext

_MAIN_METRICS: Final = ("accuracy", "macro_f1", "auc_ovr", "ece", "severe_error_rate")


def show(context: PageContext) -> None:
    """The page."""
    t = context.texts
    try:
        with st.spinner(t("model.wait")):
            reply = context.client.model()
    except ApiError as error:
        context.remember_error(error)
        problem.show(context, error)
        st.button(t("problem.again"), key="model.again")
        return
    manifest = reply.value
    _identity(context, manifest)
    model_summary.show(context, manifest)
    with st.expander(t("model.depth"), icon=":material/science:", key="fold.depth"):
        _depth(context, manifest)


def _depth(context: PageContext, manifest: Mapping[str, Any]) -> None:
    """What engineers and auditors look for."""
    t = context.texts
    card, figures, fairness, calibration, origin = st.tabs(
        [t("model.card"), t("model.figures"), t("model.fairness"), t("model.calibration"), t("model.origin")]
    )
    with card:
        _card(context, manifest)
    with figures:
        _figures(context, manifest)
    with fairness:
        _fairness(context, manifest)
    with calibration:
        _calibration(context, manifest)
    with origin:
        _origin(context, manifest)


def _identity(context: PageContext, manifest: Mapping[str, Any]) -> None:
    t = context.texts
    moment = _moment(context, manifest.get("created_at"))
    st.markdown(t("model.identity", version=str(manifest.get("version", "?")), moment=moment))
    approval = _mapping(manifest, "approval")
    if approval:
        _approval(context, approval)
    else:
        st.warning(t("model.no_approval"), icon=":material/gpp_maybe:")


def _approval(context: PageContext, approval: Mapping[str, Any]) -> None:
    t = context.texts
    # A partner learns that a person decided and when; who it was is for staff.
    by = str(approval.get("reviewer") or t("model.a_person")) if context.for_staff else t("model.a_person")
    verdict = t.get(f"verdicts.{approval.get('verdict')}", str(approval.get("verdict", "?")))
    text = t("model.approved", reviewer=by, verdict=verdict, moment=_moment(context, approval.get("at")))
    st.success(text, icon=":material/verified_user:")
    override = _mapping(approval, "override")
    if override:
        st.warning(
            t(
                "model.override",
                checks=", ".join(map(str, override.get("checks", []))),
                reason=str(override.get("reason", "?")),
                expires=str(override.get("expires", "?")),
            ),
            icon=":material/report:",
        )


def _card(context: PageContext, manifest: Mapping[str, Any]) -> None:
    text = manifest.get("model_card")
    if not text:
        _absent(context, "model.card")
        return
    st.markdown(context.texts("model.card_note"))
    st.download_button(
        context.texts("model.card_download"),
        str(text),
        file_name=f"model-card-{manifest.get('version', '')}.md",
        mime="text/markdown",
        icon=":material/download:",
        on_click="ignore",
        key="card.md",
    )


def _figures(context: PageContext, manifest: Mapping[str, Any]) -> None:
    t = context.texts
    slices = {name: part for name, part in _mapping(manifest, "slices").items() if isinstance(part, Mapping)}
    if not slices:
        _absent(context, "model.figures")
    else:
        names = sorted({metric for part in slices.values() for metric in part}, key=_importance_of)
        choice = st.selectbox(
            t("model.metric"), names, format_func=lambda name: _metric_name(context, name), key="metric"
        )
        rows = [
            (t.get(f"slices.{name}", name), *_estimate(part[choice])) for name, part in slices.items() if choice in part
        ]
        charts.intervals(context, rows, _metric_name(context, choice), "chart.metric")
        st.caption(t("model.intervals_note"))
        with st.expander(t("model.all_figures")):
            st.dataframe(_table(context, slices, names), alt=t("model.all_figures"))
    importance = _mapping(manifest, "importance")
    if importance:
        st.header(t("model.importance"), anchor=False)
        total = sum(importance.values()) or 1.0
        shares = {t.label(name): round(100 * value / total, 1) for name, value in importance.items()}
        charts.bars(context, shares, t("model.importance_axis"), "chart.importance")


def _fairness(context: PageContext, manifest: Mapping[str, Any]) -> None:
    fairness = _mapping(manifest, "fairness")
    if not fairness:
        _absent(context, "model.fairness")
        return
    t = context.texts
    st.markdown(t("model.fairness_note"))
    groups = [group for group in fairness.get("groups") or [] if isinstance(group, Mapping)]
    for attribute in dict.fromkeys(str(group.get("attribute", "?")) for group in groups):
        _attribute(context, attribute, [group for group in groups if str(group.get("attribute", "?")) == attribute])
    if fairness.get("too_small"):
        st.caption(t("model.too_small", groups=", ".join(map(str, fairness["too_small"]))))
    proxy = fairness.get("age_proxy_auc")
    if isinstance(proxy, int | float):
        st.markdown(t("model.age_proxy", auc=context.formats.number(proxy, 2)))
    for name, part in fairness.items():
        if name not in ("groups", "too_small", "age_proxy_auc") or (name == "groups" and not groups):
            _other_fairness(context, name, part)


def _attribute(context: PageContext, attribute: str, groups: list[Mapping[str, Any]]) -> None:
    """One attribute's groups: the ratio the 0.8 rule speaks of as a picture, the rest as a table."""
    t = context.texts
    title = t.get(f"groups_by.{attribute}", attribute)
    st.header(title, anchor=False)
    ratios = [
        (t.get(f"group_names.{group.get('group')}", str(group.get("group"))), *_estimate(group["impact_not_poor"]))
        for group in groups
        if "impact_not_poor" in group
    ]
    if ratios:
        charts.intervals(context, ratios, t("fairness.impact_not_poor"), f"chart.fairness.{attribute}", threshold=0.8)
    rows = [
        {t.get(f"fairness.{name}", name): _cell(context, value) for name, value in group.items() if name != "attribute"}
        for group in groups
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=title)


def _cell(context: PageContext, value: Any) -> str:
    if isinstance(value, Mapping | float):
        figure, low, high = _estimate(value)
        text = context.formats.number(figure, 3)
        whole = (
            text
            if low is None or high is None
            else f"{text} [{context.formats.number(low, 3)}; {context.formats.number(high, 3)}]"
        )
        return whole.replace("-", "−")
    return (
        context.formats.number(value)
        if isinstance(value, int)
        else context.texts.get(f"group_names.{value}", str(value))
    )


def _other_fairness(context: PageContext, name: str, part: Any) -> None:
    """What a newer or older manifest holds besides, as it stands."""
    title = context.texts.get(f"groups_by.{name}", name.replace("_", " "))
    table = _as_table(part)
    if table is None:
        st.markdown(f"**{title}**: {part}")
    else:
        st.markdown(f"**{title}**")
        st.dataframe(table, alt=title)


def _calibration(context: PageContext, manifest: Mapping[str, Any]) -> None:
    knots = manifest.get("calibration")
    if not isinstance(knots, list) or len(knots) != len(CreditClass) or not all(knots):
        _absent(context, "model.calibration")
        return
    t = context.texts
    rows = [
        (t.option(f"class_{band}"), place / (len(row) - 1), float(value))
        for band, row in zip(CreditClass, knots, strict=True)
        for place, value in enumerate(row)
    ]
    charts.correction(context, rows)
    st.caption(t("model.calibration_note"))
    ece = _mapping(manifest, "metrics").get("ece")
    if isinstance(ece, int | float):
        st.markdown(t("model.ece", ece=context.formats.percent(ece, 1)))


def _origin(context: PageContext, manifest: Mapping[str, Any]) -> None:
    t, f = context.texts, context.formats
    data = _mapping(manifest, "data")
    facts = {
        "digest": manifest.get("digest"),
        "created": _moment(context, manifest.get("created_at")),
        "revision": manifest.get("git_revision"),
        "source": data.get("source"),
        "rows": f.number(data["rows"]) if data.get("rows") else None,
        "customers": f.number(data["customers"]) if data.get("customers") else None,
        "data_digest": data.get("sha256"),
        "libraries": ", ".join(f"{name} {version}" for name, version in _mapping(manifest, "libraries").items()),
    }
    for name, value in facts.items():
        if value:
            st.markdown(
                f"**{t(f'origin.{name}')}**: `{value}`" if "digest" in name else f"**{t(f'origin.{name}')}**: {value}"
            )


def _absent(context: PageContext, part: str) -> None:
    st.info(context.texts("model.absent", part=context.texts(part)), icon=":material/info:")


def _mapping(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = tree.get(name)
    return dict(part) if isinstance(part, Mapping) else {}


def _estimate(part: Any) -> tuple[float, float | None, float | None]:
    if isinstance(part, Mapping):
        return float(part["value"]), part.get("low"), part.get("high")
    return float(part), None, None


def _table(context: PageContext, slices: Mapping[str, Mapping[str, Any]], names: list[str]) -> pd.DataFrame:
    rows = {
        context.texts.get(f"slices.{title}", title): {
            _metric_name(context, name): _cell(context, part[name]) if name in part else "" for name in names
        }
        for title, part in slices.items()
    }
    return pd.DataFrame(rows)


def _as_table(part: Any) -> pd.DataFrame | None:
    """Groups with their figures as a table, whatever the nesting; None for a single value."""
    if isinstance(part, Mapping) and part:
        if all(isinstance(group, Mapping) for group in part.values()):
            return pd.DataFrame({name: _flat(group) for name, group in part.items()}).T
        return pd.DataFrame({"": _flat(part)})
    if isinstance(part, list) and part and all(isinstance(group, Mapping) for group in part):
        return pd.DataFrame([_flat(group) for group in part])
    return None


def _flat(group: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in group.items():
        if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
            flat[name] = f"{value['value']:.3f} [{value['low']:.3f}; {value['high']:.3f}]"
        elif isinstance(value, Mapping):
            flat |= {f"{name}: {inner}": each for inner, each in _flat(value).items()}
        else:
            flat[name] = f"{value:.3f}" if isinstance(value, float) else str(value)
    return flat


def _metric_name(context: PageContext, name: str) -> str:
    return context.texts.get(f"metrics.{name}", name)


def _importance_of(name: str) -> tuple[int, str]:
    return (_MAIN_METRICS.index(name) if name in _MAIN_METRICS else len(_MAIN_METRICS), name)


def _moment(context: PageContext, value: Any) -> str:
    try:
        return context.formats.moment(datetime.fromisoformat(str(value)))
    except ValueError:
        return "?"
