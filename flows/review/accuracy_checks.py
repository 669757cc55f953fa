"""Release checks of how well classes and scores are told, against the champion or the yardstick."""

from __future__ import annotations

from typing import Final

from flows.learning.model_metrics import Difference
from flows.review.release_evidence import (
    Evidence,
    Finding,
    Missing,
    ReleaseLimits,
    Result,
    Verdict,
    compared_with,
    figure_of,
    gap_of,
    need,
    passed,
    refuse_infinite,
)
from service.contract import CreditClass

_GRAVITY: Final = (Result.PASSED, Result.NEEDS_REVIEW, Result.FAILED)


def _loss(gap: Difference, most: float, *, less_is_better: bool = False) -> Result:
    """A loss beyond the most fails where the paired interval excludes chance; where it does not, a person looks."""
    loss, least = (gap.value, gap.low) if less_is_better else (-gap.value, -gap.high)
    if loss <= most:
        return Result.PASSED
    return Result.FAILED if least > 0.0 else Result.NEEDS_REVIEW


def _interval(gap: Difference) -> str:
    return f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"


def macro_f1(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Classes are not told worse than by the champion."""
    gap = gap_of(evidence.against, "macro_f1", "on unseen customers")
    explanation = f"macro-F1 {_interval(gap)} against {compared_with(evidence)}"
    if gap.high < 0.0:
        return Result.FAILED, f"{explanation}, worse beyond chance", gap.value, -limits.macro_f1_loss
    if gap.value >= -limits.macro_f1_loss and gap.low > -limits.macro_f1_loss_low:
        return Result.PASSED, explanation, gap.value, -limits.macro_f1_loss
    # Too few customers to exclude a loss is no proof of one: a person weighs it.
    explanation = f"{explanation}; a loss beyond {limits.macro_f1_loss_low} cannot be excluded on so few customers"
    return Result.NEEDS_REVIEW, explanation, gap.low, -limits.macro_f1_loss_low


def no_relative_loss(name: str) -> Finding:
    """The check that a proper score is not worse than the champion's."""

    def finding(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
        ours, gap = figure_of(evidence.pooled, name), gap_of(evidence.against, name, "on unseen customers")
        theirs = ours - gap.value
        if theirs <= 0.0:
            raise Missing(f"{name} of {compared_with(evidence)}")
        loss = gap.value / theirs
        explanation = f"{name} {ours:.4f}, {loss:+.2%} [{gap.low / theirs:+.2%}, {gap.high / theirs:+.2%}]"
        explanation += f" against {compared_with(evidence)}, at most {limits.proper_score_loss:+.0%}"
        return (
            _loss(gap, limits.proper_score_loss * theirs, less_is_better=True),
            explanation,
            loss,
            limits.proper_score_loss,
        )

    return finding


def ranking(order: str, what: str) -> Finding:
    """The check that an order of the rows tells a class apart no worse than the champion's, by Gini and by KS.

    Args:
        order: which one, as the metrics name it: `poor` is that of p_Poor, `score_good` the score's for Good.
        what: the same in words.
    """

    def finding(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
        verdicts = []
        for measure, most in (("gini", limits.gini_loss), ("ks", limits.ks_loss)):
            gap = gap_of(evidence.against, f"{measure}_{order}", "on unseen customers")
            explanation = f"{measure} {_interval(gap)}, at least {-most}"
            verdicts.append((_loss(gap, most), explanation, gap.value, -most))
        explanation = f"{what} against {compared_with(evidence)}: {'; '.join(one[1] for one in verdicts)}"
        result, _, value, threshold = max(verdicts, key=lambda one: _GRAVITY.index(one[0]))
        return result, explanation, value, threshold

    return finding


def severe(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Few rows take Poor for Good or the other way."""
    # Two thousand customers set aside leave this rare error to chance; all that were judged unseen do not.
    value = need(evidence.severe_error_rate, "severe errors of every customer")
    aside = figure_of(evidence.pooled, "severe_error_rate")
    explanation = f"{value:.2%} of rows take Poor for Good or the other way ({aside:.2%} of those set aside),"
    explanation += f" at most {limits.severe:.0%}"
    return passed(value <= limits.severe, explanation, value, limits.severe)


def severe_against(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Severe errors are no more frequent than the champion's."""
    gap = gap_of(evidence.against, "severe_error_rate", "on unseen customers")
    explanation = f"severe errors {gap.value:+.2%} [{gap.low:+.2%}, {gap.high:+.2%}] against {compared_with(evidence)},"
    explanation += f" at most {limits.severe_gain:+.1%}"
    return _loss(gap, limits.severe_gain, less_is_better=True), explanation, gap.value, limits.severe_gain


def bands(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """Better bands hold fewer Poor."""
    rates = need(evidence.poor_rate_by_band, "share of Poor by band")
    refuse_infinite(dict(zip(map(str, CreditClass), rates, strict=True)), "share of Poor in band")
    explanation = "share of Poor by band, worst first: " + ", ".join(f"{rate:.3f}" for rate in rates)
    step = min(rates[0] - rates[1], rates[1] - rates[2])
    return passed(step > 0.0, f"{explanation}; must fall", step, 0.0)


def borderline(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Class and band mostly agree."""
    value = figure_of(evidence.pooled, "borderline_rate")
    explanation = f"class and band disagree on {value:.1%} of rows, at most {limits.borderline:.0%}"
    return passed(value <= limits.borderline, explanation, value, limits.borderline)


def out_of_time(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """The model holds in the last months."""
    gap = gap_of(evidence.out_of_time_against, "macro_f1", "out of time")
    explanation = f"macro-F1 out of time {_interval(gap)} against {compared_with(evidence)},"
    explanation += f" at least {-limits.out_of_time_loss}"
    return _loss(gap, limits.out_of_time_loss), explanation, gap.value, -limits.out_of_time_loss


def better(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """There is a reason to replace the champion."""
    if not evidence.champion:
        return Result.NOT_APPLICABLE, "there is no champion to replace", None, None
    better = {
        "qwk": 1.0 - gap_of(evidence.against, "qwk", "on unseen customers").p_better,
        "rps": gap_of(evidence.against, "rps", "on unseen customers").p_better,
    }
    name = min(better, key=lambda key: better[key])
    explanation = f"best sign of improvement: {name}, p = {better[name]:.3f}"
    if better[name] < limits.significance:
        return Result.PASSED, explanation, better[name], limits.significance
    return (
        Result.NEEDS_REVIEW,
        f"{explanation}; say why to replace an equal champion",
        better[name],
        limits.significance,
    )


def score_shift(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Scores stay where partners know them."""
    if not evidence.champion:
        return Result.NOT_APPLICABLE, "there is no champion whose scores partners know", None, None
    value = need(evidence.score_psi, "PSI of the score")
    explanation = f"PSI of the score against {compared_with(evidence)} {value:.3f}"
    explanation += f", above {limits.score_psi} partners must be told"
    result = Result.PASSED if value <= limits.score_psi else Result.NEEDS_REVIEW
    return result, explanation, value, limits.score_psi
