"""The drift reference of a model: unseen customers' rows with the answers the packed model gives them.

It travels in the package (`reference.parquet`), so what production answers is always compared with the very model
that answered; packing takes its golden applicants from it. The columns are those of stored predictions, plus `label`
and `customer`, a number that rows of one customer share.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flows.learning.prepared_data import FIELDS
from flows.learning.rows import columns
from service.contract import PROBABILITY_COLUMNS, Basis
from service.engine.packed_model import PackedModel
from service.score.features import matrix
from service.score.policy import CLASSES, GRADES, grade_many, rounded_many
from service.score.reasons import CATALOGUE


def reference_frame(package: Path, unseen: pd.DataFrame) -> pd.DataFrame:
    """The rows of `unseen` as stored predictions of the model packed in `package`, in order.

    Args:
        package: an assembled package.
        unseen: clean rows of customers that the model did not learn from, with `label`, null where unknown.
    """
    frame = unseen.loc[:, [*FIELDS, "label"]].reset_index(drop=True)
    frame["customer"] = pd.factorize(unseen["customer_id"])[0]  # which rows belong together, and nobody's id
    return answered_again(PackedModel.load(package), frame)


def answered_again(model: PackedModel, reference: pd.DataFrame) -> pd.DataFrame:
    """The rows of a reference (contract fields, `label`, `customer`) with the answers that `model` gives them."""
    frame = reference.loc[:, [*FIELDS, "label", "customer"]].copy()
    answers = model.assess_arrays(matrix(columns(frame)), reasons=True)
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
    return frame
