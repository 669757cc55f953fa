"""One rule for one thing, whichever route it comes in by and whichever decoder reads it there."""

from __future__ import annotations

import json

import pytest

from tests.api.client import Api, applicant
from tests.api.test_bodies import CORPUS

TARGET = b',"target":{"score":700}}'
DATES = {
    "2024-02-29": True,
    "2023-02-29": False,
    "1704067200": False,  # seconds since 1970, of a midnight
    "86400": False,
    "2024-02-29T00:00:00": False,
    "2024-02-29T00:00:00Z": False,
    "2024-02-29+03:00": False,
    "2024-02-28T24:00:00": False,
    "20240229": False,
    "2024-W09-4": False,
    "2024-060": False,
    "2024-2-9": False,
    " 2024-02-29": False,
    "2024-02-29\n": False,
    "٢٠٢٤-02-29": False,
    "0000-01-01": False,
    "": False,
}


@pytest.mark.parametrize("name", [name for name in CORPUS if name != "bom"])  # which stands before a document alone
def test_an_applicant_is_judged_alike_by_scores_and_by_advice(api: Api, name: str) -> None:
    """The same status and, where a rule is broken, the same one at the same place."""
    body, status, hint = CORPUS[name]
    answer = api.post("/v1/score/advice", b'{"applicant":' + body + TARGET)
    assert answer.status == status, answer.body
    if status == 422:
        pointers = [one["pointer"] for one in answer.json["errors"]]
        assert f"/applicant{hint}" in pointers or pointers == [""]


@pytest.mark.parametrize(("text", "good"), DATES.items())
def test_a_date_is_written_in_one_way(api: Api, text: str, good: bool) -> None:
    """YYYY-MM-DD, in whatever body it stands."""
    prediction = api.score(as_of="2020-01-01").json["prediction_id"]
    outcome = {"prediction_id": prediction, "observed_class": "Good", "observed_at": text}
    known = [{"observed_class": "Good", "observed_at": text}]
    found = [
        api.post("/v1/outcomes", outcome).status == 201,
        api.score(as_of=text).status == 200,
        api.score(previous_classes=known).status == 200,
        api.post("/v1/score/batch", {"applicants": [applicant(as_of=text)]}).status == 200,
        api.post("/v1/score/advice", {"applicant": applicant(as_of=text), "target": {"score": 700}}).status == 200,
        api.post("/v1/score/advice", {"applicant": applicant(previous_classes=known), "target": {"score": 700}}).status
        == 200,
    ]
    assert found == [good] * 6, json.dumps(text)
