"""Release checks of the data: enough of it, of every class, nobody on both sides."""

from __future__ import annotations

from flows.review.release_evidence import (
    Evidence,
    Missing,
    ReleaseLimits,
    Result,
    Verdict,
    need,
    passed,
    refuse_infinite,
)


def schema(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """Clean rows meet their schema."""
    valid = need(evidence.data, "data").schema_valid
    return passed(valid, "clean rows meet their schema" if valid else "clean rows break their schema", float(valid), 1)


def enough_rows(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """There are enough labelled rows."""
    rows = need(evidence.data, "data").rows
    return passed(rows >= limits.rows, f"{rows} labelled rows, at least {limits.rows}", rows, limits.rows)


def every_class(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """No class is too rare."""
    shares = need(evidence.data, "data").class_shares
    if len(shares) != 3:
        raise Missing("share of each of the three classes")
    refuse_infinite(shares, "share of class")
    name = min(shares, key=lambda key: shares[key])
    explanation = f"rarest class {name} has a share of {shares[name]:.3f}, at least {limits.class_share}"
    return passed(shares[name] >= limits.class_share, explanation, shares[name], limits.class_share)


def leakage(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """No customer is both learned from and judged on."""
    shared = need(evidence.data, "data").shared_customers
    return passed(shared == 0, f"{shared} customers both learned from and judged on, none allowed", shared, 0)


def hash_known(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """The data is known by its hash."""
    known = len(need(evidence.data, "data").sha256) == 64
    return passed(known, "data hash recorded" if known else "no SHA-256 of the data", float(known), 1)


def telling_fields(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """No field of the contract is empty or of one value in the rows learned from: it would tell the model nothing."""
    fields = need(need(evidence.data, "data").untelling_fields, "values of each field")
    explanation = (
        f"empty or of one value: {', '.join(fields)}; prepare the data again" if fields else "every field has values"
    )
    return passed(not fields, explanation, len(fields), 0)


def gates(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    """The gates of the data hold; what a person let through is looked at by another."""
    data = need(evidence.data, "data")
    figures = need(data.gates, "gates of the prepared data")
    if not figures:
        raise Missing("a gate of the prepared data")
    if broken := [f"{one.gate} of {one.column}" for one in figures if one.stops]:
        return Result.FAILED, f"broken: {', '.join(broken)}; prepare the data again", len(broken), 0
    if data.let_through:
        explanation = "; ".join(
            f"{one.gate} of {one.column} by {one.overridden_by}: {one.reason}" for one in data.let_through
        )
        return Result.NEEDS_REVIEW, f"let through: {explanation}", len(data.let_through), 0
    return Result.PASSED, f"all {len(figures)} figures lie within their bounds", 0, 0
