"""What a key may spend, what it is told, and what happens at the edges."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import pairwise

import pytest

from service.access.keystore import PARTNER_SCOPES, ApiKey
from service.errors import ProblemError
from service.middleware.admission import BYTES_PER_TOKEN
from service.runtime import Runtime
from service.web.exchange import Call
from tests.api.client import Api, applicant


def test_a_score_costs_one_token_and_a_batch_one_a_row(api: Api, new_key) -> None:
    """The fields tell what is left after each."""
    key = new_key("spender", rate=0.001, burst=100, daily=1000)
    assert api.post("/v1/score", applicant(), key=key).limits == {"burst": 99, "daily": 999}
    rows = {"applicants": [applicant()] * 40}
    assert api.post("/v1/score/batch", rows, key=key).limits == {"burst": 59, "daily": 959}
    refused = api.post("/v1/score/batch", {"applicants": [applicant()] * 60}, key=key)
    assert (refused.status, refused.limits["burst"]) == (429, 59)
    assert refused.json["violated-policies"] == ["burst"]
    assert api.post("/v1/score/batch", {"applicants": [applicant()] * 59}, key=key).limits["burst"] == 0
    last = api.post("/v1/score", applicant(), key=key)
    assert last.status == 429
    assert int(last.headers["retry-after"]) == pytest.approx(1000, abs=2)


def test_a_batch_of_padding_pays_for_its_bytes(api: Api, new_key) -> None:
    """As one of that size that is refused; rows that fill their bytes pay as rows."""
    key, row = new_key("padder", rate=0.001, burst=200, daily=1000), json.dumps(applicant()).encode()
    padded = b'{"applicants":[' + b",".join([row] * 3) + b" " * 600_000 + b"]}"
    assert len(padded) // BYTES_PER_TOKEN == 36
    answer = api.post("/v1/score/batch", padded, key=key)
    assert (answer.status, answer.limits["burst"]) == (200, 164)
    indented = json.dumps({"applicants": [applicant()] * 40}, indent=8).encode()
    assert len(indented) > 2 * BYTES_PER_TOKEN
    assert api.post("/v1/score/batch", indented, key=key).limits["burst"] == 124


def test_a_refused_body_costs_one_and_a_refused_type_nothing(api: Api, new_key) -> None:
    """422 and 400 are work we did; 415, 413, 404 and 405 are not."""
    key = new_key("careless", rate=0.001, burst=10, daily=1000)
    assert api.post("/v1/score", {}, key=key).limits["burst"] == 9
    assert api.post("/v1/score", b"{", key=key).limits["burst"] == 8
    assert api.post("/v1/score/batch", {"applicants": [{}] * 9}, key=key).limits["burst"] == 7
    for answer in (
        api.request("POST", "/v1/score", b"{}", {"content-type": "text/plain"}, key=key),
        api.get("/nowhere", key=key),
        api.get("/v1/score", key=key),
    ):
        assert answer.status in (404, 405, 415)
    assert api.score().status == 200
    assert api.post("/v1/score", applicant(), key=key).limits["burst"] == 6


def test_a_batch_beyond_the_burst_says_that_waiting_is_no_use(api: Api, new_key) -> None:
    """No Retry-After, but the size that fits."""
    key = new_key("small", rate=100, burst=20, daily=1000)
    answer = api.post("/v1/score/batch", {"applicants": [applicant()] * 21}, key=key)
    assert answer.status == 429
    assert "retry-after" not in answer.headers
    assert "20" in answer.json["detail"]


def test_the_daily_quota_holds_and_tells_when_it_ends(api: Api, new_key) -> None:
    """Retry-After of a used-up day is the time to midnight UTC."""
    key = new_key("daily", rate=100, burst=100, daily=2)
    assert [api.post("/v1/score", applicant(), key=key).status for _ in range(3)] == [200, 200, 429]
    answer = api.post("/v1/score", applicant(), key=key)
    assert answer.json["violated-policies"] == ["daily"]
    assert 1 <= int(answer.headers["retry-after"]) <= 86_400


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/score", applicant()), ("/v1/score/batch", {"applicants": [applicant()] * 3})],
    ids=["one", "batch"],
)
def test_an_answer_that_was_not_durable_costs_nothing(
    api: Api, new_key, runtime: Runtime, monkeypatch, path: str, body: object
) -> None:
    """503 gives the tokens back, says when to come again, counts no score, and none leaves."""
    key = new_key(f"unlucky-{len(path)}", rate=0.001, burst=5, daily=5)
    counted = dict(runtime.metrics.counters["qf_scores"])
    monkeypatch.setattr(type(runtime.ledger.outbox), "full_because", "the disk is full")
    answer = api.post(path, body, key=key)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert b"score" not in answer.body.replace(b"problem", b"") or "probabilities" not in answer.json
    assert api.get("/readyz", key=None).status == 503
    monkeypatch.undo()
    assert dict(runtime.metrics.counters["qf_scores"]) == counted
    assert api.post("/v1/score", applicant(), key=key).limits == {"burst": 4, "daily": 4}


def test_other_keys_are_not_touched(api: Api, new_key) -> None:
    """A bucket belongs to one key."""
    poor, rich = new_key("poor", rate=0.001, burst=1, daily=9), new_key("rich", rate=0.001, burst=1, daily=9)
    assert [api.post("/v1/score", applicant(), key=poor).status for _ in range(2)] == [200, 429]
    assert api.post("/v1/score", applicant(), key=rich).status == 200


def test_a_worker_sheds_beyond_what_it_can_hold(runtime: Runtime) -> None:
    """503 when the worker is full, 429 when the keys of one partner fill their share."""

    async def nothing() -> dict[str, object]:
        return {}

    one = ApiKey("inflight1", "p", frozenset(PARTNER_SCOPES), 1.0, 1, 1)
    second = replace(one, id="inflight2")
    calls = [Call("POST", "/v1/score", {}, "", nothing, key=key) for key in (one, second, second)]
    other = Call("POST", "/v1/score", {}, "", nothing, key=replace(one, id="inflight3", partner="q"))
    throttle = replace(runtime.throttle, max_in_flight=3, max_in_flight_per_key=2, in_flight=0)
    throttle.enter(calls[0])
    throttle.enter(calls[1])
    with pytest.raises(ProblemError) as refused:
        throttle.enter(calls[2])
    assert refused.value.problem.status == 429
    throttle.enter(other)
    with pytest.raises(ProblemError) as shed:
        throttle.enter(other)
    assert shed.value.problem.status == 503
    for call in (*calls[:2], other):
        throttle.leave(call)
    assert throttle.in_flight == 0


def test_wrong_keys_are_slowed_and_a_good_one_is_not(api: Api) -> None:
    """After twenty wrong keys a minute the address is answered 429, a good key from it 200 all along."""
    guesses = [api.get("/v1/model", key=f"qf_live_guess{n:03}_" + "x" * 49, address="198.51.100.9") for n in range(300)]
    statuses = [answer.status for answer in guesses]
    assert statuses[:20] == [401] * 20
    assert statuses.count(429) >= 279
    assert "retry-after" in guesses[-1].headers
    assert api.get("/v1/model", address="198.51.100.9").status == 200
    assert api.get("/v1/model", key="qf_live_wrong", address="198.51.100.10").status == 401


def test_a_repeated_key_answers_once(api: Api, runtime: Runtime) -> None:
    """The same Idempotency-Key gives the same bytes, another body 422, and one record in all."""
    before = runtime.ledger.outbox.counters.rows
    first = api.post("/v1/score", applicant(), {"idempotency-key": "once-1"})
    again = api.post("/v1/score", applicant(), {"idempotency-key": "once-1"})
    assert (first.status, again.status) == (200, 200)
    assert again.body == first.body
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert api.post("/v1/score", applicant(num_bank_accounts=7), {"idempotency-key": "once-1"}).status == 422
    assert runtime.ledger.outbox.counters.rows == before + 1


def test_repeats_at_once_run_once(api: Api, runtime: Runtime) -> None:
    """Of five equal requests at once one is scored; the others wait outside with 409 or get its answer."""
    before = runtime.ledger.outbox.counters.rows
    body = json.dumps(applicant()).encode()
    headers = {"content-type": "application/json", "idempotency-key": "at-once"}

    async def five() -> list[int]:
        answers = await asyncio.gather(*[api.call("POST", "/v1/score", body, headers) for _ in range(5)])
        return sorted(answer.status for answer in answers)

    statuses = api.runner.run(five())
    assert statuses[0] == 200 and set(statuses) <= {200, 409}
    assert runtime.ledger.outbox.counters.rows == before + 1


@pytest.mark.parametrize(
    "value", ["", " ", "a b", "ü", "x" * 256, "a\tb"], ids=["empty", "blank", "space", "ü", "256", "tab"]
)
def test_a_bad_idempotency_key_is_refused(api: Api, value: str) -> None:
    """One to 255 visible ASCII characters."""
    answer = api.post("/v1/score", applicant(), {"idempotency-key": value})
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (400, "bad-header")


def test_probes_do_not_wait_in_the_line_of_who_has_no_key(api: Api, runtime: Runtime) -> None:
    """Turns are a partner's, whatever it asks for; without a key they are an address's, route by route."""
    assert api.get("/livez", key=None).status == 200
    handler = runtime.handler
    assert handler is not None

    def owner(route: str, address: str = "192.0.2.1", key: ApiKey | None = None) -> str:
        return handler.owner(Call("GET", route, {}, address, route=route, key=key))

    partner = ApiKey("k", "acme", frozenset(), 1.0, 1, 1)
    assert owner("/v1/score", key=partner) == owner("/docs", "192.0.2.2", partner) == "acme"
    assert len({owner("/v1/score"), owner("/readyz"), owner("/v1/score", "192.0.2.2")}) == 3
    assert owner("/readyz", "2001:db8::1") == owner("/readyz", "2001:db8::2:3:4:5") != owner("/readyz", "2001:db8:1::1")
    assert owner("/readyz", "::ffff:192.0.2.1") != owner("/readyz", "::ffff:192.0.2.2")


def test_an_order_pays_for_its_bytes_at_once(api: Api, runtime: Runtime, new_key, monkeypatch) -> None:
    """A token for each 16 KiB beside its own: few plain rows cost nothing more, one huge row what reading it costs."""
    monkeypatch.setattr(runtime.jobs.jobs, "due", lambda _: [])  # none of them is run meanwhile
    key = new_key("orders-bytes", daily=1000)
    rows = [[applicant()] * 3, ["x" * 320 * 1024], [["x" * 1024] * 64] * 5]
    left = [1000] + [api.post("/v1/jobs", {"applicants": one}, key=key).limits["daily"] for one in rows]
    assert [before - after for before, after in pairwise(left)] == [1, 21, 21]
