"""The drift reference of a model: unseen customers' rows with the answers the packed model gives them.

It travels in the package (`reference.parquet`), so what production answers is always compared with the very model
that answered; packing takes its golden applicants from it. The columns are those of stored predictions, plus `label`,
`customer`, a number that rows of one customer share, and each row as a known customer's, for golden applicants: the
classes of the customer's earlier months, the day that follows from the row's month, and the score it then has.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bentos.packing.golden_requests import KNOWN_AS_OF, KNOWN_CLASSES, KNOWN_SCORE, LONG_AGO
from flows.learning.known_features import AGES
from flows.learning.prepared_data import FIELDS
from flows.learning.rows import columns
from service.contract import MAX_PREVIOUS_CLASSES, PROBABILITY_COLUMNS, Basis, CreditClass, PreviousClass
from service.engine.packed_model import PackedModel
from service.score import observed_classes
from service.score.features import history, matrix
from service.score.policy import CLASSES, GRADES, grade_many, rounded_many
from service.score.reasons import CATALOGUE

_DAY: Final = 28  # every month has it


def reference_frame(package: Path, unseen: pd.DataFrame) -> pd.DataFrame:
    """The rows of `unseen` as stored predictions of the model packed in `package`, in order.

    Args:
        package: an assembled package.
        unseen: clean rows of customers that the model did not learn from, with `label`, null where unknown.
    """
    frame = unseen.loc[:, [*FIELDS, "label"]].reset_index(drop=True)
    frame["customer"] = pd.factorize(unseen["customer_id"])[0]  # which rows belong together, and nobody's id
    months = unseen["month"].to_numpy(np.int64).tolist()
    frame[KNOWN_AS_OF] = [_day(month).isoformat() for month in months]
    frame[KNOWN_CLASSES] = _earlier_classes(frame["customer"].tolist(), months, frame["label"])
    return answered_again(PackedModel.load(package), frame)


def answered_again(model: PackedModel, reference: pd.DataFrame) -> pd.DataFrame:
    """The rows of a reference (contract fields, `label`, `customer`) with the answers that `model` gives them.

    The reference of an earlier release has no known customers; it stays without.
    """
    known = [name for name in (KNOWN_AS_OF, KNOWN_CLASSES) if name in reference]
    frame = reference.loc[:, [*FIELDS, "label", "customer", *known]].copy()
    values = columns(frame)
    answers = model.assess_arrays(matrix(values), reasons=True)
    grades = grade_many(rounded_many(answers.probabilities[:, 0]), model.manifest.grade_borders)
    frame["score"] = answers.score.astype("int64")
    frame["band"] = [str(CLASSES[place]) for place in answers.band]
    frame["predicted_class"] = [str(CLASSES[place]) for place in answers.predicted_class]
    for place, name in enumerate(PROBABILITY_COLUMNS):
        frame[name] = answers.probabilities[:, place]
    frame["borderline"] = answers.borderline
    frame["basis"] = str(Basis.APPLICANT)
    frame["risk_grade"] = [str(GRADES[place]) for place in grades]
    frame["reasons"] = ["|".join(CATALOGUE[number].code for number in row if number >= 0) for row in answers.numbers]
    if known:
        histories = [history(*one) for one in zip(*_observed(frame), strict=True)]
        as_known = model.assess_arrays(matrix({**values, "history": np.array(histories)}))
        frame[KNOWN_SCORE] = as_known.score.astype("int64")
    return frame


def _observed(frame: pd.DataFrame) -> tuple[list[observed_classes.Observed], list[date]]:
    """What was observed of each row as a known customer's, and the day it is asked for."""
    days = [date.fromisoformat(text) for text in frame[KNOWN_AS_OF]]
    return [observed_classes.from_text(text, day) for text, day in zip(frame[KNOWN_CLASSES], days, strict=True)], days


def _day(month: int) -> date:
    return LONG_AGO.replace(month=month, day=_DAY)


def _earlier_classes(customers: list[int], months: list[int], labels: pd.Series) -> list[str]:
    """The classes of each row's customer in earlier months, the last of them as old as the customer's turn has it."""
    by_customer: dict[int, dict[int, str]] = {}
    for customer, month, label in zip(customers, months, labels, strict=True):
        if isinstance(label, str):
            by_customer.setdefault(customer, {})[month] = label
    return [
        _text(by_customer.get(customer, {}), month - AGES[customer % len(AGES)])
        for customer, month in zip(customers, months, strict=True)
    ]


def _text(classes: Mapping[int, str], last: int) -> str:
    """The latest classes up to a month, as `previous_classes` stand in a row."""
    chosen = sorted(month for month in classes if month <= last)[-MAX_PREVIOUS_CLASSES:]
    return observed_classes.as_text(
        [PreviousClass(observed_class=CreditClass(classes[month]), observed_at=_day(month)) for month in chosen]
    )
