"""Pictures of a judgement, as matplotlib figures without a window system: each says one thing about the answers."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flows.learning.model_metrics import ECE_BINS, LabelledAnswers
from service.contract import POOR_MAX, STANDARD_MAX
from service.score.policy import CLASSES

_COLOURS = ("#c0392b", "#f39c12", "#27ae60")  # worst class first
_SIZE_INCHES = (6.0, 5.0)


def pictures(answers: LabelledAnswers) -> dict[str, Figure]:
    """All pictures by name."""
    return {
        "confusion": confusion(answers),
        "reliability": reliability(answers),
        "roc": roc(answers),
        "ks": ks(answers),
        "scores": scores(answers),
    }


def _drawing(title: str, across: str, up: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=across, ylabel=up)
    return figure, axes


def confusion(answers: LabelledAnswers) -> Figure:
    """Rows by true and told class, with the share of each true class."""
    figure, axes = _drawing("Told against true class", "told", "true")
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=int)
    np.add.at(table, (answers.labels, answers.classes), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{share[row, column]:.0%}", ha="center", va="center", color=colour)
    names = [str(name) for name in CLASSES]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    return figure


def reliability(answers: LabelledAnswers) -> Figure:
    """How often a class came true where it was said with some probability; on the diagonal it was just as often."""
    figure, axes = _drawing("Probabilities come true", "said", "seen")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for place, name in enumerate(CLASSES):
        probability, true = answers.probabilities[:, place], answers.labels == place
        bins = np.minimum((probability * ECE_BINS).astype(int), ECE_BINS - 1)
        count = np.bincount(bins, minlength=ECE_BINS)
        full = count > 0
        axes.plot(
            np.bincount(bins, probability, ECE_BINS)[full] / count[full],
            np.bincount(bins, true, ECE_BINS)[full] / count[full],
            marker="o",
            color=_COLOURS[place],
            label=str(name),
        )
    axes.legend()
    return figure


def _curves(
    answers: LabelledAnswers, place: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Probability in falling order, and the shares of members and others found down to it."""
    order = np.argsort(-answers.probabilities[:, place], kind="stable")
    probability, member = answers.probabilities[order, place], answers.labels[order] == place
    last = np.r_[np.diff(probability) != 0, True]
    hits = np.cumsum(member) / max(member.sum(), 1)
    false_hits = np.cumsum(~member) / max((~member).sum(), 1)
    return probability[last], hits[last], false_hits[last]


def roc(answers: LabelledAnswers) -> Figure:
    """Members found against others wrongly taken, class by class."""
    figure, axes = _drawing("One class against the rest", "others taken", "members found")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    for place, name in enumerate(CLASSES):
        _, hits, false_hits = _curves(answers, place)
        area = np.trapezoid(np.r_[0, hits], np.r_[0, false_hits])
        axes.plot(np.r_[0, false_hits], np.r_[0, hits], color=_COLOURS[place], label=f"{name}, area {area:.3f}")
    axes.legend(loc="lower right")
    return figure


def ks(answers: LabelledAnswers) -> Figure:
    """How far Poor and the others lie apart along the probability of Poor."""
    figure, axes = _drawing("Poor against the rest", "probability of Poor, at least", "share found")
    probability, hits, false_hits = _curves(answers, 0)
    axes.plot(probability, hits, color=_COLOURS[0], label="Poor")
    axes.plot(probability, false_hits, color="grey", label="others")
    widest = int(np.argmax(hits - false_hits))
    gap = hits[widest] - false_hits[widest]
    axes.vlines(
        probability[widest], false_hits[widest], hits[widest], color="black", linestyle="--", label=f"KS {gap:.3f}"
    )
    axes.legend()
    return figure


def scores(answers: LabelledAnswers) -> Figure:
    """Distribution of the score within each true class, with the limits of the bands."""
    figure, axes = _drawing("Scores by true class", "score", "rows")
    for place, name in enumerate(CLASSES):
        chosen = answers.scores[answers.labels == place]
        axes.hist(chosen, bins=50, range=(0, 1000), color=_COLOURS[place], alpha=0.5, label=str(name))
    for limit in (POOR_MAX, STANDARD_MAX):
        axes.axvline(limit + 0.5, color="black", linestyle=":")
    axes.legend()
    return figure
