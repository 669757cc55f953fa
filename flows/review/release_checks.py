"""Release checks: what must hold before a person is asked to approve a challenger.

Each check is a frozen object with its figure and its limit. Evidence that is missing fails its check: a gate that
passes because nobody measured is no gate. Without a champion the yardstick is a default CatBoost, learned from the
same rows. Figures: risk guidance for three-class credit scores, sharpened for this data (`ReleaseLimits` says which).
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from flows.review import accuracy_checks, calibration_checks, conduct_checks, data_checks
from flows.review.release_evidence import Evidence, Finding, Missing, ReleaseCheck, ReleaseLimits, Result


def run_checks(evidence: Evidence, limits: ReleaseLimits = ReleaseLimits()) -> tuple[ReleaseCheck, ...]:
    """Every check of `CHECKS`, in order; none is left out because its evidence is."""
    checks = []
    for code, title, finding in CHECKS:
        try:
            result, explanation, value, threshold = finding(evidence, limits)
        except Missing as missing:
            result, explanation, value, threshold = Result.FAILED, f"not measured: {missing}", None, None
        if value is not None and not isfinite(value):
            result, explanation = Result.FAILED, f"degenerate, not a number: {explanation}"
        checks.append(
            ReleaseCheck(
                code=code, title=title, result=result, explanation=explanation, value=value, threshold=threshold
            )
        )
    return tuple(checks)


def failed(checks: tuple[ReleaseCheck, ...]) -> tuple[str, ...]:
    """Codes of the failed checks: what an override would have to name."""
    return tuple(check.code for check in checks if check.result is Result.FAILED)


def to_review(checks: tuple[ReleaseCheck, ...]) -> tuple[str, ...]:
    """Codes of the checks that ask for a person's look and note."""
    return tuple(check.code for check in checks if check.result is Result.NEEDS_REVIEW)


CHECKS: Final[tuple[tuple[str, str, Finding], ...]] = (
    ("data_schema", "Clean rows meet their schema", data_checks.schema),
    ("data_rows", "Enough labelled rows", data_checks.enough_rows),
    ("data_classes", "Every class is present", data_checks.every_class),
    ("data_leakage", "No customer on both sides", data_checks.leakage),
    ("data_fields", "Every field tells something", data_checks.telling_fields),
    ("data_gates", "The data keeps its gates", data_checks.gates),
    ("data_hash", "Data known by its hash", data_checks.hash_known),
    ("macro_f1", "Classes not told worse than by the champion", accuracy_checks.macro_f1),
    ("log_loss", "Log loss not worse", accuracy_checks.no_relative_loss("log_loss")),
    ("rps", "Ranked probability score not worse", accuracy_checks.no_relative_loss("rps")),
    ("calibration", "Probabilities come true", calibration_checks.calibration),
    ("calibration_later", "Probabilities come true in months to come", calibration_checks.calibration_later),
    ("known_gain", "Known customers judged no worse than by repeating their class", calibration_checks.known_gain),
    ("known_severe", "Hardly a severe error on known customers", calibration_checks.known_severe),
    ("gini_poor", "Poor told apart no worse", accuracy_checks.ranking("poor", "p_Poor for Poor")),
    (
        "score_poor",
        "The score tells Poor apart no worse",
        accuracy_checks.ranking("score_poor", "the score for Poor"),
    ),
    (
        "score_good",
        "The score tells Good apart no worse",
        accuracy_checks.ranking("score_good", "the score for Good"),
    ),
    (
        "grade_poor",
        "The grade tells Poor apart no worse",
        accuracy_checks.ranking("grade_poor", "the grade for Poor"),
    ),
    (
        "grade_good",
        "The grade tells Good apart no worse",
        accuracy_checks.ranking("grade_good", "the grade for Good"),
    ),
    ("grade_sizes", "No risk grade is too small", calibration_checks.grade_sizes),
    ("grade_order", "Every risk grade holds more Poor than the one before", calibration_checks.grade_order),
    ("grade_ends", "The first and the last risk grade keep their word", calibration_checks.grade_ends),
    ("severe_errors", "Few severe errors", accuracy_checks.severe),
    ("severe_against", "Severe errors no more frequent", accuracy_checks.severe_against),
    ("band_order", "Better bands hold fewer Poor", accuracy_checks.bands),
    ("borderline", "Class and band mostly agree", accuracy_checks.borderline),
    ("out_of_time", "Holds in the last months", accuracy_checks.out_of_time),
    ("improvement", "A reason to replace the champion", accuracy_checks.better),
    ("score_shift", "Scores stay where partners know them", accuracy_checks.score_shift),
    ("fairness", "Impact on groups looked at", conduct_checks.fairness),
    ("directions", "Moves the declared way", conduct_checks.monotone),
    (
        "robustness",
        "Bands hold under noise",
        conduct_checks.share("band_flips", "bands changed by 1 % noise", "band_flips", False),
    ),
    (
        "reasons_true",
        "Named reasons matter",
        conduct_checks.share(
            "reason_raises", "named fields that raise the score at the reference", "reason_raises", True
        ),
    ),
    (
        "reasons_stable",
        "Reasons hold under noise",
        conduct_checks.share("reason_stable", "first reasons kept under 1 % noise", "reason_stable", True),
    ),
    ("weak_segments", "No slice is told much worse than the rest", conduct_checks.weak_segments),
    ("size", "Small enough to ship", conduct_checks.size),
)
