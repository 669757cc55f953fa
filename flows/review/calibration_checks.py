"""Release checks of what the probabilities promise: calibration, known customers, risk grades."""

from __future__ import annotations

from math import isfinite

from flows.review.known_customers import KnownReport
from flows.review.release_evidence import LATER, Evidence, Missing, ReleaseLimits, Result, Verdict, need, passed
from service.contract import CreditClass
from service.score.manifest_parts import Standing
from service.score.policy import GRADES


def calibration(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Probabilities come true in the latest quarter: errors of several quarters cancel, answers are given in one."""
    quarters = {place: one for place, one in need(evidence.ece, "ECE by quarter").items() if place != LATER}
    if not quarters:
        raise Missing("ECE of the latest quarter")
    place, figure = list(quarters.items())[-1]
    if not isfinite(figure.value):
        raise Missing("ece is not a number")
    explanation = f"ECE of the worst class {figure.value:.4f} in {place}, at most {limits.ece}"
    if others := ", ".join(f"{name} {one.value:.3f}" for name, one in quarters.items() if name != place):
        explanation = f"{explanation}; {others}"
    if figure.value > limits.ece:
        noise = need(evidence.calibration_noise, "calibration noise")
        if figure.value <= limits.ece + noise and noise > limits.ece / 2:
            explanation = f"{explanation}; chance alone gives {noise:.4f} on so few customers"
            return Result.NEEDS_REVIEW, explanation, figure.value, limits.ece
    return passed(figure.value <= limits.ece, explanation, figure.value, limits.ece)


def calibration_later(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Probabilities come true in the latest quarter: errors of several quarters cancel, answers are given in one."""
    figure = need(need(evidence.ece, "ECE by quarter").get(LATER), "ECE out of time")
    explanation = (
        f"ECE out of time {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}], at most {limits.ece_later}"
    )
    if figure.value <= limits.ece_later:
        return Result.PASSED, explanation, figure.value, limits.ece_later
    if figure.low <= limits.ece_later:
        explanation = f"{explanation}; chance cannot be excluded on so few customers"
        return Result.NEEDS_REVIEW, explanation, figure.value, limits.ece_later
    return Result.FAILED, explanation, figure.value, limits.ece_later


def known_gain(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Known customers are judged no worse than by repeating their class."""
    name, report = min(known_reports(evidence).items(), key=lambda pair: pair[1].gain["accuracy"].value)
    gain = report.gain["accuracy"]
    explanation = f"least gain over repeating the last class, {name}: accuracy {gain.value:+.4f}"
    explanation = f"{explanation} [{gain.low:+.4f}, {gain.high:+.4f}]"
    if gain.high < -limits.known_loss:
        return Result.FAILED, f"{explanation}, worse than {-limits.known_loss}", gain.value, -limits.known_loss
    if gain.value < 0.0:
        explanation += (
            "; whoever knows the class would do better by repeating it: more customers to learn from may help"
        )
        return Result.NEEDS_REVIEW, explanation, gain.value, 0.0
    return Result.PASSED, explanation, gain.value, 0.0


def known_severe(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """There is hardly a severe error on known customers."""
    rows = {
        name: (report.rows, report.figures["severe_error_rate"].value)
        for name, report in known_reports(evidence).items()
    }
    value = sum(count * rate for count, rate in rows.values()) / sum(count for count, _ in rows.values())
    explanation = f"severe errors of known customers {value:.2%}, at most {limits.severe_known:.1%}"
    if limits.severe_known < value <= limits.severe_known_most:
        return Result.NEEDS_REVIEW, explanation, value, limits.severe_known
    return passed(value <= limits.severe_known, explanation, value, limits.severe_known)


def known_reports(evidence: Evidence) -> dict[str, KnownReport]:
    """The reports on known customers."""
    reports = need(evidence.known, "known customers")
    if not reports:
        raise Missing("a known customer")
    return reports


def grade_sizes(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """No risk grade is too small."""
    pooled = grade_tables(evidence)["pooled"]
    least = min(pooled, key=lambda one: one.share)
    explanation = f"smallest grade {least.name} holds {least.share:.1%} of rows, at least {limits.grade_share:.0%}"
    return passed(least.share >= limits.grade_share, explanation, least.share, limits.grade_share)


def grade_order(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """Every risk grade holds more Poor than the one before."""
    rises = [
        (one.rise, f"{one.name} in {place}")
        for place, table in grade_tables(evidence).items()
        for one in table
        if one.rise
    ]
    rise, where = min(rises, key=lambda pair: pair[0].low)
    explanation = f"share of Poor rises least to grade {where}: {rise.value:+.3f} [{rise.low:+.3f}, {rise.high:+.3f}]"
    if rise.low > 0.0:
        return Result.PASSED, explanation, rise.low, 0.0
    if rise.value <= 0.0:
        return Result.FAILED, f"{explanation}; must rise", rise.value, 0.0
    return Result.NEEDS_REVIEW, f"{explanation}; chance cannot be excluded on so few customers", rise.low, 0.0


def grade_ends(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """The first and the last risk grade keep their word."""
    pooled = grade_tables(evidence)["pooled"]
    best, worst = (one.classes[CreditClass.POOR] for one in (pooled[0], pooled[-1]))
    explanation = f"share of Poor {best.value:.3f} in A, at most {limits.grade_best}; {worst.value:.3f} in E, at least"
    explanation = f"{explanation} {limits.grade_worst}"
    spare = min(limits.grade_best - best.value, worst.value - limits.grade_worst)
    if spare >= 0.0:
        return Result.PASSED, explanation, spare, 0.0
    if best.low > limits.grade_best or worst.high < limits.grade_worst:
        return Result.FAILED, explanation, spare, 0.0
    return Result.NEEDS_REVIEW, f"{explanation}; chance cannot be excluded on so few customers", spare, 0.0


def grade_tables(evidence: Evidence) -> dict[str, tuple[Standing, ...]]:
    """The tables by grade, each with all grades."""
    tables = need(evidence.grades, "rows by risk grade")
    for place, table in tables.items():
        if len(table) != len(GRADES):
            raise Missing(f"a risk grade without rows in {place}")
    need(tables.get("pooled"), "rows by risk grade, pooled")
    return tables
