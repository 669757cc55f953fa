"""Outcomes of a quarter come in by the API, and the recalibration is asked for as a person asks for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from tests.acceptance.partner_traffic import APPLICANT
from tests.acceptance.running_stack import Broken, RunningStack

DAYS_AGO: Final = 40  # outside of drift's windows
OUTCOMES, AT_ONCE, LEAST = 120, 20, 100
SHIPPED_S: Final = 300.0
RUN_S: Final = 420.0
DEBTS: Final = (0.0, 400.0, 1240.75, 2600.0, 4400.0)
CLASSES: Final = ("Poor", "Standard", "Good")
MIXES: Final = ("Good", "Standard", "Bad")


def outcomes_recalibrate(stack: RunningStack) -> None:
    """Outcomes of partners fit the champion anew; with the box off, the figures are shown and nothing is registered."""
    day = (datetime.now(UTC) - timedelta(days=DAYS_AGO)).date()
    with httpx.Client(base_url=stack.api_url, headers={"x-api-key": stack.key}, timeout=30, trust_env=False) as api:
        scores = []
        for first in range(0, OUTCOMES, AT_ONCE):
            applicants = [_applicant(number, str(day)) for number in range(first, first + AT_ONCE)]
            scores += _asked(api, "/v1/score/batch", {"applicants": applicants})["scores"]
        today = datetime.now(UTC).date().isoformat()
        for number, score in enumerate(scores):
            # Three in four come true; the others see to it that every class is there often enough.
            observed = score["predicted_class"] if number % 4 else CLASSES[number // 4 % len(CLASSES)]
            outcome = {"prediction_id": score["prediction_id"], "observed_class": observed, "observed_at": today}
            _asked(api, "/v1/outcomes", outcome)
    form = {
        "quarter": f"{day.year}-Q{(day.month + 2) // 3}",
        "minimum_outcomes": LEAST,
        "register_version": False,
        "trainer": "eva.prado",
    }
    deadline = time.monotonic() + SHIPPED_S
    while "was fitted on" not in (said := _recalibrated(stack, form)):
        if time.monotonic() > deadline:
            raise Broken(f"{OUTCOMES} outcomes were sent, and after {SHIPPED_S:g} s the run says: {said[:200]}")
        time.sleep(5)
    if "is the challenger" in said:
        raise Broken("a recalibration registered a version though it was asked for the figures alone")


def _recalibrated(stack: RunningStack, form: Mapping[str, Any]) -> str:
    run = stack.completed("recalibration", {"form": form}, RUN_S)
    return str(stack.artifact(run, "recalibration"))


def _applicant(number: int, day: str) -> dict[str, Any]:
    """A customer unlike the others, so that not all are told the same."""
    changes = {
        "as_of": day,
        "customer_ref": f"acceptance-{number}",
        "outstanding_debt": DEBTS[number % len(DEBTS)],
        "credit_mix": MIXES[number % len(MIXES)],
        "interest_rate": 2 + number % 30,
        "delay_from_due_date": number % 50,
    }
    return APPLICANT | changes


def _asked(api: httpx.Client, path: str, body: Mapping[str, Any]) -> Any:
    """The answer's JSON; what the rate limit refuses is asked again when it says.

    Raises:
        Broken: any other refusal.
    """
    while (answer := api.post(path, json=body)).status_code == httpx.codes.TOO_MANY_REQUESTS:
        time.sleep(float(answer.headers.get("retry-after", "1")))
    if answer.is_error:
        raise Broken(f"POST {path} answers {answer.status_code}: {answer.text[:200]}")
    return answer.json() if answer.content else None
