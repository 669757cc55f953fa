"""Score one applicant and wait where the service says so. Needs nothing but Python."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

APPLICANT = {
    "annual_income": 65000.5,
    "monthly_inhand_salary": 4800.25,
    "num_bank_accounts": 4,
    "num_credit_cards": 5,
    "num_loans": 2,
    "loan_types": ["auto", "mortgage"],
    "interest_rate": 12,
    "delay_from_due_date": 10,
    "num_delayed_payments": 8,
    "num_credit_inquiries": 4,
    "changed_credit_limit": 9.5,
    "credit_mix": "Standard",
    "outstanding_debt": 1200.5,
    "credit_utilization_ratio": 31.2,
    "credit_history_months": 200,
    "payment_of_min_amount": "No",
    "total_emi_per_month": 90.1,
    "amount_invested_monthly": 150.2,
    "payment_behaviour": "high_spent_small_value_payments",
    "monthly_balance": None,
}


def score(applicant: dict[str, object], attempts: int = 3) -> dict[str, object]:
    """The answer; the same Idempotency-Key in every attempt makes sure that it is given, and counted, once."""
    request = urllib.request.Request(
        os.environ["QF_API_URL"] + "/v1/score",
        data=json.dumps(applicant).encode(),
        headers={
            "x-api-key": os.environ["QF_API_KEY"],
            "content-type": "application/json",
            "idempotency-key": str(uuid.uuid4()),
        },
    )
    for attempt in range(1, attempts + 1):
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, object] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            wait = error.headers.get("Retry-After")
            if wait is None or attempt == attempts:
                raise
            time.sleep(int(wait))
    raise AssertionError("unreachable")


answer = score(APPLICANT)
print(json.dumps(answer, indent=2, ensure_ascii=False))
