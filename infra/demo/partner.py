"""The demo partner: its key, one applicant scored, and a day's traffic sent as a well-behaved client sends it."""

from __future__ import annotations

import csv
import io
import json
import random
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx

from flows.monitoring.report_store import CURRENT
from infra.errors import StackError
from infra.stack.credentials import Credentials
from infra.stack.object_store import client
from service.s3 import PREDICTIONS_BUCKET, REPORTS_BUCKET

CONNECTIONS: Final = 4
ATTEMPTS: Final = 30  # of one request that is told to wait
BUCKET: Final = PREDICTIONS_BUCKET
SEED: Final = 7


class Api:
    """The scoring API as a partner uses it: key in a header, waits when told to, repeats safely."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"x-api-key": key}, timeout=30, trust_env=False)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def model(self) -> dict[str, Any]:
        """The served model's manifest."""
        return self._checked(self._request("GET", "/v1/model"))

    def score(self, applicant: Mapping[str, Any]) -> dict[str, Any]:
        """Score one applicant; told to wait (429, 503), it waits as long as told and sends the same request again.

        Raises:
            StackError: the API refuses the applicant, or has no room for too long.
        """
        return self._post("/v1/score", applicant, str(uuid.uuid4()))

    def score_batch(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Score up to 1,000 applicants in one request; the same applicants sent again within a day are scored once.

        Raises:
            StackError: as `score`.
        """
        key = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(rows, sort_keys=True))
        return list(self._post("/v1/score/batch", {"applicants": rows}, str(key))["scores"])

    def _post(self, path: str, body: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        # The same idempotency key makes the repeated request the same request: never two predictions.
        headers = {"Idempotency-Key": idempotency_key}
        for _ in range(ATTEMPTS):
            answer = self._request("POST", path, json=body, headers=headers)
            if answer.status_code not in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
                return self._checked(answer)
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        raise StackError("the API had no room for a request for too long; see .local/logs/api.log")

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise StackError(f"the API does not answer: {error}; see `make status` and .local/logs/api.log") from error

    @staticmethod
    def _checked(answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise StackError(f"the API answers {answer.status_code}: {answer.text[:300]}")
        return dict(answer.json())


def applicants(processed: Path, count: int) -> list[dict[str, Any]]:
    """Applicants the model has never seen: rows of the customers that were kept back, always the same ones."""
    import pandas as pd

    from flows.cleaning.applicants import to_applicants

    unseen = pd.read_parquet(processed / "test.parquet")
    rows = random.Random(SEED).sample(range(len(unseen)), min(count, len(unseen)))
    return list(to_applicants(unseen.iloc[rows].reset_index(drop=True)))


def send(api: Api, traffic: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Score all applicants over a few connections; scores as they come, in order."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        yield from pool.map(api.score, traffic)


def await_stored(endpoint: str, pair: Credentials, ids: Collection[str], patience_s: float) -> None:
    """Wait until every one of these answers lies in the bucket: no prediction is lost on the way.

    Raises:
        StackError: some are missing after `patience_s`.
    """
    deadline = time.monotonic() + patience_s
    days = {(datetime.now(UTC) - timedelta(days=ago)).date().isoformat() for ago in (0, 1)}  # midnight may pass
    missing, seen_keys = set(ids), set[str]()
    while True:
        days.add(datetime.now(UTC).date().isoformat())
        for day in sorted(days):
            missing -= stored_predictions(endpoint, pair, day, seen_keys)
        if not missing:
            break
        if time.monotonic() > deadline:
            raise StackError(f"{len(missing)} predictions are not in the bucket yet; see .local/logs/api.log")
        time.sleep(1)


def stored_predictions(endpoint: str, pair: Credentials, day: str, seen_keys: set[str] | None = None) -> set[str]:
    """Ids of the predictions of a day (YYYY-MM-DD) in the bucket; objects named in `seen_keys` are not read again."""
    s3 = client(endpoint, pair)
    skip = set[str]() if seen_keys is None else seen_keys
    ids: set[str] = set()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"predictions/dt={day}/"):
        for key in (item["Key"] for item in page.get("Contents", []) if item["Key"] not in skip):
            text = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
            ids.update(row["prediction_id"] for row in csv.DictReader(io.StringIO(text)))
            skip.add(key)
    return ids


def drift_state(endpoint: str, pair: Credentials) -> str:
    """The state that the last drift run wrote for staff pages: green, amber, red or insufficient."""
    body = client(endpoint, pair).get_object(Bucket=REPORTS_BUCKET, Key=CURRENT)["Body"].read()
    return str(json.loads(body)["state"])
