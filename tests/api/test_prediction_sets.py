"""The option that tells which classes an answer leaves open: everywhere the same, and nothing else changes."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest

from service.contract import Basis, Score
from service.runtime import Runtime
from service.score.policy import prediction_set
from tests.api.client import Api, applicant
from tests.api.ordered_jobs import ended, ordered
from tests.factories import SET_THRESHOLDS

KNOWN = {"previous_classes": [{"observed_class": "Good", "observed_at": str(date.today() - timedelta(days=40))}]}
ROWS = [applicant(), applicant(interest_rate=30, num_delayed_payments=28), applicant(**KNOWN)]
OPTION = "?prediction_set=true"


def wanted(answer: dict[str, Any]) -> list[str]:
    """The set that follows from what an answer tells."""
    told = list(answer["probabilities"].values())
    return [str(name) for name in prediction_set(told, SET_THRESHOLDS[Basis(answer["basis"])])]


def test_one_and_many_and_read_again(api: Api) -> None:
    """Each with its set, unknown and known; what is stored has none, and is told with one when asked so."""
    singles = [api.post(f"/v1/score{OPTION}", row).json for row in ROWS]
    batch = api.post(f"/v1/score/batch{OPTION}", {"applicants": ROWS}).json["scores"]

    for one in (*singles, *batch):
        assert one["prediction_set"] == wanted(one) and Score.model_validate(one).prediction_set
        stored = api.get(f"/v1/predictions/{one['prediction_id']}")
        again = api.get(f"/v1/predictions/{one['prediction_id']}{OPTION}").json
        assert again == one and "prediction_set" not in stored.json
        assert stored.json == {name: value for name, value in one.items() if name != "prediction_set"}
    assert [one["prediction_set"] for one in singles] == [one["prediction_set"] for one in batch]


def test_without_the_option_nothing_is_told(api: Api) -> None:
    """Nor with it declined."""
    for path in ("/v1/score", "/v1/score?prediction_set=false", "/v1/score?other=1"):
        assert "prediction_set" not in api.post(path, ROWS[0]).json


@pytest.mark.parametrize("value", ["", "1", "True", "yes", "true&prediction_set=false"])
def test_another_value_is_refused(api: Api, value: str) -> None:
    """On every route, before anything is scored."""
    for method, path, body in (
        ("POST", "/v1/score", json.dumps(ROWS[0]).encode()),
        ("POST", "/v1/score/batch", json.dumps({"applicants": ROWS}).encode()),
        ("GET", "/v1/predictions/20261123-aaaaaaaaaa-1", b""),
        ("GET", "/v1/jobs/job_0", b""),
    ):
        answer = api.request(method, f"{path}?prediction_set={value}", body)
        assert (answer.status, answer.json["errors"][0]["code"]) == (422, "prediction-set")


def test_a_repeated_key_answers_with_and_without(api: Api) -> None:
    """The option is no part of what an Idempotency-Key stands for: the same answer, told with its set."""
    key = {"idempotency-key": "sets-1"}
    first = api.post("/v1/score", ROWS[0], headers=key)
    again = api.post(f"/v1/score{OPTION}", ROWS[0], headers=key)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == first.json | {"prediction_set": wanted(first.json)}


def test_a_jobs_results_are_told_with_sets(api: Api, runtime: Runtime) -> None:
    """On every page, whose link keeps the option; a refused row stays as it is."""
    job = ordered(api, [*ROWS, {}])
    path = f"/v1/jobs/{job}"

    plain, told = ended(api, runtime, job).json["results"], api.get(f"{path}{OPTION}").json["results"]

    assert [one.get("prediction_set") for one in told] == [*map(wanted, told[:3]), None]
    assert "errors" in told[3] and told[3] == plain[3] and not any("prediction_set" in one for one in plain)
