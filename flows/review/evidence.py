"""What a training measures for the release checks, and the comparison with a champion on the same rows.

Pure: rows and models in, evidence out. What cannot be measured stays None, and its check fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.cleaning.gates import Measure
from flows.cleaning.schemas import clean_schema, hold
from flows.errors import ContractBroken
from flows.learning import grades, reliability
from flows.learning.calibration import calibrate, table
from flows.learning.certainty import certainty, stress, thresholds
from flows.learning.fit import Learned, Parameters, fit_models, folds, uncalibrated
from flows.learning.known_features import AGES, doubled, known_by
from flows.learning.model_metrics import (
    Figures,
    LabelledAnswers,
    calibration_noise,
    compare,
    judge,
    poor_rate_by_band,
    score_psi,
)
from flows.learning.prepared_data import FIELDS, PreparedData, before, by_quarter, contract_columns, during
from flows.learning.rows import QUARTER_MONTHS, Rows, columns, rows_of
from flows.review import fairness
from flows.review.fairness import FairnessReport
from flows.review.known_customers import DRAWS, answers_by_group, joined
from flows.review.known_customers import report as known_report
from flows.review.reason_quality import judge_reasons
from flows.review.release_evidence import DataEvidence, Evidence, RepairedReport
from flows.review.stability import StabilityReport, stability
from flows.review.weak_segments import search_weak_segments
from service.contract import PROBABILITY_COLUMNS, Basis, CreditClass
from service.engine.packed_model import PackedModel
from service.score import policy
from service.score.features import matrix

OUT_OF_TIME = "out_of_time"
REPAIRED = "repaired"
PROBABILITIES = PROBABILITY_COLUMNS
_BORDERS = "grade_borders"
_KINDS = {Basis.APPLICANT: "unknown", Basis.KNOWN_CUSTOMER: "known"}


def data_evidence(data: PreparedData) -> DataEvidence:
    """What is known of the prepared data."""
    frame = pd.concat([data.train, data.unseen], ignore_index=True)
    shares = data.train["label"].value_counts(normalize=True)
    return DataEvidence(
        schema_valid=_holds(frame),
        rows=int(data.train["label"].notna().sum()),
        class_shares={str(name): float(share) for name, share in shares.items()},
        shared_customers=len(set(data.train["customer_id"]) & set(data.unseen["customer_id"])),
        sha256=data.sha256,
        untelling_fields=tuple(name for name in FIELDS if data.train[name].nunique(dropna=True) < 2),
        gates=None if data.gates is None else tuple(_figure(one) for one in data.gates),
    )


def _figure(record: Mapping[str, Any]) -> Measure:
    """A gate's figure without the texts that were not read: they are cells."""
    return Measure.model_validate({**record, "commonest_unread": []})


def _holds(frame: pd.DataFrame) -> bool:
    try:
        hold(clean_schema(labelled=True), frame)
    except ContractBroken:
        return False
    return True


def answers_of(model: PackedModel, frame: pd.DataFrame) -> LabelledAnswers:
    """What the packed model says of the labelled rows of `frame`, in order."""
    rows = rows_of(frame)
    probabilities = model.assess_arrays(rows.features).probabilities
    return LabelledAnswers(rows.labels, probabilities, rows.customers, model.manifest.grade_borders)


def repaired(data: PreparedData, learned: Learned) -> LabelledAnswers:
    """Answers to the unseen customers' rows with the gaps filled that their own past tells."""
    rows = rows_of(data.repaired)
    return LabelledAnswers(rows.labels, learned.probabilities(rows.features), rows.customers, learned.grade_borders)


def out_of_time(
    data: PreparedData, parameters: Parameters, borders: tuple[float, ...] = policy.GRADE_BORDERS
) -> dict[str, LabelledAnswers]:
    """Answers to unseen customers' last months by a model of this recipe that learned from earlier months alone.

    Calibrated on the latest of those earlier quarters, by a model of half the customers on the other half. Of unknown
    customers first (`out_of_time`), then of those whose last class is of one age. Empty if there are no earlier months
    or no labelled later rows.
    """
    earlier, later = before(data.train, data.out_of_time_months), during(data.unseen, data.out_of_time_months)
    if earlier.empty or later.labels.size == 0:
        return {}
    rows = rows_of(earlier)
    halves = [rows.where(part) for part in next(folds(rows.customers, 2, parameters.seed))]
    model, half = fit_models([doubled(part, parameters.seed) for part in (rows, halves[0])], parameters)

    def sharpness(part: Rows) -> float:
        return calibrate(uncalibrated(half, part.features, parameters), part)

    def answers(part: Rows, power: float) -> LabelledAnswers:
        probabilities = policy.calibrated_many(uncalibrated(model, part.features, parameters), table(power))
        return LabelledAnswers(part.labels, probabilities, part.customers, borders)

    result = {OUT_OF_TIME: answers(later, sharpness(halves[1]))}
    known_power = sharpness(_of_age(halves[1], AGES[0]))
    unseen = rows_of(data.unseen)
    for age in AGES:
        known = _of_age(unseen, age)
        chosen = np.isin(known.months, data.out_of_time_months)
        if chosen.any():
            result[f"{OUT_OF_TIME}_known_{age}"] = answers(known.where(chosen), known_power)
    return result


def _of_age(rows: Rows, age: int) -> Rows:
    """The rows as known customers', those whose last class is exactly of this age."""
    known, exact = known_by(rows, age)
    return known.where(exact)


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a label, in order: those that answers are about."""
    return frame[frame["label"].notna()]


def fairness_of(data: PreparedData, answers: LabelledAnswers) -> FairnessReport:
    """The audit by age group and occupation on unseen customers."""
    frame = labelled(data.unseen)
    groups = fairness.attributes(frame)
    proxy = fairness.proxy_auc(matrix(columns(frame)), groups["age"], answers.customers)
    return fairness.audit(answers, groups, age_proxy_auc=proxy if np.isfinite(proxy) else None)


def stability_of(data: PreparedData, model: PackedModel) -> StabilityReport:
    """How scores and reasons of unseen customers move under perturbation."""
    unseen = contract_columns(data.unseen)
    reasons = judge_reasons(model, unseen)
    return stability(
        lambda features: model.assess_arrays(features).score.astype(np.int64), unseen, reasons.raises, reasons.stable
    )


def in_folds(data: PreparedData, learned: Learned) -> LabelledAnswers:
    """Answers to the customers learned from, each by a model of the same recipe that never saw the customer."""
    rows = rows_of(data.train)
    probabilities = policy.calibrated_many(learned.out_of_fold, learned.calibration)
    return LabelledAnswers(rows.labels, probabilities, rows.customers, learned.grade_borders)


def quarters_of_all(data: PreparedData) -> dict[str, NDArray[np.bool_]]:
    """Rows of each calendar quarter among all customers' labelled rows: those learned from, then those set aside."""
    months = np.concatenate([rows_of(data.train).months, rows_of(data.unseen).months])
    return by_quarter((months - 1) // QUARTER_MONTHS + 1)


def severe_error_rate(*answers: LabelledAnswers) -> float:
    """Share of all rows whose class was Poor for Good or Good for Poor."""
    missed = np.concatenate([np.abs(part.classes - part.labels) for part in answers])
    return float((missed == policy.CLASSES.index(CreditClass.GOOD)).mean())


def alone(
    data: PreparedData, model: PackedModel, learned: Learned, answers: LabelledAnswers, figures: dict[str, Figures]
) -> Evidence:
    """Evidence about the challenger itself, without any comparison: set-aside customers' answers, and the folds'."""
    in_turn = in_folds(data, learned)
    everyone = in_turn.beside(answers)
    slices = quarters_of_all(data)
    known = answers_by_group(rows_of(data.train), rows_of(data.unseen), learned)
    kinds = {Basis.APPLICANT: everyone}
    if known:
        kinds[Basis.KNOWN_CUSTOMER] = joined([ours for ours, _ in known.values()])
    return Evidence(
        data=data_evidence(data),
        pooled=figures["pooled"],
        repaired=RepairedReport(
            rows=len(labelled(data.repaired)), rows_as_served=len(answers.labels), figures=figures[REPAIRED]
        )
        if REPAIRED in figures
        else None,
        severe_error_rate=severe_error_rate(in_turn, answers),
        calibration_noise=calibration_noise(everyone.where(list(slices.values())[-1])),
        ece={place: judge(everyone.where(rows), DRAWS)["ece"] for place, rows in slices.items()}
        | ({OUT_OF_TIME: figures[OUT_OF_TIME]["ece"]} if OUT_OF_TIME in figures else {}),
        known={name: known_report(*pair) for name, pair in known.items()},
        poor_rate_by_band=poor_rate_by_band(answers),
        grades=grades.by_slice(everyone, slices),
        score_steps=grades.by_slice(everyone, slices, "score"),
        reliability={basis: reliability.by_class(rows_of_kind) for basis, rows_of_kind in kinds.items()},
        fairness=fairness_of(data, answers),
        stability=stability_of(data, model),
        size_bytes=model.manifest.size_bytes,
        certainty={_KINDS[basis]: certainty(rows_of_kind) for basis, rows_of_kind in kinds.items()}
        | {name: certainty(ours) for name, (ours, _) in known.items()},
        set_thresholds={basis: thresholds(rows_of_kind) for basis, rows_of_kind in kinds.items()},
        stress=stress(model, columns(data.unseen)),
        weak=search_weak_segments(everyone, columns(pd.concat([labelled(data.train), labelled(data.unseen)]))),
    )


def compared(
    evidence: Evidence, champion: int, pooled: Iterable[LabelledAnswers | None], later: Iterable[LabelledAnswers | None]
) -> Evidence:
    """The evidence with its comparisons: challenger first, then champion (or, for champion 0, the yardstick).

    A pair of which one is None stays unmeasured.
    """
    ours, theirs = pooled
    changes: dict[str, object] = {"champion": champion}
    if ours is not None and theirs is not None:
        changes["against"] = compare(ours, theirs)
        changes["score_psi"] = score_psi(theirs.scores, ours.scores)
    ours, theirs = later
    if ours is not None and theirs is not None:
        changes["out_of_time_against"] = compare(ours, theirs)
    return evidence.model_copy(update=changes)


def as_frame(answers: LabelledAnswers) -> pd.DataFrame:
    """Answers as they are kept with a run: label and customer codes, probabilities."""
    frame = pd.DataFrame(answers.probabilities, columns=list(PROBABILITIES))
    frame = frame.assign(label=answers.labels, customer=answers.customers)
    frame.attrs[_BORDERS] = list(answers.borders)  # travels in the file's metadata
    return frame


def as_answers(frame: pd.DataFrame) -> LabelledAnswers:
    """Answers as they were kept."""
    return LabelledAnswers(
        frame["label"].to_numpy(np.int64),
        frame[list(PROBABILITIES)].to_numpy(np.float64),
        frame["customer"].to_numpy(np.int64),
        tuple(frame.attrs.get(_BORDERS, policy.GRADE_BORDERS)),
    )
