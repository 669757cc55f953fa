"""Two releases serve side by side on one database, as in every rollout: another model, another step of the schema."""

# pylint: disable=redefined-outer-name  # how pytest hands fixtures over

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from bentos.packing.bento import STAGED, bento_environment, pack
from service.database.migrations import VERSION
from service.docs.examples import APPLICANT
from tests.bentos.hosts import HOME
from tests.conftest import ObjectStore
from tests.factories import pack_small_model
from tests.faults.chaos import client, rows_in
from tests.faults.front import END_S, Front
from tests.faults.hosts import drain, environment_of_hosts
from tests.faults.load import Load
from tests.faults.served_bento import kill_tree
from tests.redis_server import redis_server

RATE = 20
STEADY_S = 5
KEYS = 20
BUCKET = "rollout"
BODY = json.dumps(APPLICANT).encode()
NEXT_STEP = f"""\
    Migration(
        {VERSION + 1},
        {VERSION},
        "ALTER TABLE ledger.segment ADD COLUMN note text;",
    ),
)
VERSION: Final"""


class Releases(NamedTuple):
    """Two Bentos: this code with one model, and what may follow it, with another model and a step of the schema."""

    before: Path
    after: Path


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Releases:
    """Both, packed as the packaging flow packs."""
    folder = tmp_path_factory.mktemp("releases")
    homes = HOME, folder / "home"
    for name in STAGED:
        source, target = HOME / name, homes[1] / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    steps = homes[1] / "service" / "database" / "migrations.py"
    known = steps.read_text("utf-8")
    assert known.count(")\nVERSION: Final") == 1
    steps.write_text(known.replace(")\nVERSION: Final", NEXT_STEP), "utf-8")
    paths = []
    for number, home in enumerate(homes, start=1):
        package = folder / f"model-{number}"
        manifest = pack_small_model(
            package, rows=600, trees=10 * number, seed=number, version=str(number), compile_kernel=False
        )
        packed = pack(
            package, version=number, digest=manifest.digest, home=home, store=folder / "bentos", base_image="none"
        )
        paths.append(packed.path)
    return Releases(*paths)


def refused(front: Front, place: int, bento: Path) -> str:
    """The last line of a start that ended by itself."""
    process = front.start(place, bento)
    try:
        assert process.wait(END_S) != 0
    finally:
        kill_tree(process)
    return (front.folders[place] / "server.log").read_text().strip().splitlines()[-1]


@dataclass
class Rollout:
    """To the release after and back, under load."""

    front: Front
    releases: Releases
    database: str
    load: Load
    running: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    replays: list[bytes] = field(default_factory=list)
    """What was answered under a key, by the host that was asked first."""
    early: str = ""
    """The last line of the release after, where the step was not taken yet."""
    late: str = ""
    """The last line of the release before, where another step allows no release of its age."""

    def run(self) -> None:
        """All of it."""
        self._start(0, self.releases.before)
        with self.load:
            self.early = refused(self.front, 1, self.releases.after)
            migrate(self.releases.after, self.database)
            self._start(1, self.releases.after)
            time.sleep(STEADY_S)
            self.replays = [self._asked_of_both(f"key-{number}", number % 2) for number in range(KEYS)]
            self.front.leave(self.running[0])
            with psycopg.connect(self.database, autocommit=True) as link:
                link.execute("INSERT INTO ledger.migration VALUES (%s, %s)", (VERSION + 2, VERSION + 2))
                self.late = refused(self.front, 0, self.releases.before)
                link.execute("DELETE FROM ledger.migration WHERE version = %s", (VERSION + 2,))
            self._start(0, self.releases.before)
            time.sleep(STEADY_S)

    def answers(self) -> dict[str, str]:
        """The version that gave each answer, by its id."""
        found = dict(self.load.answered)
        for content in self.replays:
            answer = json.loads(content)
            found[answer["prediction_id"]] = answer["model"]["version"]
        return found

    def reads(self, place: int, identifier: str, version: str) -> bool:
        """Whether a host finds an answer, and the version that gave it."""
        status, content = self.front.ask(place, "GET", f"/v1/predictions/{identifier}")
        return status == 200 and bool(json.loads(content)["model"]["version"] == version)

    def end(self) -> None:
        """Nothing runs any more."""
        for process in self.running.values():
            kill_tree(process)
        self.front.close()

    def _start(self, place: int, bento: Path) -> None:
        self.running[place] = self.front.start(place, bento)
        self.front.await_ready(place)

    def _asked_of_both(self, key: str, first: int) -> bytes:
        """The answer to a key, which the other host and then the first repeat."""
        answers = [
            self.front.ask(place, "POST", "/v1/score", BODY, idempotency_key=key) for place in (first, 1 - first, first)
        ]
        assert answers[0][0] == 200 and answers[1:] == answers[:1] * 2
        return answers[0][1]


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_releases_share_a_database_through_a_rollout(
    object_store: ObjectStore, database: str, releases: Releases, tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """No request fails, a key has one answer, each reads the other's, each row names its model, and all is shipped."""
    client(object_store).create_bucket(Bucket=BUCKET)
    with redis_server(require_program, tmp_path) as redis:
        environment = environment_of_hosts(object_store, BUCKET, database, redis.url)
        front = Front(tmp_path, require_program("nginx"), 2, environment)
        front.open()
        rollout = Rollout(front, releases, database, Load(front.port, front.trust, front.api_key, BODY, rate=RATE))
        try:
            rollout.run()
            answers = rollout.answers()
            unread = [
                one for one, version in answers.items() for place in (0, 1) if not rollout.reads(place, one, version)
            ]
            drain(database)
        finally:
            rollout.end()
    rows = [(row["prediction_id"], row["model_version"]) for row in rows_in(object_store, BUCKET)]
    load, early, late = rollout.load, rollout.early, rollout.late
    print(
        f"\n{load.statuses.total()} requests, failed {load.failed}, by version {dict(load.versions)}, {KEYS} keys asked"
        f" of both; {len(rows)} rows, {len(unread)} answers unread\nearly: {early}\nlate: {late}"
    )
    assert load.failed == {} and set(load.versions) == {"1", "2"}
    assert f"the database has schema {VERSION}, this release needs {VERSION + 1}; run python -m service" in early
    assert f"has schema {VERSION + 2}, which needs a release that knows {VERSION + 2}; this one knows {VERSION}" in late
    assert {json.loads(content)["model"]["version"] for content in rollout.replays} == {"1", "2"}
    assert not unread
    assert len(rows) == len(answers) == load.statuses["200"] + KEYS and dict(rows) == answers


def migrate(bento: Path, database: str) -> None:
    """The next release's step, taken while the one before serves."""
    environment = {**bento_environment(bento.parents[2]), "QF_DATABASE_URL": database}
    command = [sys.executable, "-m", "service.ledger", "migrate"]
    told = subprocess.run(command, cwd=bento / "src", env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == f"schema {VERSION + 1}: took steps [{VERSION + 1}]\n"
