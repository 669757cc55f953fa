"""The smoke test: does this running service answer as the approved model must, and keep the contract?

It speaks HTTP only, so the same test proves a served Bento, a container, and a green deployment before the switch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from bentos.errors import SmokeFailed
from bentos.packing.golden_requests import GoldenRequests

if TYPE_CHECKING:
    import httpx

BATCH_ROWS: Final = 20
TIMEOUT_S: Final = 30.0
LET_IN_S: Final = 60.0
"""How long a fresh key may be unknown to a running service: it reads its keys every 2 s, much later on a machine whose
processors and disk are busy, as while an image is built."""
PROBLEM: Final = "application/problem+json"


class Identity(BaseModel):
    """The version that must answer."""

    model_config = ConfigDict(frozen=True)

    version: str
    digest: str


class SmokeReport(BaseModel):
    """What was asked, how fast it was answered in milliseconds, and by which engine."""

    model_config = ConfigDict(frozen=True)

    golden: int
    contract: int
    requests: int
    p50_ms: float
    p99_ms: float
    engine: str


def prove(url: str, key: str, identity: Identity, golden: Sequence[GoldenRequests], *, requests: int) -> SmokeReport:
    """The report of a service that answered everything right.

    Args:
        url: where the service listens.
        key: a key with the scopes score and read.
        identity: the version and digest it must name.
        golden: applicants with the scores the approved model gives.
        requests: single requests to send, cycling through `golden`.

    Raises:
        SmokeFailed: the first thing that was not as it must be.
    """
    import httpx

    try:
        with httpx.Client(base_url=url, headers={"x-api-key": key}, timeout=TIMEOUT_S, trust_env=False) as client:
            engine = _identity(client, identity)
            contract = _contract(client, url, golden[0].body)
            _batch(client, golden[:BATCH_ROWS])
            times = [_single(client, golden[index % len(golden)], identity) for index in range(requests)]
    except httpx.HTTPError as error:
        raise SmokeFailed(f"the service stopped answering: {type(error).__name__}") from error
    return SmokeReport(
        golden=min(len(golden), requests),
        contract=contract,
        requests=requests,
        p50_ms=round(statistics.median(times), 2),
        p99_ms=round(sorted(times)[max(0, int(len(times) * 0.99) - 1)], 2),
        engine=engine,
    )


def _identity(client: httpx.Client, identity: Identity) -> str:
    """Name of the engine that answers for the right version."""
    deadline = time.monotonic() + LET_IN_S
    while (answer := client.get("/v1/model")).status_code == HTTPStatus.UNAUTHORIZED and time.monotonic() < deadline:
        time.sleep(0.25)
    if answer.status_code != HTTPStatus.OK:
        raise SmokeFailed(f"GET /v1/model answers {answer.status_code}")
    manifest = answer.json()
    actual = (str(manifest.get("version")), manifest.get("digest"))
    if actual != (identity.version, identity.digest):
        raise SmokeFailed(f"the service holds version {actual[0]}, version {identity.version} was approved")
    return str(answer.headers.get("qf-engine", "unknown"))


def _contract(client: httpx.Client, url: str, body: dict[str, Any]) -> int:
    """Number of refusals that were as the contract says: status and problem+json."""
    import httpx

    json_type = {"content-type": "application/json"}
    cases: list[tuple[int, httpx.Response]] = [
        (HTTPStatus.UNAUTHORIZED, httpx.post(f"{url}/v1/score", json=body, timeout=TIMEOUT_S, trust_env=False)),
        (HTTPStatus.UNPROCESSABLE_ENTITY, client.post("/v1/score", json={**body, "unknown": 1})),
        (HTTPStatus.UNPROCESSABLE_ENTITY, client.post("/v1/score", json={**body, "num_loans": -1})),
        (HTTPStatus.BAD_REQUEST, client.post("/v1/score", content=b"{", headers=json_type)),
        (
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            client.post("/v1/score", content=b"a", headers={"content-type": "text/csv"}),
        ),
        (HTTPStatus.METHOD_NOT_ALLOWED, client.put("/v1/score", json=body)),
        (HTTPStatus.NOT_FOUND, client.get("/v1/nothing")),
    ]
    for expected, answer in cases:
        kind = answer.headers.get("content-type", "")
        if answer.status_code != expected or not kind.startswith(PROBLEM):
            path = answer.request.url.path
            raise SmokeFailed(
                f"{answer.request.method} {path} answers {answer.status_code} {kind}, not {int(expected)}"
            )
    return len(cases)


def _single(client: httpx.Client, golden: GoldenRequests, identity: Identity) -> float:
    """Milliseconds of one right answer."""
    start = time.perf_counter()
    answer = client.post("/v1/score", json=golden.body)
    elapsed_ms = (time.perf_counter() - start) * 1000
    if answer.status_code != HTTPStatus.OK:
        raise SmokeFailed(f"POST /v1/score answers {answer.status_code} to a golden applicant")
    result = answer.json()
    if result["score"] != golden.score:
        raise SmokeFailed(f"a golden applicant scores {result['score']}, the approved model gave {golden.score}")
    if (str(result["model"]["version"]), result["model"]["digest"]) != (identity.version, identity.digest):
        raise SmokeFailed("an answer names another model than the approved one")
    return elapsed_ms


def _batch(client: httpx.Client, golden: Sequence[GoldenRequests]) -> None:
    answer = client.post("/v1/score/batch", json={"applicants": [one.body for one in golden]})
    if answer.status_code != HTTPStatus.OK:
        raise SmokeFailed(f"POST /v1/score/batch answers {answer.status_code}")
    scores = [one["score"] for one in answer.json()["scores"]]
    if scores != [one.score for one in golden]:
        raise SmokeFailed("a batch scores other than the approved model, or in another order")
