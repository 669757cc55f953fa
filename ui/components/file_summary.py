"""What was understood of a file, for the visitor to confirm: its layout, its columns with examples, and what to ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pandas as pd
import streamlit as st

from service.lexicon.limits import ReadOptions
from service.lexicon.understanding import Ambiguity, Understanding
from ui.session import PageContext

_ASKED: Final = ("decimal", "days")  # what a visitor can decide; the rest is put right in the file


def layout(context: PageContext, understanding: Understanding) -> str:
    """The layout in one sentence."""
    t = context.texts
    read, columns_known = understanding.rows_read, len(understanding.columns)
    parts = [t.plural("understood.rows", read, rows=context.formats.number(read), columns=columns_known)]
    if understanding.delimiter:
        parts.append(t("understood.delimiter", name=t(f"marks.{_NAMES[understanding.delimiter]}")))
    if understanding.decimal:
        parts.append(t("understood.decimal", name=t(f"marks.{_NAMES[understanding.decimal]}")))
    if understanding.header_line > 1:
        parts.append(t("understood.header", line=understanding.header_line))
    return "; ".join(parts) + "."


def columns(context: PageContext, understanding: Understanding) -> None:
    """Each column with its field, an example as it stands and as it was understood, and what stays unread."""
    t = context.texts
    rows = []
    for column in understanding.columns:
        example = next((each for each in column.examples if each.meaning is not None), None)
        rows.append(
            {
                t("understood.column"): column.name,
                t("batch.field"): t.label(column.field),
                t("understood.written"): example.text if example else "",
                t("understood.meant"): _plain_text(context, example.meaning) if example else "",
                t("understood.unknown"): context.formats.number(column.unknown_cells),
                t("understood.unread"): context.formats.number(column.unread_cells),
            }
        )
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt=t("understood.title"))


def ask(context: PageContext, understanding: Understanding, options: ReadOptions, mark: str) -> ReadOptions | None:
    """The options with the visitor's answers to what the file does not tell; None while one is missing."""
    open_ones = {each.code: each for each in understanding.ambiguities if each.code in _ASKED}
    answers: dict[str, Any] = {}
    for code, each in open_ones.items():
        answers[code] = _question(context, each, f"understood.{mark}.{code}")
    if any(answer is None for answer in answers.values()):
        return None
    return replace(options, **answers) if answers else options


def _question(context: PageContext, each: Ambiguity, key: str) -> Any:
    return st.radio(
        context.texts(f"understood.ask_{each.code}", written=each.text, column=each.column, line=each.line),
        list(each.readings),
        index=None,
        format_func=lambda reading: _plain_text(context, each.readings[reading]),
        horizontal=True,
        key=key,
    )


def _plain_text(context: PageContext, plain: str | None) -> str:
    """A plain value as a reader of the page writes it."""
    try:
        return context.formats.exact(float(plain or ""))
    except ValueError:
        return context.formats.day(plain or "") if _is_day(plain or "") else context.texts.option(plain or "")


def _is_day(text: str) -> bool:
    return len(text) == len("2026-01-31") and text[4:5] == "-"


_NAMES: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", ".": "point"}
