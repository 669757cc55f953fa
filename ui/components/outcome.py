"""A batch's results: figures, charts, table, download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import pandas as pd
import streamlit as st

from service.contract import PROBABILITY_COLUMNS, CreditClass, Score
from ui.batches import results
from ui.components import charts
from ui.session import Desk

as_csv = results.as_csv


def show(desk: Desk, answers: Mapping[int, Score], numbers: Sequence[int], refs: Sequence[str | None]) -> None:
    """Everything about the answers that have come back."""
    t = desk.texts
    st.header(t("outcome.title"), anchor=False)
    _figures(desk, answers)
    frame = results.table(answers, numbers, refs, t)
    st.download_button(
        t("outcome.download"),
        lambda: as_csv(frame, t.language),
        file_name="scores.csv",
        mime="text/csv",
        type="primary",
        icon=":material/download:",
        on_click="ignore",
        key="scores.csv",
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('outcome.distribution')}**")
        charts.distribution(desk, [score.score for score in answers.values()])
    with right:
        st.markdown(f"**{t('outcome.bands')}**")
        counted = {t.option(f"band_{band}"): count for band, count in results.bands(answers).items()}
        charts.shares(desk, counted, t("outcome.bands"), "chart.bands")
    st.markdown(f"**{t('outcome.reasons')}**")
    charts.shares(desk, results.top_reasons(answers, t.language), t("outcome.reasons"), "chart.reasons")
    _table(desk, frame)


def _figures(desk: Desk, answers: Mapping[int, Score]) -> None:
    t, f = desk.texts, desk.formats
    scores = list(answers.values())
    counted = results.bands(answers)
    figures = (
        (t("outcome.rows"), f.number(len(scores))),
        (t("outcome.mean"), f.number(fmean(score.score for score in scores))),
        (t("outcome.good"), f.percent(counted[CreditClass.GOOD] / len(scores))),
        (t("outcome.poor"), f.percent(counted[CreditClass.POOR] / len(scores))),
        (t("outcome.borderline"), f.number(sum(score.borderline for score in scores))),
    )
    with st.container(horizontal=True):
        for label, value in figures:
            st.metric(label, value, width="content", border=True)
    versions = sorted({score.model.version for score in scores})
    if len(versions) > 1:
        st.warning(t("outcome.mixed", versions=", ".join(versions)), icon=":material/warning:")


def _table(desk: Desk, frame: pd.DataFrame) -> None:
    t = desk.texts
    shown = frame.assign(
        band=[t.option(f"band_{band}") for band in frame["band"]],
        predicted_class=[t.option(f"class_{name}") for name in frame["predicted_class"]],
    ).drop(columns=[*PROBABILITY_COLUMNS, "model_version", "warnings"])
    if shown["customer_ref"].isna().all():
        shown = shown.drop(columns=["customer_ref"])
    names = {column: t(f"columns.{column}") for column in shown.columns}
    st.dataframe(shown.rename(columns=names), hide_index=True, alt=t("outcome.title"))
