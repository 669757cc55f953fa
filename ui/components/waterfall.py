"""The way from the reference to the score, a bar a step: what cost points and what won them, in words, with values.

A list, so that it says by itself what its bars show.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from service.contract import SCORE_MAX, CreditClass, Score
from ui.applicant.fields import contract_fields
from ui.components.form import with_unit
from ui.components.gauge import COLOURS
from ui.session import PageContext


@dataclass(frozen=True)
class WaterfallStep:
    """One bar: what it is, the points from where to where, and in `values` what the words rest on."""

    name: str
    start: float
    end: float
    total: bool = False
    values: str = ""

    @property
    def points(self) -> int:
        """Points that it won or, below zero, cost."""
        return round(self.end - self.start)


def of(context: PageContext, score: Score) -> str:
    """The picture with its lead (HTML), "" where the answer tells no points."""
    steps = steps_of(context, score)
    return f"<p>{_lead(context, steps)}</p>{chart(context, steps)}" if steps else ""


def moved(score: Score) -> list[tuple[Any, int]]:
    """Each reason and strength that tells its points, with what it took or gave, the weightiest first."""
    costs = [(each, -int(getattr(each, "points", None) or 0)) for each in score.reasons]
    gains = [(each, int(each.points or 0)) for each in getattr(score, "strengths", None) or ()]
    return sorted((pair for pair in [*costs, *gains] if pair[1]), key=lambda pair: -abs(pair[1]))


def steps_of(context: PageContext, score: Score) -> list[WaterfallStep]:
    """From the reference's score through each reason and strength to the score; what is not named is one step."""
    moves, reference = moved(score), getattr(score, "reference", None)
    if not moves or reference is None:
        return []
    t = context.texts
    steps = [WaterfallStep(t("result.waterfall_start"), 0, reference.score, total=True)]
    at = float(reference.score)
    for each, points in moves:
        words = getattr(each.text, t.language)
        steps.append(WaterfallStep(words, at, at + points, values=_values(context, each)))
        at = steps[-1].end
    if round(at) != score.score:
        steps.append(WaterfallStep(t("result.waterfall_rest"), at, score.score))
    return [*steps, WaterfallStep(t("result.waterfall_end"), 0, score.score, total=True)]


def chart(context: PageContext, steps: list[WaterfallStep]) -> str:
    """The bars: losses in the colour of the worst band, gains in the best's, totals in the text's own."""
    return f'<ol class="qf-waterfall">{"".join(_row(context, step) for step in steps)}</ol>'


def _values(context: PageContext, entry: Any) -> str:
    """The field with this applicant's value, and what it is compared with."""
    t, label = context.texts, context.texts.label(entry.feature)
    field = next((each for each in contract_fields() if each.name == entry.feature), None)
    if field is None or not hasattr(entry, "value"):
        return label
    value, other = with_unit(context, field, entry.value), getattr(entry, "compared_with", None)
    if other is None:
        return t("result.step_value", label=label, value=value)
    return t("result.step_compared", label=label, value=value, reference=with_unit(context, field, other))


def _lead(context: PageContext, steps: list[WaterfallStep]) -> str:
    number = context.formats.number
    words = context.texts("result.waterfall_lead", reference=number(steps[0].end), score=number(steps[-1].end))
    first, *rest = escape(words).split("**")
    return first + "".join(f"<b>{part}</b>" if place % 2 == 0 else part for place, part in enumerate(rest))


def _row(context: PageContext, step: WaterfallStep) -> str:
    left, right = sorted((step.start, step.end))
    start, width = (100 * each / SCORE_MAX for each in (max(left, 0), right - left))
    band = CreditClass.GOOD if step.points > 0 else CreditClass.POOR
    colour = "currentColor" if step.total else COLOURS[band]
    figure = context.formats.number(step.end) if step.total else context.formats.signed(step.points)
    values = f"<small>{escape(step.values)}</small>" if step.values else ""
    return (
        f"<li><span>{escape(step.name)}{values}</span><b>{escape(figure)}</b>"
        f'<i><i style="margin-left:{start:.1f}%;width:{width:.1f}%;background:{colour}"></i></i></li>'
    )
