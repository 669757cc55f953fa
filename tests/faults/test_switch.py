"""From one served version to another under load and back: no request fails, and what partners hold stays theirs."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.deploying.proxy import Proxy
from bentos.deploying.slots import PROXY_SOURCE, BentoRunner, Release, Slot, spawn
from bentos.deploying.watch import p99
from bentos.packing.golden_requests import GoldenRequests
from service import keys
from service.docs.openapi import APPLICANT
from service.engine.packed_model import PackedModel
from service.score import features
from tests.bentos.hosts import HOME, Host, passing
from tests.factories import applicant, applicant_columns, pack_small_model
from tests.faults.load import Load

ROLLBACK_MAX_S = 60
DEPLOYMENTS = 20
ROLLBACK_EVERY = 4


class FromSource(BentoRunner):
    """Serves the project's own service with a release's package: a Bento without the packing."""

    def check(self, release: Release) -> None:
        """The package is there."""
        assert (Path(release.reference) / "model.cbm").is_file()

    def start(self, slot: Slot, release: Release) -> None:
        """As BentoRunner does it."""
        command = [sys.executable, "-m", "bentoml", "serve", "service.service:CreditScorer", "--host", "127.0.0.1"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "QF_", "AWS_"))}
        environment = {
            **kept,
            "PYTHONPATH": str(HOME),
            "QF_MODEL_DIR": release.reference,
            "QF_SERVICE_DIR": str(self._settings.service_dir),
            "QF_TRUSTED_PROXIES": PROXY_SOURCE,
            "BENTOML_HOME": str(self._settings.bento_store),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        spawn([*command, "--port", str(self._settings.port(slot))], self._settings, slot, environment)


class Models:
    """Two versions of a small model, as releases with golden answers."""

    def __init__(self, folder: Path) -> None:
        self.made: list[tuple[Release, tuple[GoldenRequests, ...]]] = []
        columns, _ = applicant_columns(50, seed=5)
        rows = [applicant(columns, row) for row in range(50)]
        for number in (1, 2):
            place = folder / str(number)
            digest = pack_small_model(
                place, rows=600, trees=10 * number, seed=number, version=str(number), compile_kernel=False
            ).digest
            scores = PackedModel.load(place).assess_arrays(features.matrix(columns)).score
            golden = tuple(
                GoldenRequests(
                    body=json.loads(row.model_dump_json(exclude={"as_of", "customer_ref"})), score=int(score)
                )
                for row, score in zip(rows, scores, strict=True)
            )
            release = Release(version=str(number), digest=digest, kind="bento", reference=str(place), content=digest)
            self.made.append((release, golden))


class Front(Host):
    """What a partner talks to."""

    def __init__(self, folder: Path, nginx: str, **changes: Any) -> None:
        super().__init__(folder, nginx, FromSource, **changes)
        self.key = keys.issue(self.settings.service_dir, "acme", rate=1e5, burst=1_000_000, daily=10**9)
        self.body = json.dumps(APPLICANT).encode()

    @property
    def trust(self) -> ssl.SSLContext:
        """The proxy's certificate."""
        trust = Proxy(self.settings).trust()
        assert isinstance(trust, ssl.SSLContext)
        return trust

    def client(self, key: str = "") -> httpx.Client:
        """A partner's client."""
        return httpx.Client(
            base_url=self.settings.public_url, headers={"x-api-key": key or self.key}, verify=self.trust, timeout=20
        )

    def load(self, rate: float) -> Load:
        """A partner's load."""
        return Load(self.settings.port_proxy, self.trust, self.key, self.body, rate=rate)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Both versions."""
    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def front(tmp_path: Path, require_program: Callable[[str], str]) -> Iterator[Callable[..., Front]]:
    """Make a front; it is taken down afterwards, with all it started."""
    nginx = require_program("nginx")
    with ExitStack() as made:
        yield lambda **changes: made.enter_context(passing(Front(tmp_path, nginx, **changes)))


def test_keys_quotas_answers_and_repeats_hold_across_the_switch(front: Callable[..., Front], models: Models) -> None:
    """Both slots work on one state folder and no request is lost."""
    host = front(golden_requests=30, shadow_requests=30, watch_s=1, p99_floor_ms=2000)
    (first, golden_first), (second, golden_second) = models.made
    host.deployment.deploy(first, golden_first, "ana")
    few = keys.issue(host.settings.service_dir, "few", rate=0.001, burst=4, daily=4)
    with host.client() as client, host.client(few) as limited:
        before = client.post("/v1/score", json=APPLICANT, headers={"idempotency-key": "one"})
        _until_known(limited)
        assert limited.post("/v1/score", json=APPLICANT).status_code == 200

        with host.load(rate=20) as load:
            host.deployment.deploy(second, golden_second, "ana")
            after = client.post("/v1/score", json=APPLICANT, headers={"idempotency-key": "one"})
            stored = client.get(f"/v1/predictions/{before.json()['prediction_id']}")
            left = [limited.post("/v1/score", json=APPLICANT).status_code for _ in range(3)]
            fresh = client.post("/v1/score", json=APPLICANT)
            host.deployment.rollback("ana")
            back = client.post("/v1/score", json=APPLICANT)
        _bodies_pass(host, client)

    assert load.failed == {}
    assert set(load.versions) == {"1", "2"}
    assert (before.json()["model"]["version"], after.content) == ("1", before.content)
    assert after.headers["idempotent-replayed"] == "true"
    assert stored.json()["prediction_id"] == before.json()["prediction_id"]
    assert left == [200, 200, 429]
    assert (fresh.json()["model"]["version"], back.json()["model"]["version"]) == ("2", "1")


def _until_known(client: httpx.Client) -> None:
    """The service has read the key; the one request that it lets in counts against the quota."""
    deadline = time.monotonic() + 10
    while client.get("/v1/model").status_code == 401 and time.monotonic() < deadline:
        time.sleep(0.1)


def _bodies_pass(host: Front, client: httpx.Client) -> None:
    """The largest batch goes through both ways; a stranger's body is refused before it is read."""
    whole = client.post("/v1/score/batch", json={"applicants": [APPLICANT] * 1000})
    assert (whole.status_code, len(whole.json()["scores"])) == (200, 1000)
    stranger = httpx.post(
        f"{host.settings.public_url}/v1/score/batch", content=b" " * 1_000_000, verify=host.trust, timeout=20
    )
    assert stranger.status_code == 401


@pytest.mark.full
@pytest.mark.timeout(3000)
def test_twenty_deployments_and_five_rollbacks_lose_nothing(
    front: Callable[..., Front], models: Models, capsys: pytest.CaptureFixture[str]
) -> None:
    """100 requests a second from a client that repeats nothing: none fails, and each way back takes seconds."""
    host = front(golden_requests=200, shadow_requests=100, watch_s=3, p99_floor_ms=2000)
    current, went_back_s, begun = 0, [], time.monotonic()
    host.deployment.deploy(*models.made[current], "ana")

    with host.load(rate=100) as load:
        for round_ in range(1, DEPLOYMENTS + 1):
            current = 1 - current
            host.deployment.deploy(*models.made[current], "ana")
            if round_ % ROLLBACK_EVERY == 0:
                moment = time.monotonic()
                host.deployment.rollback("ana", "forced")
                went_back_s.append(time.monotonic() - moment)
                current = 1 - current

    with capsys.disabled():
        print(
            f"\n{DEPLOYMENTS} deployments, {len(went_back_s)} rollbacks in {time.monotonic() - begun:.0f} s: "
            f"{load.statuses.total()} requests, failed {load.failed}, versions {dict(load.versions)}, "
            f"p99 {p99([1000 * one for one in load.times]):.0f} ms, slowest rollback {max(went_back_s):.2f} s"
        )
    assert load.failed == {}
    assert load.statuses.total() > 5000
    assert len(went_back_s) == 5 and max(went_back_s) < ROLLBACK_MAX_S
