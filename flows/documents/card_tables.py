"""How figures, lists and tables are written on the model card."""

from __future__ import annotations

from collections.abc import Sequence

from flows.learning.model_metrics import Difference, Figure
from service.score.manifest_parts import Estimate


def interval(figure: Figure | Estimate | Difference | None, digits: int = 3) -> str:
    """A figure with its 95 % interval, a dash for none."""
    if figure is None:
        return "-"
    digits = 0 if abs(figure.value) >= 100 else digits
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def share(value: float | None) -> str:
    """A share in percent."""
    return "not measured" if value is None else f"{value:.1%}"


def bullet_list(lines: Sequence[str]) -> str:
    """One line a bullet."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
