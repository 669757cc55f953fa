"""A partner who goes on asking while a version is switched: every request must be answered."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Final, Self

import httpx

PAUSE_S: Final = 0.05
APPLICANT: Final[dict[str, Any]] = {
    "as_of": "2000-01-01",  # outside every window: no applicant of theirs is watched for drift
    "annual_income": 52000,
    "monthly_inhand_salary": 3900.5,
    "num_bank_accounts": 3,
    "num_credit_cards": 4,
    "num_loans": 2,
    "loan_types": ["auto", "personal"],
    "interest_rate": 11,
    "delay_from_due_date": 9,
    "num_delayed_payments": 6,
    "num_credit_inquiries": 3,
    "changed_credit_limit": 7.5,
    "credit_mix": "Standard",
    "outstanding_debt": 1240.75,
    "credit_utilization_ratio": 31.4,
    "credit_history_months": 214,
    "payment_of_min_amount": "No",
    "total_emi_per_month": 88.2,
    "amount_invested_monthly": 120,
    "payment_behaviour": "low_spent_small_value_payments",
    "monthly_balance": 390.1,
}


class PartnerTraffic:
    """Two askers, one on a connection that it keeps and one on a new connection each time."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url, {"x-api-key": key}
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(kept,)) for kept in (True, False)]
        self.versions: Counter[str] = Counter()
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: tuple[type[BaseException] | None, BaseException | None, TracebackType | None]) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, kept: bool) -> None:
        client = httpx.Client(timeout=30, trust_env=False)
        while not self._done.is_set():
            try:
                answer = client.post(f"{self._url}/v1/score", json=APPLICANT, headers=self._headers)
                if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    time.sleep(float(answer.headers.get("retry-after", "1")))
                    continue
                self.versions[str(answer.raise_for_status().json()["model"]["version"])] += 1
            except (httpx.HTTPError, KeyError, ValueError) as error:
                self.failed.append(f"{'kept' if kept else 'new'} connection: {type(error).__name__} {error}")
            if not kept:
                client.close()
                client = httpx.Client(timeout=30, trust_env=False)
            time.sleep(PAUSE_S)
        client.close()
