"""A batch's answers as a table: for the screen, the charts and the file to download. No input of an applicant in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from service.contract import PROBABILITY_COLUMNS, CreditClass, Score
from ui.texts.wording import Texts


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
                "predicted_class": score.predicted_class.value,
                **{
                    column: round(getattr(score.probabilities, name), 6)
                    for column, name in zip(PROBABILITY_COLUMNS, CreditClass, strict=True)
                },
                "borderline": score.borderline,
                "reasons": " | ".join(getattr(reason.text, texts.language) for reason in score.reasons),
                "warnings": "|".join(score.warnings),
                "prediction_id": score.prediction_id,
                "model_version": score.model.version,
            }
        )
    return pd.DataFrame(rows)


def as_csv(frame: pd.DataFrame, language: str) -> bytes:
    """A CSV file as a spreadsheet of the language opens it: Portuguese takes ; and a decimal comma."""
    separator, decimal = (";", ",") if language == "pt" else (",", ".")
    return frame.to_csv(index=False, sep=separator, decimal=decimal).encode("utf-8-sig")


def bands(answers: Mapping[int, Score]) -> dict[CreditClass, int]:
    """How many answers lie in each band."""
    counted = Counter(score.band for score in answers.values())
    return {band: counted[band] for band in CreditClass}


def top_reasons(answers: Mapping[int, Score], language: str, most: int = 8) -> dict[str, int]:
    """The commonest reasons in words, with how many applicants each was named for."""
    counted: Counter[str] = Counter()
    words: dict[str, str] = {}
    for score in answers.values():
        for reason in score.reasons:
            counted[reason.code] += 1
            words[reason.code] = getattr(reason.text, language)
    return {words[code]: count for code, count in counted.most_common(most)}
