"""A small packed model whose manifest tells what was measured of it, so that the page Model has something to draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from flows.learning import grades, reliability
from flows.learning.model_metrics import LabelledAnswers, by_slice, judge
from flows.review import fairness
from service.contract import Basis
from service.engine.packed_model import PackedModel
from service.score import features
from service.score.manifest import Manifest
from tests.factories import applicant_columns, pack_small_model

_ROWS = 2_400
_DRAWS = 60


def pack_measured_model(folder: Path) -> None:
    """Packs the model and measures it on generated applicants whom it did not learn from."""
    pack_small_model(folder)
    model = PackedModel.load(folder)
    columns, classes = applicant_columns(_ROWS, seed=1)
    said = model.assess_arrays(features.matrix(columns)).probabilities
    place = np.arange(_ROWS)
    answers = LabelledAnswers(classes, said, place // 4, model.manifest.grade_borders)
    parts = {
        name: place % 3 == turn
        for names in (("quarter_1", "quarter_2", "quarter_3"), ("known_1_month", "known_2_to_3_months", "known_longer"))
        for turn, name in enumerate(names)
    }
    figures = {"pooled": judge(answers, _DRAWS)} | by_slice(answers, parts, _DRAWS)
    groups = {
        "age": np.array(["18-24", "25-34", "35-49", "50+"], object)[place % 4],
        "occupation": np.array(["Lawyer", "Teacher"], object)[place % 2],
    }
    report = fairness.audit(answers, groups, _DRAWS, age_proxy_auc=0.61)
    kinds = {Basis.APPLICANT: answers, Basis.KNOWN_CUSTOMER: answers.where(parts["known_1_month"])}
    fields = Manifest.read(folder).model_dump() | {
        "metrics": {name: one.value for name, one in figures["pooled"].items()},
        "slices": {name: {key: one.model_dump() for key, one in part.items()} for name, part in figures.items()},
        "grades": grades.by_slice(answers, {}),
        "score_steps": grades.by_slice(answers, {}, "score"),
        "reliability": {basis: reliability.by_class(one) for basis, one in kinds.items()},
        "fairness": json.loads(report.model_dump_json()),
    }
    Manifest.model_validate(fields).write(folder)
