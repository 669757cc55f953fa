"""A batch's answers as a table: for the screen, the charts and the file to download. No input of an applicant in it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import openpyxl
import pandas as pd
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from service.contract import PROBABILITY_COLUMNS, CreditClass, Score
from ui.batches.sheet import Sheet
from ui.texts.wording import Texts

ADDED: Final = "qf_"  # before the names of the columns added to a partner's own


def table(
    answers: Mapping[int, Score], numbers: Sequence[int], refs: Sequence[str | None], texts: Texts
) -> pd.DataFrame:
    """One row an answer, in the file's order: row number, own reference, score, band, class, shares, reasons, ids."""
    rows = []
    for place in sorted(answers):
        score = answers[place]
        rows.append(
            {
                "row": numbers[place],
                "customer_ref": refs[place] if place < len(refs) else None,
                "score": score.score,
                "band": score.band.value,
                "risk_grade": score.risk_grade.value if score.risk_grade else None,
                "predicted_class": score.predicted_class.value,
                **{
                    column: round(getattr(score.probabilities, name), 6)
                    for column, name in zip(PROBABILITY_COLUMNS, CreditClass, strict=True)
                },
                "borderline": score.borderline,
                "prediction_set": "|".join(score.prediction_set) if score.prediction_set else None,
                "reasons": " | ".join(getattr(reason.text, texts.language) for reason in score.reasons),
                "warnings": "|".join(score.warnings),
                "prediction_id": score.prediction_id,
                "model_version": score.model.version,
            }
        )
    frame = pd.DataFrame(rows)
    with_sets = any(score.prediction_set for score in answers.values())
    return frame if with_sets else frame.drop(columns="prediction_set", errors="ignore")


def joined(sheet: Sheet, frame: pd.DataFrame, problems: Mapping[int, str]) -> pd.DataFrame:
    """The partner's own file, every row and column as it came, with the answers added, or by row why there is none."""
    own = pd.DataFrame(list(sheet.rows), columns=list(sheet.columns), dtype=str)
    added = frame.drop(columns=["customer_ref"]).set_index("row").add_prefix(ADDED)
    # Beside a row without an answer an integer would become a fraction: a score of 700.0 in the partner's file.
    added = added.astype({name: "Int64" for name in added.columns if pd.api.types.is_integer_dtype(added[name])})
    whole = own.join(added.reindex(list(sheet.numbers)).reset_index(drop=True))
    if problems:
        whole[f"{ADDED}problem"] = [problems.get(number) for number in sheet.numbers]
    return whole


def as_excel(frame: pd.DataFrame) -> bytes:
    """A workbook in which a cell's text is text: what begins with = in a partner's file is no formula here."""
    book = openpyxl.Workbook(write_only=True)
    page = book.create_sheet("scores")
    page.append(list(frame.columns))
    for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False):
        page.append([_cell(page, value) for value in row])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _cell(page: Any, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(page, ILLEGAL_CHARACTERS_RE.sub("", value))
    cell.data_type = "s"
    return cell


def as_csv(frame: pd.DataFrame, language: str) -> bytes:
    """A CSV file as a spreadsheet of the language opens it: Portuguese takes ; and a decimal comma."""
    separator, decimal = (";", ",") if language == "pt" else (",", ".")
    return frame.to_csv(index=False, sep=separator, decimal=decimal).encode("utf-8-sig")


def bands(answers: Mapping[int, Score]) -> dict[CreditClass, int]:
    """How many answers lie in each band."""
    counts = Counter(score.band for score in answers.values())
    return {band: counts[band] for band in CreditClass}


def top_reasons(answers: Mapping[int, Score], language: str, most: int = 8) -> dict[str, int]:
    """The commonest reasons in words, with how many applicants each was named for."""
    counts: Counter[str] = Counter()
    words: dict[str, str] = {}
    for score in answers.values():
        for reason in score.reasons:
            counts[reason.code] += 1
            words[reason.code] = getattr(reason.text, language)
    return {words[code]: count for code, count in counts.most_common(most)}
