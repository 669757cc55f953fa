"""Why a window of traffic is what it is, in the page's language, from the codes and figures of the drift flow.

What is newer than this page, or older than the codes, is shown in the flow's own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from service.contract import CreditClass
from ui.session import PageContext

_SHARES: Final = {"coverage"}
_DECIMALS: Final = 3
_PARTS: Final = ("values", "missing")  # of a column's verdict
_MOVED: Final = ("amber", "red")


def causes(context: PageContext, verdict: Mapping[str, Any]) -> list[str]:
    """Every reason for the window's state."""
    entries = verdict.get("causes") or [{"text": reason} for reason in verdict.get("reasons") or []]
    return [sentence(context, cause, str(cause.get("text", ""))) for cause in entries]


def sentence(context: PageContext, cause: Mapping[str, Any], otherwise: str) -> str:
    """The text of a cause or check, `otherwise` where the page has no words for it."""
    t = context.texts
    template = t.get(f"causes.{cause.get('rule')}", "")
    figures = cause.get("figures") or {}
    values = {name: _figure(context, name, value) for name, value in figures.items()}
    values["columns"] = ", ".join(column(context, str(name)) for name in cause.get("columns") or [])
    values["bands"] = _bands(context, values) or t("causes.no_bands")
    try:
        return template.format(**values) or otherwise
    except KeyError:  # a flow of another release, whose rule has other figures
        return otherwise


def check_name(context: PageContext, check: Mapping[str, Any]) -> str:
    """A check's name."""
    return context.texts.get(f"check_names.{check.get('rule')}", str(check.get("name")))


def note(context: PageContext, verdict: Mapping[str, Any]) -> str:
    """What is wrong with a column: its problem, or what of it is no longer as it was."""
    rows = context.formats.number(int(verdict.get("problem_rows") or 0))
    problem = context.texts.get(f"problems.{verdict.get('problem')}", "").format(rows=rows)
    moved = [context.texts(f"problems.{part}_moved") for part in _PARTS if verdict.get(f"{part}_state") in _MOVED]
    return problem or str(verdict.get("note", "")) or " ".join(moved)


def column(context: PageContext, name: str) -> str:
    """An applicant's field or a part of the answer, in words."""
    return context.texts.get(f"outputs.{name}", context.texts.label(name))


def _figure(context: PageContext, name: str, value: float) -> str:
    if name in _SHARES:
        return context.formats.percent(value)
    return context.formats.number(value, 0 if isinstance(value, int) else _DECIMALS)


def _bands(context: PageContext, values: Mapping[str, str]) -> str:
    """Gap and interval of each band that had enough rows."""
    return "; ".join(
        f"{context.texts(f'options.band_{band}')} {values[band]} [{values[f'{band}_low']}, {values[f'{band}_high']}]"
        for band in CreditClass
        if {band, f"{band}_low", f"{band}_high"} <= values.keys()
    )
