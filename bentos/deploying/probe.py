"""Asks a slot for answers that are known beforehand, with a key that is valid for as long as the proof lasts."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from bentos.errors import DeployRefused, SmokeFailed
from bentos.packing.golden_requests import GoldenRequests
from service import keys
from service.errors import ServiceError

if TYPE_CHECKING:
    import httpx

PARTNER: Final = "deploy"
KEY_LIFE: Final = timedelta(hours=6)
TIMEOUT_S: Final = 5.0


class Prober:
    """Sends golden applicants to an address and knows the right answers."""

    def __init__(self, client: httpx.Client, golden: Sequence[GoldenRequests]) -> None:
        self._client, self._golden, self._next = client, golden, 0

    def ask(self, *, check: bool = True) -> float:
        """Milliseconds of the next golden answer; `check` false: of another version, whose score is its own.

        Raises:
            SmokeFailed: the answer is no score, or not the golden one.
        """
        import httpx

        golden = self._golden[self._next % len(self._golden)]
        self._next += 1
        start = time.perf_counter()
        try:
            answer = self._client.post("/v1/score", json=golden.body)
        except httpx.HTTPError as error:
            raise SmokeFailed(f"no answer to a golden applicant: {type(error).__name__}") from error
        elapsed = (time.perf_counter() - start) * 1000
        if not check and answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
            return elapsed  # a version from before a field was added refuses it; it goes on answering all others
        if answer.status_code != HTTPStatus.OK:
            raise SmokeFailed(f"POST /v1/score answers {answer.status_code} to a golden applicant")
        result: dict[str, Any] = answer.json()
        if check and result["score"] != golden.score:
            raise SmokeFailed(f"a golden applicant scores {result['score']}, the approved model gave {golden.score}")
        return elapsed


@contextmanager
def asking(
    url: str, golden: Sequence[GoldenRequests], key: str, trust: ssl.SSLContext | bool = True
) -> Iterator[Prober]:
    """A prober of the service at `url`; `trust` is how its certificate is checked."""
    import httpx

    headers = {"x-api-key": key}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False, verify=trust) as client:
        yield Prober(client, golden)


@contextmanager
def proof_key(folder: Path, database: SecretStr | None = None) -> Iterator[str]:
    """A key in the store of `folder` (QF_SERVICE_DIR) or in the hosts' database, closed afterwards, as is what a killed
    proof left open.

    Raises:
        DeployRefused: none can be issued.
    """
    url = database.get_secret_value() if database else None
    try:
        _close(folder, url)
        expires = datetime.now(UTC) + KEY_LIFE
        key = keys.issue(folder, PARTNER, rate=1e5, burst=1_000_000, daily=10**8, expires=expires, database=url)
    except (ServiceError, OSError) as error:
        raise DeployRefused(f"no key can be issued for the proof: {error}") from error
    try:
        yield key
    finally:
        _close(folder, url)


def _close(folder: Path, database: str | None) -> None:
    for record in keys.key_records(folder, database):
        if record.partner == PARTNER and record.revoked_at is None:
            keys.revoke(folder, record.id, database=database)
