"""The form as a visitor reads it, the body that it stands for, and the body that reached the API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from playwright.sync_api import Locator
from playwright.sync_api import TimeoutError as Overdue

from tests.chromium import PATIENCE_MS
from tests.ui.browsing import Visit
from ui.applicant.fields import FieldKind, contract_fields


def as_json(visit: Visit) -> dict[str, Any]:
    """The displayed form as the body it stands for, read by a rule of this test's own."""
    t, shown, body = visit.t, visit.shown(), {}
    decimal, thousands = (",", ".") if visit.language == "pt" else (".", ",")
    for each in contract_fields():
        value = shown.get(each.name, "")
        if each.numeric:
            plain = value.replace("R$", "").replace("−", "-").replace(thousands, "").replace(decimal, ".").strip()
            body[each.name] = float(plain) if plain else None
        elif each.kind is FieldKind.RECORDS:
            body[each.name] = None  # optional, and no way of filling it is driven here
        elif each.kind is FieldKind.CHOICES:
            names = {t.option(option): option for option in each.options}
            body[each.name] = [names.get(plain := name.rsplit(" (", 1)[0], plain) for name in value]
        elif each.kind is FieldKind.DATE:
            body[each.name] = day_of(value, visit.language)
        elif each.kind is FieldKind.CHOICE:
            body[each.name] = {t.option(option): option for option in each.options}.get(value)
        else:
            body[each.name] = value or None
    return {
        name: value
        for name, value in body.items()
        if value is not None or name not in ("customer_ref", "as_of", "previous_classes")
    }


def day_of(text: str, language: str) -> str | None:
    """A day of the screen as the contract writes it."""
    return (datetime.strptime(text, "%d/%m/%Y").date().isoformat() if language == "pt" else text) if text else None


def sent(visit: Visit) -> dict[str, Any]:
    """The last body that reached the API, optional fields that are not told as the form leaves them."""
    return as_floats(json.loads(visit.stack.gate.sent[-1]))


def as_floats(body: dict[str, Any]) -> dict[str, Any]:
    """The body with one kind of number."""
    return {name: float(value) if isinstance(value, int) else value for name, value in body.items()}


def eventually(read: Callable[[], Any], wanted: Any) -> None:
    """Waited for, as long as a slow machine needs: what is read is what is wanted."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while (found := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found == wanted


def choose(visit: Visit, chooser: Locator, option: str) -> None:
    """One option of a list: a key pressed while the page is drawn anew is lost, so it is pressed until one shows."""
    choice = visit.page.get_by_role("option", name=option, exact=True)
    for patience_ms in (5_000, 5_000, 5_000, PATIENCE_MS):
        chooser.press("ArrowDown")
        with suppress(Overdue):
            choice.click(timeout=patience_ms)
            return
    raise AssertionError(f"no list opened with {option}")


def score(visit: Visit) -> None:
    """The score asked for; waited until the request has been at the door and the page is drawn."""
    asked = len(visit.stack.gate.sent)
    visit.press()
    eventually(lambda: len(visit.stack.gate.sent) > asked, True)
    visit.settle()
