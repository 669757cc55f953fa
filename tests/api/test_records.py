"""Answers read again, reviewed, and matched with how the customer turned out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from service.contract import Score
from service.ledger.journal import entry_rows, frames
from service.ledger.journal.segments import Folders
from service.runtime import Runtime
from tests.api.client import Api, applicant

TODAY = datetime.now(UTC).date()


def test_an_answer_reads_again_byte_for_byte(api: Api) -> None:
    """Single answers and rows of a batch alike."""
    first = api.score(customer_ref="c-17")
    assert Score.model_validate_json(first.body).score == first.json["score"]
    assert api.get(f"/v1/predictions/{first.json['prediction_id']}").body == first.body
    batch = api.post("/v1/score/batch", {"applicants": [applicant(), applicant(num_bank_accounts=9)]}).json["scores"]
    again = [api.get(f"/v1/predictions/{one['prediction_id']}").json for one in batch]
    assert again == batch


def test_a_batch_scores_as_single_requests_do(api: Api) -> None:
    """Same numbers, same reasons, in order."""
    rows = [applicant(interest_rate=rate, num_delayed_payments=late) for rate, late in [(3, 0), (30, 28), (15, None)]]
    singles = [api.post("/v1/score", row).json for row in rows]
    batch = api.post("/v1/score/batch", {"applicants": rows}).json["scores"]
    told = ("score", "band", "predicted_class", "probabilities", "borderline", "reasons", "warnings")
    assert [[one[name] for name in told] for one in batch] == [[one[name] for name in told] for one in singles]


def test_nobody_else_reads_it(api: Api, new_key) -> None:
    """Another partner's id, a made-up one and a path in disguise are the same 404."""
    mine = api.score().json["prediction_id"]
    other = new_key("rival")
    for identifier in (mine, "20261123-aaaaaaaaaa-1", "x", "..", "a.b", "1" * 64):
        answer = api.get(f"/v1/predictions/{identifier}", key=other)
        assert answer.status == 404
        assert mine.encode() not in answer.body
    assert api.get(f"/v1/predictions/{mine}").status == 200


def test_reviews_and_outcomes_are_recorded(api: Api) -> None:
    """201 with a receipt; both name the prediction."""
    identifier = api.score().json["prediction_id"]
    review = api.post(f"/v1/predictions/{identifier}/review", {"verdict": "requested", "reviewer": "analyst-1"})
    outcome = api.post(
        "/v1/outcomes", {"prediction_id": identifier, "observed_class": "Good", "observed_at": TODAY.isoformat()}
    )
    for answer in (review, outcome):
        assert answer.status == 201
        assert answer.json["prediction_id"] == identifier
        assert answer.json["id"] != identifier


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"prediction_id": "20261123-aaaaaaaaaa-1"}, 404),
        ({"observed_class": "Bad"}, 422),
        ({"observed_at": (TODAY + timedelta(days=1)).isoformat()}, 422),
        ({"observed_at": "2001-01-01"}, 422),
        ({"more": 1}, 422),
    ],
    ids=["unknown", "class", "future", "before-the-score", "unknown-key"],
)
def test_an_impossible_outcome_is_refused(api: Api, change: dict[str, object], status: int) -> None:
    """Labels come only for predictions of one's own, after them, and in the contract's words."""
    outcome = {
        "prediction_id": api.score().json["prediction_id"],
        "observed_class": "Good",
        "observed_at": TODAY.isoformat(),
    }
    assert api.post("/v1/outcomes", {**outcome, **change}).status == status


@pytest.mark.parametrize(
    "review",
    [
        {"verdict": "maybe", "reviewer": "a"},
        {"verdict": "upheld", "reviewer": "Ana Souza"},
        {"verdict": "upheld", "reviewer": "a", "comment": "two\nlines"},
        {"verdict": "upheld"},
    ],
    ids=["verdict", "name", "control", "missing"],
)
def test_a_review_has_rules(api: Api, review: dict[str, str]) -> None:
    """A verdict we know, a reviewer without a name, a comment of one line."""
    identifier = api.score().json["prediction_id"]
    assert api.post(f"/v1/predictions/{identifier}/review", review).status == 422


def test_odd_input_is_scored_and_said(api: Api) -> None:
    """A warning code in the answer, not a refusal."""
    answer = api.score(num_loans=0, loan_types=[], total_emi_per_month=90, credit_utilization_ratio=140)
    assert answer.status == 200
    assert answer.json["warnings"] == ["instalments-without-loan", "limit-exceeded"]


def test_the_model_tells_where_it_comes_from(api: Api) -> None:
    """The manifest, for partners: no file list, no path."""
    answer = api.get("/v1/model")
    assert answer.json["digest"] == api.score().json["model"]["digest"]
    assert b"/tmp" not in answer.body and "files" not in answer.json
    assert answer.headers["qf-scopes"] == "docs read score"
    assert answer.headers["qf-engine"] == answer.json["engine"]
    assert answer.json["engine"] in ("compiled", "portable")


def test_staff_reads_who_decided_and_a_partner_that_somebody_did(api: Api, staff_key: str) -> None:
    """A partner's view has neither names nor internals; both have figures, verdict and documents."""
    partner, staff = api.get("/v1/model").json, api.get("/v1/model", key=staff_key).json
    internals = {"git_revision", "parameters", "libraries", "golden_sha256"}
    assert staff["golden_sha256"] and not any(partner[name] for name in internals)
    assert staff.keys() == partner.keys()  # empty and not absent: what reads them goes on working
    assert "documents" in partner and "model_card" in partner and partner["metrics"] == staff["metrics"]


def test_an_outcome_comes_when_the_answer_is_long_gone(api: Api, runtime: Runtime, new_key) -> None:
    """On a host that keeps no copy the id itself tells whose it is, for 24 months; and nobody else can use it."""
    days = {"young": 700, "old": 800}
    ids = {
        name: runtime.ledger.ids.of(f"{TODAY - timedelta(days=age):%Y%m%d}-abcdefghij-1f", "acme").public
        for name, age in days.items()
    }
    outcome = {"observed_class": "Poor", "observed_at": TODAY.isoformat()}
    review = {"verdict": "requested", "reviewer": "analyst-1"}
    taken = api.post("/v1/outcomes", {**outcome, "prediction_id": ids["young"]})
    assert (taken.status, taken.json["prediction_id"]) == (201, ids["young"])
    assert api.post(f"/v1/predictions/{ids['young']}/review", review).status == 201
    assert api.post("/v1/outcomes", {**outcome, "prediction_id": ids["young"]}, key=new_key("thief")).status == 404
    late = api.post("/v1/outcomes", {**outcome, "prediction_id": ids["old"]})
    assert (late.status, late.json["errors"][0]["code"]) == (422, "too-old")
    assert api.get(f"/v1/predictions/{ids['young']}").status == 404


def test_ids_tell_no_partner_how_many_others_ask(api: Api, new_key) -> None:
    """Two partners in turn: neither prediction nor request ids rise, or hold a number of the other's."""
    other = new_key("neighbour")
    mine, theirs = [], []
    for _ in range(20):
        mine.append(api.score())
        theirs.append(api.post("/v1/score", applicant(), key=other))
    for answers in (mine, theirs):
        for told in ([one.json["prediction_id"] for one in answers], [one.headers["x-request-id"] for one in answers]):
            assert told != sorted(told) and len(set(told)) == 20


def test_a_test_key_is_answered_alike_and_counts_nowhere(api: Api, runtime: Runtime, new_key) -> None:
    """Its answers read back, take outcomes and stay apart from the live ones; none would be shipped or is counted."""
    key = new_key("acme", test=True)
    assert key.startswith("qf_test_")
    counted = dict(runtime.metrics.counters["qf_scores"])
    tried = api.post("/v1/score", applicant(), key=key)
    batch = api.post("/v1/score/batch", {"applicants": [applicant()]}, key=key)
    assert (tried.status, batch.status) == (200, 200)
    live = api.score()
    assert {**tried.json, "prediction_id": "", "created_at": ""} == {**live.json, "prediction_id": "", "created_at": ""}
    identifier = tried.json["prediction_id"]
    assert api.get(f"/v1/predictions/{identifier}", key=key).body == tried.body
    assert api.get(f"/v1/predictions/{identifier}").status == 404
    assert api.get(f"/v1/predictions/{live.json['prediction_id']}", key=key).status == 404
    outcome = {"prediction_id": identifier, "observed_class": "Poor", "observed_at": TODAY.isoformat()}
    assert api.post("/v1/outcomes", outcome, key=key).status == 201
    assert sum(runtime.metrics.counters["qf_scores"].values()) == sum(counted.values()) + 1
    for path in Folders(runtime.settings.service_dir / "outbox").paths():
        shipped = entry_rows.csv_objects(frames.parse(path.read_bytes()).entries)
        assert all(identifier.encode() not in data for data, _ in shipped.values())


def test_advice_is_no_prediction(api: Api, runtime: Runtime) -> None:
    """It costs a token and leaves no row, no count and no id behind."""
    counted = dict(runtime.metrics.counters["qf_scores"])
    answer = api.post("/v1/score/advice", {"applicant": applicant(), "target": {"score": 700}})
    assert answer.status == 200, answer.body
    assert set(answer.json) == {"score", "band", "reachable", "changes", "reached_score", "reached_band"}
    assert dict(runtime.metrics.counters["qf_scores"]) == counted
    refused = api.post("/v1/score/advice", {"applicant": applicant(annual_income=-1), "target": {"score": 700}})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/applicant/annual_income")
    both = api.post("/v1/score/advice", {"applicant": applicant(), "target": {"score": 700, "band": "Good"}})
    assert (both.status, both.json["errors"][0]["code"]) == (422, "one-target")
