"""A batch's results: figures, charts, table, and the partner's own file with the scores added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import pandas as pd
import streamlit as st

from service.contract import BANDS, PROBABILITY_COLUMNS, CreditClass, Score
from ui.batches import results
from ui.batches.sheet import Sheet
from ui.components import charts, tally
from ui.components.gauge import COLOURS
from ui.session import PageContext

as_csv = results.as_csv
_EXCEL: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_NOT_SHOWN: Final = [*PROBABILITY_COLUMNS, "model_version", "warnings"]


@dataclass(frozen=True)
class OwnFile:
    """A partner's file, with what is wrong with the rows that were left out."""

    sheet: Sheet
    problems: Mapping[int, str]


def show(
    context: PageContext,
    answers: Mapping[int, Score],
    numbers: Sequence[int],
    refs: Sequence[str | None],
    own: OwnFile | None,
) -> None:
    """Everything about the answers that have come back; with the partner's `own` file where it is still here."""
    t = context.texts
    st.header(t("outcome.title"), anchor=False)
    _figures(context, answers)
    frame = results.table(answers, numbers, refs, t)
    _downloads(context, frame, own)
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{t('outcome.distribution')}**")
        charts.distribution(context, [score.score for score in answers.values()])
        st.markdown(f"**{t('outcome.bands')}**")
        counts = results.bands(answers)
        names = {band: t.option(f"band_{band}") for band, _, _ in reversed(BANDS)}
        colours = {names[band]: COLOURS[band] for band in names}
        tally.show(context, {names[band]: counts[band] for band in names}, len(answers), colours)
    with right:
        st.markdown(f"**{t('outcome.reasons')}**")
        tally.show(context, results.top_reasons(answers, t.language), len(answers))
    _table(context, frame)


def _downloads(context: PageContext, frame: pd.DataFrame, own: OwnFile | None) -> None:
    t = context.texts
    if own is None:
        st.caption(t("outcome.without_file"))
    whole = results.joined(own.sheet, frame, own.problems) if own is not None else frame
    what = "own" if own is not None else "scores"
    with st.container(horizontal=True):
        st.download_button(
            t(f"outcome.download_{what}_csv"),
            lambda: as_csv(whole, t.language),
            file_name="scores.csv",
            mime="text/csv",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
            key="scores.csv",
        )
        st.download_button(
            t(f"outcome.download_{what}_xlsx"),
            lambda: results.as_excel(whole),
            file_name="scores.xlsx",
            mime=_EXCEL,
            icon=":material/download:",
            on_click="ignore",
            key="scores.xlsx",
        )


def _figures(context: PageContext, answers: Mapping[int, Score]) -> None:
    t, f = context.texts, context.formats
    scores = list(answers.values())
    counts = results.bands(answers)
    figures = (
        (t("outcome.rows"), f.number(len(scores))),
        (t("outcome.mean"), f.number(fmean(score.score for score in scores))),
        (t("outcome.good"), f.percent(counts[CreditClass.GOOD] / len(scores))),
        (t("outcome.poor"), f.percent(counts[CreditClass.POOR] / len(scores))),
        (t("outcome.borderline"), f.number(sum(score.borderline for score in scores))),
    )
    with st.container(horizontal=True):
        for label, value in figures:
            st.metric(label, value, width="content", border=True)
    versions = sorted({score.model.version for score in scores})
    if len(versions) > 1:
        st.warning(t("outcome.mixed", versions=", ".join(versions)), icon=":material/warning:")


def _table(context: PageContext, frame: pd.DataFrame) -> None:
    t = context.texts
    selection = st.pills(
        t("outcome.filter"),
        [band.value for band, _, _ in reversed(BANDS)],
        selection_mode="multi",
        format_func=lambda band: t.option(f"band_{band}"),
        key="outcome.bands",
    )
    rows = frame[frame["band"].isin(selection)] if selection else frame
    st.caption(t.plural("outcome.shown", len(rows), rows=context.formats.number(len(rows))))
    table = rows.assign(
        band=[t.option(f"band_{band}") for band in rows["band"]],
        predicted_class=[t.option(f"class_{name}") for name in rows["predicted_class"]],
    ).drop(columns=_NOT_SHOWN)
    if "prediction_set" in table:
        table["prediction_set"] = [classes_left(context, classes) for classes in rows["prediction_set"]]
    empty = [name for name in ("customer_ref", "risk_grade") if table[name].isna().all()]
    table = table.drop(columns=empty)
    names = {column: t(f"columns.{column}") for column in table.columns}
    st.dataframe(table.rename(columns=names), hide_index=True, alt=t("outcome.title"))


def classes_left(context: PageContext, names: object) -> str:
    """The classes that an answer leaves open, as the table holds them, in words; none where the model tells none."""
    return context.texts.either([f"class_{name}" for name in names.split("|")]) if isinstance(names, str) else ""
