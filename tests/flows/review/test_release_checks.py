"""Each release check can pass, can fail, and fails when its evidence is missing."""

from __future__ import annotations

from typing import Any

import pytest

from flows.cleaning.gates import Measure
from flows.learning.model_metrics import METRICS, Difference, Figure
from flows.review import release_checks
from flows.review.fairness import FairnessReport, GroupReport
from flows.review.known_customers import KnownReport
from flows.review.release_checks import CHECKS, run_checks
from flows.review.release_evidence import DataEvidence, Evidence, ReleaseCheck, Result
from flows.review.stability import DirectionReport, StabilityReport
from flows.review.weak_segments import SegmentSearch, WeakSegment
from service.score.manifest_parts import Estimate, Standing

POOLED = {"ece": 0.02, "severe_error_rate": 0.027, "borderline_rate": 0.1, "log_loss": 0.67, "rps": 0.1}


def figure(value: float) -> Figure:
    """A figure with a narrow interval."""
    return Figure(value=value, low=value - 0.005, high=value + 0.005)


def gaps(**changes: Any) -> dict[str, Difference]:
    """Differences of two equal models, with some changed."""
    zero = {name: Difference(value=0.0, low=-0.004, high=0.004, p_better=0.5) for name in METRICS}
    return zero | {name: Difference(**gap) for name, gap in changes.items()}


def gap(value: float, width: float = 0.004, p_better: float = 0.5) -> dict[str, float]:
    """One difference."""
    return {"value": value, "low": value - width, "high": value + width, "p_better": p_better}


def group(ratio: float) -> GroupReport:
    """A group whose lower end of the impact ratio is `ratio`."""
    even = Figure(value=0.0, low=-0.01, high=0.01)
    impact = Figure(value=ratio + 0.02, low=ratio, high=ratio + 0.04)
    return GroupReport(
        attribute="age",
        group="62+",
        rows=300,
        impact_good=impact,
        impact_not_poor=Figure(value=1.0, low=0.98, high=1.02),
        equal_opportunity=even,
        calibration_gap=even,
        score_gap=even,
    )


def standings(
    poor: tuple[float, ...] = (0.01, 0.1, 0.3, 0.5, 0.7), share: float = 0.2, width: float = 0.005
) -> dict[str, tuple[Standing, ...]]:
    """Rows by grade, pooled and in one quarter, with these shares of Poor; `share` is that of grade A."""

    def estimate(value: float) -> Estimate:
        return Estimate(value=value, low=value - width, high=value + width)

    table = tuple(
        Standing(
            name=name,
            rows=100,
            share=share if name == "A" else (1.0 - share) / 4,
            classes={"Poor": estimate(found)},
            rise=estimate(found - poor[place - 1]) if place else None,
        )
        for place, (name, found) in enumerate(zip("ABCDE", poor, strict=True))
    )
    return {"pooled": table, "quarter_1": table}


def eces(latest: float = 0.02, later: float = 0.06) -> dict[str, Figure]:
    """ECE by quarter, the first far off, as it may be, and out of time."""
    return {"quarter_1": figure(0.1), "quarter_3": figure(latest), "out_of_time": figure(later)}


def knowns(gain: float = 0.01, severe: float = 0.001) -> dict[str, KnownReport]:
    """Known customers of one age."""
    gap = Difference(value=gain, low=gain - 0.004, high=gain + 0.004, p_better=0.5)
    figures = {"severe_error_rate": figure(severe)}
    return {"known_1_month": KnownReport(rows=900, figures=figures, repeated={}, gain={"accuracy": gap})}


def stable(**changes: Any) -> StabilityReport:
    """A report within all limits, with some changed."""
    report: dict[str, Any] = {
        "directions": (DirectionReport(field="interest_rate", pairs=100, wrong_share=0.01, mean_reversal=1.0),),
        "band_flips": 0.01,
        "reason_raises": 0.99,
        "reason_stable": 0.95,
    }
    return StabilityReport(**report | changes)


def measure(**changes: Any) -> Measure:
    """A figure of the data within its bounds, with some of it changed."""
    sound: dict[str, Any] = {"gate": "missing_cells", "column": "credit_mix", "value": 0.1, "least": None, "most": 0.35}
    return Measure(**sound | {"passed": True} | changes)


def data(**changes: Any) -> DataEvidence:
    """Sound data, with some of it changed."""
    sound: dict[str, Any] = {
        "schema_valid": True,
        "rows": 50_000,
        "class_shares": {"Poor": 0.29, "Standard": 0.53, "Good": 0.18},
        "shared_customers": 0,
        "sha256": "a" * 64,
        "untelling_fields": (),
        "gates": (measure(),),
    }
    return DataEvidence(**sound | changes)


def pooled(**changes: float) -> dict[str, Figure]:
    """Figures within all limits, with some changed."""
    return {name: figure(value) for name, value in (POOLED | changes).items()}


def evidence(**changes: Any) -> Evidence:
    """Evidence of a model better than champion 3, with some of it changed."""
    sound: dict[str, Any] = {
        "champion": 3,
        "severe_error_rate": 0.027,
        "data": data(),
        "pooled": pooled(),
        "against": gaps(qwk=gap(0.01, p_better=0.99)),
        "out_of_time_against": gaps(),
        "calibration_noise": 0.005,
        "poor_rate_by_band": (0.7, 0.25, 0.1),
        "ece": eces(),
        "known": knowns(),
        "grades": standings(),
        "score_psi": 0.02,
        "fairness": FairnessReport(groups=(group(0.9),)),
        "stability": stable(),
        "size_bytes": 900_000,
        "weak": SegmentSearch(looked_at=300),
    }
    return Evidence(**sound | changes)


def weak(gap_found: float) -> SegmentSearch:
    """A search that found one slice so far below the rest."""
    one = WeakSegment(name="x low, y high", rows=900, customers=200, accuracy=0.5, gap=gap_found, high=-0.05)
    return SegmentSearch(weak=(one,), looked_at=300)


def result(code: str, found: Evidence) -> ReleaseCheck:
    """One check's result."""
    return next(check for check in run_checks(found) if check.code == code)


def test_sound_evidence_passes_everything() -> None:
    """A model within all limits needs nobody's excuse."""
    checks = run_checks(evidence())
    assert {check.code: check.result for check in checks if check.result is not Result.PASSED} == {}
    assert release_checks.failed(checks) == release_checks.to_review(checks) == ()


def test_nothing_measured_fails_everything_that_applies() -> None:
    """An empty report is the opposite of a clean one; only what needs a champion may not apply."""
    checks = run_checks(Evidence())
    allowed = {"improvement", "score_shift"}
    assert {check.code for check in checks if check.result is not Result.FAILED} == allowed
    assert all("not measured" in check.explanation for check in checks if check.code not in allowed)


FAILING: dict[str, list[dict[str, Any]]] = {
    "data_schema": [{"data": data(schema_valid=False)}],
    "data_rows": [{"data": data(rows=999)}],
    "data_classes": [
        {"data": data(class_shares={"Poor": 0.3, "Standard": 0.66, "Good": 0.04})},
        {"data": data(class_shares={"Poor": 0.3, "Standard": 0.7})},
    ],
    "data_leakage": [{"data": data(shared_customers=1)}],
    "data_fields": [{"data": data(untelling_fields=("credit_mix",))}, {"data": data(untelling_fields=None)}],
    "data_gates": [
        {"data": data(gates=(measure(), measure(passed=False)))},
        {"data": data(gates=())},
        {"data": data(gates=None)},
    ],
    "data_hash": [{"data": data(sha256="")}],
    "macro_f1": [
        {"against": gaps(macro_f1=gap(-0.006))},
        {"against": gaps(macro_f1=gap(-0.0045, width=0.004))},
        {"against": {}},
        {"against": gaps(macro_f1=gap(float("nan")))},
    ],
    "log_loss": [{"against": gaps(log_loss=gap(0.01))}],
    "rps": [{"against": gaps(rps=gap(0.002, width=0.001))}],
    "calibration": [
        {"ece": eces(latest=0.031)},
        {"ece": eces(latest=0.031), "calibration_noise": None},
        {"ece": eces(latest=0.09), "calibration_noise": 0.04},
        {"ece": eces(latest=float("nan"))},
        {"ece": {}},
    ],
    "calibration_later": [{"ece": eces(later=0.09)}, {"ece": {"quarter_1": figure(0.01)}}],
    "known_gain": [{"known": knowns(gain=-0.025)}, {"known": {}}, {"known": None}],
    "known_severe": [{"known": knowns(severe=0.0051)}],
    "gini_poor": [{"against": gaps(gini_poor=gap(-0.011))}, {"against": gaps(ks_poor=gap(-0.021))}],
    "score_poor": [{"against": gaps(gini_score_poor=gap(-0.011))}, {"against": gaps(ks_score_poor=gap(-0.021))}],
    "score_good": [{"against": gaps(gini_score_good=gap(-0.011))}, {"against": gaps(ks_score_good=gap(-0.021))}],
    "grade_poor": [{"against": gaps(gini_grade_poor=gap(-0.011))}, {"against": gaps(ks_grade_poor=gap(-0.021))}],
    "grade_good": [{"against": gaps(gini_grade_good=gap(-0.011))}, {"against": gaps(ks_grade_good=gap(-0.021))}],
    "grade_sizes": [{"grades": standings(share=0.079)}, {"grades": None}],
    "grade_order": [
        {"grades": standings(poor=(0.01, 0.1, 0.3, 0.3, 0.7))},
        {"grades": {place: table[:4] for place, table in standings().items()}},
    ],
    "grade_ends": [
        {"grades": standings(poor=(0.036, 0.1, 0.3, 0.5, 0.7))},
        {"grades": standings(poor=(0.01, 0.1, 0.3, 0.5, 0.594))},
    ],
    "severe_errors": [{"severe_error_rate": 0.0301}, {"severe_error_rate": None}],
    "severe_against": [{"against": gaps(severe_error_rate=gap(0.0031, width=0.003))}],
    "band_order": [{"poor_rate_by_band": (0.7, 0.2, 0.2)}, {"poor_rate_by_band": (0.7, float("nan"), 0.1)}],
    "borderline": [{"pooled": pooled(borderline_rate=0.201)}],
    "out_of_time": [{"out_of_time_against": gaps(macro_f1=gap(-0.0101))}],
    "robustness": [{"stability": stable(band_flips=0.021)}],
    "reasons_true": [{"stability": stable(reason_raises=0.94)}, {"stability": stable(reason_raises=None)}],
    "reasons_stable": [{"stability": stable(reason_stable=0.89)}, {"stability": stable(reason_stable=None)}],
    "weak_segments": [{"weak": None}, {"weak": SegmentSearch()}],
    "size": [{"size_bytes": 50_000_001}, {"size_bytes": 0}],
    "score_shift": [{"score_psi": None}],
    "fairness": [{"fairness": FairnessReport(groups=())}],
    "directions": [{"stability": stable(directions=())}],
    "improvement": [{"against": None}],
}


@pytest.mark.parametrize(("code", "changes"), [(code, one) for code, ways in FAILING.items() for one in ways])
def test_each_check_can_fail(code: str, changes: dict[str, Any]) -> None:
    """Just beyond its limit, or without its evidence, a check fails and is named among the failed."""
    found = evidence(**changes)
    assert result(code, found).result is Result.FAILED
    assert code in release_checks.failed(run_checks(found))


def test_no_check_is_untested() -> None:
    """A check added without a way to fail is found here."""
    assert set(FAILING) == {code for code, _, _ in CHECKS}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("macro_f1", {"against": gaps(macro_f1=gap(0.001, width=0.02))}),
        ("macro_f1", {"against": gaps(macro_f1=gap(-0.006, width=0.009))}),
        ("calibration", {"ece": eces(latest=0.04), "calibration_noise": 0.03}),
        ("calibration_later", {"ece": eces(later=0.083)}),
        ("known_gain", {"known": knowns(gain=-0.01)}),
        ("log_loss", {"against": gaps(log_loss=gap(0.01, width=0.02))}),
        ("rps", {"against": gaps(rps=gap(0.002))}),
        ("severe_against", {"against": gaps(severe_error_rate=gap(0.0031))}),
        ("out_of_time", {"out_of_time_against": gaps(macro_f1=gap(-0.0143, width=0.02))}),
        ("gini_poor", {"against": gaps(gini_poor=gap(-0.011, width=0.02))}),
        ("grade_good", {"against": gaps(ks_grade_good=gap(-0.021, width=0.03))}),
        ("known_severe", {"known": knowns(severe=0.0021)}),
        ("fairness", {"fairness": FairnessReport(groups=(group(0.9), group(0.79)))}),
        (
            "directions",
            {"stability": stable(directions=(DirectionReport(field="x", pairs=9, wrong_share=0.06, mean_reversal=1),))},
        ),
        (
            "directions",
            {
                "stability": stable(
                    directions=(DirectionReport(field="x", pairs=9, wrong_share=0.01, mean_reversal=11),)
                )
            },
        ),
        ("grade_order", {"grades": standings(width=0.15)}),
        ("grade_ends", {"grades": standings(poor=(0.034, 0.1, 0.3, 0.5, 0.7))}),
        ("score_shift", {"score_psi": 0.26}),
        ("weak_segments", {"weak": weak(-0.21)}),
        ("improvement", {"against": gaps()}),
        ("data_gates", {"data": data(gates=(measure(passed=False, overridden_by="ana", reason="another portfolio"),))}),
    ],
)
def test_what_a_person_must_look_at(code: str, changes: dict[str, Any]) -> None:
    """Neither passed nor failed: the reviewer weighs it and says so in the note."""
    found = evidence(**changes)
    assert result(code, found).result is Result.NEEDS_REVIEW
    assert code in release_checks.to_review(run_checks(found))


@pytest.mark.parametrize(
    ("code", "at_limit"),
    [
        ("data_rows", {"data": data(rows=1_000)}),
        ("calibration", {"ece": eces(latest=0.03)}),
        ("severe_errors", {"severe_error_rate": 0.03}),
        ("weak_segments", {"weak": weak(-0.2)}),
        ("borderline", {"pooled": pooled(borderline_rate=0.2)}),
        ("out_of_time", {"out_of_time_against": gaps(macro_f1=gap(-0.01))}),
        ("robustness", {"stability": stable(band_flips=0.02)}),
        ("reasons_true", {"stability": stable(reason_raises=0.95)}),
    ],
)
def test_the_limit_itself_is_allowed(code: str, at_limit: dict[str, Any]) -> None:
    """Limits are inclusive, as they are told."""
    assert result(code, evidence(**at_limit)).result is Result.PASSED


def test_without_a_champion_the_yardstick_is_a_default_model() -> None:
    """The first model is compared all the same, and the explanation says with what."""
    first = evidence(champion=0)
    assert "default CatBoost" in result("macro_f1", first).explanation
    assert result("improvement", first).result is result("score_shift", first).result is Result.NOT_APPLICABLE
    assert result("macro_f1", evidence(champion=0, against=None)).result is Result.FAILED


def test_results_are_frozen() -> None:
    """Nobody edits a finding on its way to the reviewer."""
    with pytest.raises(ValueError, match="frozen"):
        run_checks(evidence())[0].result = Result.FAILED
