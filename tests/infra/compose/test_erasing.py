"""What the documents tell an operator of compose to type, and that it reaches what a person is erased from."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import dataset
from flows.retention import RetentionPlace
from infra.compose import passwords
from infra.compose.rights import DELETE, RIGHTS
from infra.settings import ROOT
from service.s3 import DATA_BUCKET, PREDICTIONS_BUCKET, REPORTS_BUCKET
from service.settings import ServiceSettings
from tests.infra import compose_file

SERVICES: dict[str, dict[str, Any]] = compose_file.raw()["services"]
IMAGE = (ROOT / "infra" / "Dockerfile.flows").read_text("utf-8")
PAGES = [path for path in ROOT.rglob("*.md") if not {".venv", ".local", "build"} & set(path.parts)]
BLOCK = re.search(
    r"```sh\n(\(\. \.local/compose/env.*?)```", (ROOT / "data" / "README.md").read_text("utf-8"), re.DOTALL
)
TYPED = re.compile(
    r"compose(?: [-.\w/]+)*? (?:exec|run|restart)((?: -{1,2}\w+(?: (?:[A-Z_]+|[\d:]+))?)*)(?: \\\n)?"
    r"\s+([a-z-]+)([^`\n]*)"
)
DOCKER = """import json, os, sys
told = {"arguments": sys.argv[1:], "key": os.environ["AWS_ACCESS_KEY_ID"], "secret": os.environ["AWS_SECRET_ACCESS_KEY"]}
print(json.dumps(told | {"number": sys.stdin.readline().strip()}))
"""


def told_by_image(name: str) -> str:
    """A variable of the flows' image."""
    return str(re.search(rf"\b{name}=(\S+)", IMAGE).group(1))  # type: ignore[union-attr]


def mounts(service: str) -> Iterator[tuple[str, str, str]]:
    """Volume, folder in it and place in the container of everything that a service may write to."""
    for volume in SERVICES[service].get("volumes", []):
        if isinstance(volume, dict):
            if not volume.get("read_only"):
                yield volume["source"], volume["volume"]["subpath"], volume["target"]
        elif not volume.endswith(":ro"):
            yield volume.split(":")[0], "", volume.split(":")[1]


def test_what_an_operator_types_names_what_is_there() -> None:
    """Every `compose exec`, `run` and `restart` of a document: the service is there, and so is the module it runs."""
    found = [(page, *match) for page in PAGES for match in TYPED.findall(page.read_text("utf-8"))]
    assert {service for _, _, service, _ in found} >= {
        "worker-model",
        "worker-release",
        "api-blue",
        "bootstrap",
        "mlflow",
        "postgres",
    }
    for page, _, service, rest in found:
        assert service in SERVICES, f"{page}: {service}"
        for module in re.findall(r"python3? -m ([\w.]+)", rest):
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), f"{page}: {module}"


def test_the_training_data_are_erased_with_the_administrators_key(tmp_path: Path) -> None:
    """The block as it stands, with the credentials as they are made: the key goes by its name and is no argument."""
    passwords.write(tmp_path / ".local" / "compose")
    values = passwords.read_env(tmp_path / ".local" / "compose" / "env")
    (tmp_path / "number").write_text("CUS_0x1\n")
    (tmp_path / "docker.py").write_text(DOCKER)
    (tmp_path / "docker").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/docker.py" "$@"\n')
    (tmp_path / "docker").chmod(0o700)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert BLOCK is not None

    done = subprocess.run(
        ["sh", "-eu", "-c", BLOCK.group(1)], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )

    told = json.loads(done.stdout)
    admin, secret = (values[name] for name in passwords.store_names("admin"))
    assert (told["key"], told["secret"], told["number"]) == (admin, secret, "CUS_0x1")
    assert not {admin, secret, "CUS_0x1"} & set(told["arguments"])
    compose, _, command = " ".join(told["arguments"]).partition(" worker-model ")
    file = told["arguments"][told["arguments"].index("-f") + 1]
    assert (ROOT / file).resolve() == compose_file.FILE
    assert compose.startswith("compose --env-file .local/compose/env ")
    assert " exec -T -e AWS_ACCESS_KEY_ID -e AWS_SECRET_ACCESS_KEY" in compose
    assert command.startswith("python3 -m flows.dataset erase --requested-by ")


def test_where_it_runs_it_reaches_the_training_data() -> None:
    """Raw and prepared tables, the list of who was erased and the trail lie on volumes of the worker's own user, and
    the store, whose versions go, is on one of its networks."""
    home = re.search(r"^WORKDIR (\S+)$", IMAGE, re.MULTILINE)
    assert home is not None
    folders = {place: volume for volume, _, place in mounts("worker-model")}
    for folder in (dataset.RAW_FILE.parent, dataset.PROCESSED):
        assert f"{home.group(1)}/{folder}" in folders
    assert told_by_image("QF_STATE_DIR") in folders
    assert SERVICES["worker-model"]["user"] == "1000:1000"
    owned = re.search(r"chown 1000:1000 ([^&]*)$", SERVICES["volumes"]["command"].rstrip('"'))
    assert owned is not None and {f"/{volume}" for volume in folders.values()} <= set(owned.group(1).split())
    assert set(SERVICES["worker-model"]["networks"]) & set(SERVICES["store"]["networks"])


def test_the_retention_worker_reaches_a_customer_of_a_partner() -> None:
    """Journal and jobs of the host where the API keeps them, each made for its user; predictions, reports and old
    versions to delete; the trail; Prefect, whose runs name who was erased. Nothing of the host beside."""
    api = {volume: place for volume, _, place in mounts("api-blue")}
    host = ServiceSettings(service_dir=Path(api["service"]))
    seen = {place: folder for volume, folder, place in mounts("worker-retention") if volume == "service"}
    place = RetentionPlace(service_dir=Path(told_by_image("QF_SERVICE_DIR")))

    assert seen == {str(place.outbox): "outbox", str(place.jobs): host.jobs_dir.name}
    assert {host.service_dir / "outbox", host.jobs_dir} == {host.service_dir / name for name in seen.values()}
    made = SERVICES["volumes"]["command"]
    assert "mkdir -p " + " ".join(f"/service/{name}" for name in seen.values()) in made
    assert told_by_image("QF_STATE_DIR") in {place for _, _, place in mounts("worker-retention")}
    deletes = {right.bucket for right in RIGHTS["retention"] if set(DELETE) <= set(right.actions)}
    assert deletes == {PREDICTIONS_BUCKET, REPORTS_BUCKET, DATA_BUCKET}
    for other in ("store", "prefect"):
        assert set(SERVICES["worker-retention"]["networks"]) & set(SERVICES[other]["networks"]), other


@pytest.mark.parametrize("colour", ["api-blue", "api-green"])
def test_a_pseudonym_is_made_where_the_pepper_lies(colour: str) -> None:
    """In the API's containers, on the volume with its keys, which no worker sees."""
    place = {volume: place for volume, _, place in mounts(colour)}["service"]
    settings = ServiceSettings(service_dir=Path(SERVICES[colour]["environment"]["QF_SERVICE_DIR"]))

    assert settings.pepper_file.is_relative_to(place)
    whole = {name for name in SERVICES for volume, folder, _ in mounts(name) if volume == "service" and not folder}
    assert not {name for name in whole if name.startswith("worker-")}
