"""Examples of the documentation: requests and answers as they are sent, and every problem as it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from service import problems
from service.contract import PRODUCT
from service.problems import Fault, Problem

Json = dict[str, Any]

APPLICANT: Final[Json] = {
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
SCORE: Final[Json] = {
    "prediction_id": "20261123-lnck5m4g5u-1f",
    "score": 642,
    "band": "Standard",
    "predicted_class": "Standard",
    "probabilities": {"Poor": 0.033274, "Standard": 0.649067, "Good": 0.317659},
    "borderline": False,
    "risk_grade": "B",
    "basis": "applicant",
    "reasons": [
        {
            "code": "HISTORY",
            "text": {
                "pt": "Tempo de histórico de crédito abaixo do habitual entre clientes bem avaliados",
                "en": "The length of the credit history is below what is usual for well-rated customers",
            },
            "feature": "credit_history_months",
            "direction": "too_low",
            "compared_with": 262,
            "value": 200,
            "points": 41,
        }
    ],
    "strengths": [
        {
            "code": "INQUIRIES",
            "text": {
                "pt": "Número de consultas de crédito: conta a favor",
                "en": "The number of credit inquiries counts in favour",
            },
            "feature": "num_credit_inquiries",
            "value": 4,
            "points": 9,
        }
    ],
    "reference": {"score": 868, "other_points": -194},
    "warnings": [],
    "model": {"name": PRODUCT, "version": "7", "digest": "b" * 64},
    "created_at": "2026-11-23T12:00:00.000Z",
}
ADVICE: Final[Json] = {
    "score": 642,
    "band": "Standard",
    "reachable": True,
    "changes": [{"field": "outstanding_debt", "before": 1200.5, "after": 600.25}],
    "reached_score": 714,
    "reached_band": "Good",
}
RECEIPT: Final[Json] = {
    "id": "20261123-lnck5m4g5u-20",
    "prediction_id": SCORE["prediction_id"],
    "created_at": "2026-11-23T12:00:01.000Z",
}
JOB: Final[Json] = {
    "id": "job_0123456789abcdef0123456789abcdef",
    "status": "queued",
    "rows": 1,
    "done": 0,
    "refused": 0,
    "because": None,
    "created_at": "2026-11-23T12:00:01.000Z",
    "finished_at": None,
    "webhook": "waiting",
}
_FAULT: Final = Fault("/annual_income", "too-large", "should be less than or equal to 10000000")
_IN_ONE_CASE: Final = {
    problems.MALFORMED: problems.MALFORMED.saying("The body is not well-formed JSON: line 1, column 17"),
    problems.TOO_LARGE: problems.TOO_LARGE.saying("The route takes at most 65536 bytes"),
    problems.INVALID: problems.INVALID.saying("1 rule is broken", _FAULT),
    problems.QUOTA: replace(
        problems.QUOTA.saying("The burst limit of this key is used up; try again in 2 s"),
        extra={"violated-policies": ["burst"]},
    ),
}
"""Problems as they are told in one case; the others are always told alike."""
MANIFEST: Final[Json] = {
    "name": PRODUCT,
    "version": "7",
    "digest": "b" * 64,
    "objective": "MultiLogloss",
    "approval": {"reviewer": "", "verdict": "approved", "note": "", "at": "2026-11-23T11:00:00Z", "override": None},
    "documents": {"validation_report.en": "# Validation report of version 7\n"},
}
METRICS: Final = """# HELP qf_requests_total Requests answered.
# TYPE qf_requests_total counter
qf_requests_total{route="/v1/score",status="200"} 1.0
"""


def problems_by_status() -> dict[int, list[Problem]]:
    """Every problem the code can answer with, told as in one case."""
    by_status: dict[int, list[Problem]] = {}
    for problem in problems.every():
        by_status.setdefault(problem.status, []).append(_IN_ONE_CASE.get(problem, problem))
    return by_status


def rendered(problem: Problem) -> Json:
    """The problem as the body of an answer."""
    body: Json = json.loads(problem.render("e6747e2b4140-43ed-2"))
    return body
