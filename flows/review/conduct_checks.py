"""Release checks of how a model treats people: groups, directions, noise, reasons; and its size."""

from __future__ import annotations

from flows.review.release_evidence import (
    Evidence,
    Finding,
    Missing,
    ReleaseLimits,
    Result,
    Verdict,
    need,
    passed,
    refuse_infinite,
)


def fairness(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """The impact on groups of people is looked at."""
    report = need(evidence.fairness, "fairness by age group and occupation")
    if not report.groups:
        raise Missing("no group is large enough to audit")
    ratios = {f"{group.attribute} {group.group}": group.lowest_impact_ratio.low for group in report.groups}
    refuse_infinite(ratios, "adverse impact ratio of")
    worst = min(report.groups, key=lambda group: group.lowest_impact_ratio.low)
    low = worst.lowest_impact_ratio.low
    explanation = f"lowest adverse impact ratio: {worst.attribute} {worst.group}, interval from {low:.2f}"
    if low < limits.impact_ratio:
        explanation += f", below {limits.impact_ratio}: look for a less discriminatory alternative and note the result"
        return Result.NEEDS_REVIEW, explanation, low, limits.impact_ratio
    return Result.PASSED, explanation, low, limits.impact_ratio


def monotone(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """The score moves the declared way."""
    report = need(evidence.stability, "stability").directions
    if not report:
        raise Missing("perturbation of the declared directions")
    refuse_infinite({one.field: one.wrong_share for one in report}, "pairs against the declared direction of")
    worst = max(report, key=lambda one: one.wrong_share)
    odd = [one.field for one in report if one.wrong_share > limits.wrong_way]
    odd += [one.field for one in report if one.mean_reversal > limits.reversal_points and one.field not in odd]
    explanation = f"most pairs against the declared direction: {worst.field}, {worst.wrong_share:.1%}"
    if not odd:
        return Result.PASSED, explanation, worst.wrong_share, limits.wrong_way
    # The data itself falls and rises (README.md): a bound the best honest model cannot meet is a person's decision.
    explanation = f"{explanation}; beyond {limits.wrong_way:.0%} or {limits.reversal_points:g} points: {', '.join(odd)}"
    return Result.NEEDS_REVIEW, explanation, worst.wrong_share, limits.wrong_way


def share(name: str, what: str, limit: str, at_least: bool) -> Finding:
    """The check that a share of the stability report keeps its limit."""

    def finding(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
        value = need(getattr(need(evidence.stability, "stability"), name), what)
        bound = getattr(limits, limit)
        explanation = f"{what}: {value:.1%}, {'at least' if at_least else 'at most'} {bound:.0%}"
        return passed(value >= bound if at_least else value <= bound, explanation, value, bound)

    return finding


def weak_segments(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """No slice is told much worse than the rest."""
    search = need(evidence.weak, "search for weak segments")
    if not search.looked_at:
        raise Missing("a slice with enough customers")
    if not search.weak:
        return Result.PASSED, f"none of {search.looked_at} slices is told worse beyond chance", 0.0, -limits.weak_gap
    worst = search.weak[0]
    explanation = (
        f"weakest of {search.looked_at} slices: {worst.name}, accuracy {worst.accuracy:.3f}, {worst.gap:+.3f} from"
    )
    explanation = f"{explanation} the rest, on {worst.customers} customers; {len(search.weak)} are worse beyond chance"
    result = Result.PASSED if worst.gap >= -limits.weak_gap else Result.NEEDS_REVIEW
    return result, explanation, worst.gap, -limits.weak_gap


def size(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """The model file is small enough to ship."""
    size = need(evidence.size_bytes, "size of the model")
    explanation = (
        f"model file of {size / 1e6:.1f} MB, at most {limits.size_bytes / 1e6:.0f} MB; latency is checked when packing"
    )
    return passed(0 < size <= limits.size_bytes, explanation, size, limits.size_bytes)
