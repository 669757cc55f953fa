"""The way from the reference to the score, a bar a step (SVG): what cost points and what won them, to scale."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any, Final

from service.contract import SCORE_MAX, CreditClass, Score
from ui.components.gauge import COLOURS
from ui.session import Desk

_WIDTH: Final = 360.0
_ROW: Final = 44.0
_BAR: Final = 14.0
_MOST_STEPS: Final = 8


@dataclass(frozen=True)
class Step:
    """One bar: its name, and the points from where to where."""

    name: str
    start: float
    end: float
    total: bool = False

    @property
    def points(self) -> int:
        """What it won or, below zero, cost."""
        return round(self.end - self.start)


def signed_points(told: Any) -> int:
    """What a reason cost (below zero) or a strength won; 0 where the answer does not say."""
    return int(getattr(told, "points", None) or 0)


def of(desk: Desk, score: Score) -> str:
    """The picture with its lead, "" where the answer tells no points."""
    steps = steps_of(desk, score)
    return f"<p>{_lead(desk, steps)}</p>{drawn(desk, steps)}" if steps else ""


def steps_of(desk: Desk, score: Score) -> list[Step]:
    """From the reference's score through each reason and strength to the score; what is not named is one step."""
    told = [each for each in (*score.reasons, *(getattr(score, "strengths", None) or ())) if signed_points(each)]
    reference = getattr(score, "reference_score", None)
    if not told or reference is None:
        return []
    t = desk.texts
    steps = [Step(t("result.waterfall_start"), 0, reference, total=True)]
    at = float(reference)
    for each in sorted(told, key=lambda one: -abs(signed_points(one)))[:_MOST_STEPS]:
        steps.append(Step(t.label(each.feature), at, at + signed_points(each)))
        at = steps[-1].end
    if round(at) != score.score:
        steps.append(Step(t("result.waterfall_rest"), at, score.score))
    return [*steps, Step(t("result.waterfall_end"), 0, score.score, total=True)]


def drawn(desk: Desk, steps: list[Step]) -> str:
    """The bars, worst losses in the colour of the worst band, gains in the best's, totals in the text's own."""
    rows = "".join(_row(desk, place, step) for place, step in enumerate(steps))
    spoken = "; ".join(f"{step.name} {_figure(desk, step)}" for step in steps)
    return (
        f'<svg class="qf-waterfall" viewBox="0 0 {_WIDTH:.0f} {_ROW * len(steps):.0f}" role="img" '
        f'aria-label="{escape(spoken)}">{rows}</svg>'
    )


def _lead(desk: Desk, steps: list[Step]) -> str:
    number = desk.formats.number
    words = desk.texts("result.waterfall_lead", reference=number(steps[0].end), score=number(steps[-1].end))
    first, *rest = escape(words).split("**")
    return first + "".join(f"<b>{part}</b>" if place % 2 == 0 else part for place, part in enumerate(rest))


def _row(desk: Desk, place: int, step: Step) -> str:
    top = place * _ROW
    left, right = sorted((step.start, step.end))
    x, width = left / SCORE_MAX * _WIDTH, max((right - left) / SCORE_MAX * _WIDTH, 2.0)
    band = CreditClass.GOOD if step.points > 0 else CreditClass.POOR
    fill = "currentColor" if step.total else COLOURS[band]
    return (
        f'<text x="0" y="{top + 14:.0f}">{escape(step.name)}</text>'
        f'<text x="{_WIDTH:.0f}" y="{top + 14:.0f}" text-anchor="end" class="qf-figure">{_figure(desk, step)}</text>'
        f'<rect x="{x:.1f}" y="{top + 20:.0f}" width="{width:.1f}" height="{_BAR:.0f}" rx="3" fill="{fill}"/>'
    )


def _figure(desk: Desk, step: Step) -> str:
    return desk.formats.number(step.end) if step.total else desk.formats.signed(step.points)
