"""The service on a disk without a byte left: every route answers or refuses by the book, and no process dies of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import keys
from service.docs.examples import APPLICANT
from tests.api.running import BODY, Served, end, serve
from tests.conftest import ObjectStore
from tests.factories import pack_small_model

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("servers")]
DISK_MIB = 150
HEAL_S = 60.0
FILLS = 100
OUTCOME = json.dumps({"prediction_id": "20261126-abcdefghij-1", "observed_class": "Poor", "observed_at": "2026-11-26"})


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own; mounting needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def started(disk: Path, tmp_path: Path, **settings: str) -> Served:
    """The service with everything it writes on this disk."""
    pack_small_model(tmp_path / "model")
    return serve(disk, tmp_path / "model", BENTOML_HOME=str(disk / "bentoml"), QF_WORKERS="2", **settings)


def fill(ballast: Path) -> None:
    """Take the last byte of the disk; again what a file that the service replaced meanwhile gave back."""
    with open(ballast, "wb", buffering=0) as file:
        for _ in range(FILLS):
            block = bytes(1 << 20)
            while block:
                try:
                    file.write(block)
                except OSError:
                    block = block[: len(block) // 2]
            if shutil.disk_usage(ballast.parent).free == 0:
                return
    raise AssertionError("the disk was never full")


def workers(served: Served) -> set[tuple[int, float]]:
    """Who answers, by process id and start."""
    return {(one.pid, one.create_time()) for one in served.workers()}


def test_a_full_disk_kills_nobody(disk: Path, tmp_path: Path) -> None:
    """Scores 503, reads and refusals as ever, for known and new keys and addresses; and all is well with room again."""
    served = started(disk, tmp_path)
    unused = keys.issue(served.folder, "unused")
    try:
        assert served.ask("POST", "/v1/score", BODY)[0] == 200
        served.wait_until_known(unused)
        before = workers(served)
        fill(disk / "ballast")
        served.wait_for_each_worker(503, "POST", "/v1/score", BODY)
        for key in (served.key, unused):
            assert served.ask("POST", "/v1/score", BODY, key)[0] == 503
            assert served.ask("POST", "/v1/score", BODY, key, idempotency_key="once")[0] == 503
            assert (
                served.ask("POST", "/v1/score/batch", json.dumps({"applicants": [APPLICANT]}).encode(), key)[0] == 503
            )
            assert served.ask("POST", "/v1/outcomes", OUTCOME.encode(), key)[0] == 404
            assert served.ask("GET", "/v1/predictions/20261126-abcdefghij-1", None, key)[0] == 404
            for path in ("/v1/model", "/docs", "/openapi.json"):
                assert served.ask("GET", path, None, key)[0] == 200
        for place in range(40):
            wrong = keys_like(served.key, place)
            assert served.ask("POST", "/v1/score", BODY, wrong)[0] in (401, 429)
        assert served.ask("GET", "/livez", None, None)[0] == 200
        assert served.ask("GET", "/readyz", None, None)[0] == 503
        assert workers(served) == before
        (disk / "ballast").unlink()
        deadline = time.monotonic() + HEAL_S
        while served.ask("GET", "/readyz", None, None)[0] != 200 or served.ask("POST", "/v1/score", BODY)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert workers(served) == before
    finally:
        end(served.process)


def keys_like(key: str, place: int) -> str:
    """A key that opens nothing."""
    return f"{key[:-8]}{place:08d}"


def test_kept_answers_never_stop_scoring(disk: Path, tmp_path: Path, object_store: ObjectStore) -> None:
    """With the store healthy, more answers than the disk holds are given without one refusal."""
    served = started(
        disk,
        tmp_path,
        **object_store.variables,
        QF_SHIP_INTERVAL_S="1",
        QF_ACCESS_LOG="false",
    )
    (disk / "others").write_bytes(bytes(10 << 20))
    batch = json.dumps({"applicants": [APPLICANT] * 1000}).encode()
    try:
        given = 0
        while given < 80_000:  # 2 kB each: more than the disk holds
            status, answer = served.ask("POST", "/v1/score/batch", batch)
            assert status == 200, answer[:300]
            given += 1000
            time.sleep(0.4)
        assert served.ask("GET", "/readyz", None, None)[0] == 200
        metrics = keys.issue(served.folder, "prometheus", scopes=(keys.Scope.METRICS,))
        served.wait_until_known(metrics, good=True)
        text = served.ask("GET", "/metrics", None, None, authorization=f"Bearer {metrics}")[1].decode()
        dropped = [line for line in text.splitlines() if line.startswith("qf_answers_dropped_files_total")]
        assert float(dropped[0].split()[-1]) > 0
    finally:
        end(served.process)
