"""The model card's sections on what an answer leaves open, on hard times, and on where the model is weak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flows.documents.card_tables import markdown_table, share
from flows.learning.certainty import AIMS, COVERAGE, CertaintyReport, StressRow
from flows.review.weak_segments import SegmentSearch
from service.score.policy import CLASSES

SHOWN_SEGMENTS: Final = 10
OPEN: Final = f"""\
A set of classes that holds the true one {COVERAGE:.0%} of the time, in each class (conformal prediction by class; answers
tell it on request, by the thresholds of `unknown` and of all `known` customers), and the share
of answers that could be decided by the likeliest class alone if that is to be right so often. Both are found on one
half of the customers and judged on the other. Where nearly nothing could be decided, nothing should be."""


def certainty_section(reports: Mapping[str, CertaintyReport]) -> str:
    """Sets and automation, by what was known of the customer."""
    if not reports:
        return f"{OPEN}\n\nNot measured."
    rows = [
        [
            name,
            str(one.rows),
            *(f"{one.coverage[kind]:.1%}" if kind in one.coverage else "-" for kind in CLASSES),
            f"{one.size:.2f}",
            f"{one.single:.1%}",
            f"{one.extremes:.1%}",
            *(f"{each.share:.1%} ({share(each.accuracy)} right)" for each in one.automation),
        ]
        for name, one in reports.items()
    ]
    head = ["customers", "rows", *(f"{kind} covered" for kind in CLASSES), "classes in a set", "one class", "both ends"]
    return f"{OPEN}\n\n{markdown_table([*head, *(f'decided at {aim:.0%}' for aim in AIMS)], rows)}"


def stress_section(stresses: Sequence[StressRow]) -> str:
    """Every unseen applicant with fields moved: what the model would say, not what would happen."""
    if not stresses:
        return "Not measured."
    rows = [[one.name, f"{one.score:+.0f}", *(f"{one.bands[kind]:.1%}" for kind in CLASSES)] for one in stresses]
    sentence = (
        "The unseen applicants with some fields moved: what the model would say of them, not what would become of them."
    )
    return f"{sentence}\n\n{markdown_table(['applicants', 'mean change of the score', *CLASSES], rows)}"


def weak_section(search: SegmentSearch | None) -> str:
    """The slices that are told worse than the rest beyond chance, the weakest ten."""
    if search is None or not search.looked_at:
        return "Not measured."
    sentence = (
        f"{search.looked_at} slices were looked at: thirds and levels of the fields the model leans on, and every pair "
        f"of two fields, with enough customers. {len(search.weak)} are told worse than everybody, beyond chance and "
        "beyond what a search finds by chance."
    )
    rows = [
        [one.name, str(one.rows), str(one.customers), f"{one.accuracy:.3f}", f"{one.gap:+.3f}"]
        for one in search.weak[:SHOWN_SEGMENTS]
    ]
    head = ["slice", "rows", "customers", "accuracy", "from everybody's"]
    return f"{sentence}\n\n{markdown_table(head, rows)}" if rows else sentence
