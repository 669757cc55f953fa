"""What every test may ask for: the real store, MLflow and Prefect, the real data, a program of this machine.

Servers start once a session, on free ports, and only when a test asks. With several pytest workers all tests that use
one run in the same worker, so each server exists once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

from bentos.processes import answers, free_port
from infra.settings import HOST, ROOT, StackSettings
from infra.stack import object_store as store
from infra.stack import parts
from infra.stack.credentials import QUIET, Credentials, Logins, store_variables
from infra.stack.parts import StackPart
from infra.stack.processes import Recipe, Shelf, end
from tests.databases import Cluster, cluster
from tests.factories import SHELF

os.environ.update(QUIET)

# A shared machine pauses for seconds, so no example has a deadline; CI repeats its examples, people get new ones.
settings.register_profile("people", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("people"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "people")

START_TIMEOUT_S = 240
LOGINS = Logins("prefect-test-password", "mlflow-test-password")
SERVERS = {"object_store", "mlflow_server", "prefect_server"}
# Fixtures that start programs, and marks of what takes long: `--quick` leaves both out.
STARTS = SERVERS | {"database_cluster", "database", "require_program", "served", "live_api", "stack"}
NOT_QUICK = ("slow", "e2e", "needs_browser", "needs_engine", "needs_data", "full")
# The longest groups begin first, so that the last worker is not busy alone for minutes. The whole chain and the pages
# are one: beside trainings and containers, which change the machine's network, a page waits for minutes or loses a
# module.
CHAIN = "chain"
SERVER_GROUP = "servers"
# Of a test function: tracing for coverage doubles a test's time, and further cases tread the same lines.
TRACED_CASES = 2


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: a third of the time a test waits for servers, timers or a disk."""
    return (os.cpu_count() or 1) + 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--quick`, which `make quick` gives."""
    parser.addoption("--quick", action="store_true", help="leave out what needs a server, a browser or an engine")


def pytest_configure(config: pytest.Config) -> None:
    """A folder for the models of this run, which its workers share; each is trained once."""
    if not hasattr(config, "workerinput"):
        # pylint: disable-next=consider-using-with  # ended when pytest ends
        models = tempfile.TemporaryDirectory(prefix="test-models-")
        os.environ[SHELF] = models.name
        config.add_cleanup(models.cleanup)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep in one worker what shares a server or a module's fixtures; start with what takes longest."""
    if config.getoption("--quick"):
        left_out = [item for item in items if _needs_more_than_python(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    cases: Counter[str] = Counter()
    for item in items:
        cases[function := item.nodeid.partition("[")[0]] += 1
        if cases[function] > TRACED_CASES:
            item.add_marker(pytest.mark.no_cover)
        if SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(SERVER_GROUP))
        elif not any(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(ROOT).as_posix()))
    slow = {_group(item) for item in items if item.get_closest_marker("slow")}
    order = [{CHAIN}, {SERVER_GROUP}, slow]
    items.sort(
        key=lambda item: next((place for place, groups in enumerate(order) if _group(item) in groups), len(order))
    )


def _needs_more_than_python(item: pytest.Item) -> bool:
    """Whether a test starts servers or programs, or takes long."""
    asked = set(getattr(item, "fixturenames", ()))
    return bool(STARTS & asked) or any(item.get_closest_marker(mark) for mark in NOT_QUICK)


def _group(item: pytest.Item) -> str:
    """Name of the group whose tests one worker runs."""
    return next(str(mark.args[0]) for mark in item.iter_markers("xdist_group"))


@pytest.fixture(scope="session", name="require_program")
def _require_program() -> Callable[[str], str]:
    """Path of a program; skips where it is absent, fails instead where QF_REQUIRE_ALL=1 promises everything."""

    def find(name: str) -> str:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        if found:
            return found
        reason = f"the program {name} is not installed"
        if os.environ.get("QF_REQUIRE_ALL") == "1":
            raise pytest.fail.Exception(f"{reason}, and QF_REQUIRE_ALL=1 allows no skip")
        raise pytest.skip.Exception(reason)

    return find


@pytest.fixture(scope="session", name="shared_data")
def _shared_data() -> Path:
    """Folder of the real data beside the project; skips where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real data is not beside the project (../shared/data)")
    return folder


@dataclass(frozen=True)
class ObjectStore:
    """A running S3 server with the project's buckets."""

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def variables(self) -> dict[str, str]:
        """Environment of its clients."""
        return store_variables(self.endpoint, self.pair)

    @property
    def pair(self) -> Credentials:
        """Its only user."""
        return Credentials(self.access_key, self.secret_key)

    def client(self) -> S3Client:
        """A client of it."""
        return store.client(self.endpoint, self.pair)


@contextmanager
def serving(part: StackPart, folder: Path) -> Iterator[None]:
    """A part for as long as the block lasts."""
    shelf = Shelf(folder)
    untraced = {name: "" for name in os.environ if name.startswith("COV")}  # a traced server answers slowly
    running = shelf.spawn(part.name, Recipe(part.recipe.command, {**part.recipe.env, **untraced}, part.recipe.cwd))
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers(part.probe):
            if not running.alive() or time.monotonic() > deadline:
                pytest.fail(f"{part.name} did not start: {shelf.tail(part.name)}")
            time.sleep(0.1)
        yield
    finally:
        end(running, patience_s=5)


@contextmanager
def signed_in() -> Iterator[None]:
    """The passwords of the servers in this process's environment, where every client looks for them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LOGINS.variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session", name="object_store")
def _object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """The embedded object store with buckets data, mlflow, predictions and reports."""
    folder = tmp_path_factory.mktemp("store")
    settings = StackSettings(state_dir=folder, port_store=free_port())
    pair = Credentials("qf-test", "qf-test-secret")
    store.format_volume(folder / "store")
    with serving(parts.object_store(settings, pair), folder):
        store.make_buckets(settings.store_url, pair)
        yield ObjectStore(settings.store_url, pair.access_key, pair.secret_key)


@pytest.fixture(scope="session", name="database_cluster")
def _database_cluster() -> Iterator[Cluster]:
    """A running PostgreSQL with no database of ours in it."""
    with cluster() as made:
        yield made


@pytest.fixture(name="database")
def _database(database_cluster: Cluster) -> str:
    """Address of a new database that has the ledger's tables."""
    from service.database import migrations

    url = database_cluster.new_database()
    migrations.migrate(url)
    return url


@pytest.fixture(scope="session", name="mlflow_server")
def _mlflow_server(object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Tracking URI of an MLflow server whose artifacts lie in bucket `mlflow`."""
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    with serving(parts.mlflow(folder, port, object_store.variables, LOGINS), folder), signed_in():
        yield f"http://{HOST}:{port}"


@pytest.fixture(scope="session", name="prefect_server")
def _prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """API URL of a Prefect server; flows called in this process report to it from then on."""
    from prefect import settings as prefect
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    folder, port = tmp_path_factory.mktemp("prefect"), free_port()
    url = f"http://{HOST}:{port}/api"
    known = {
        prefect.PREFECT_API_URL: url,
        prefect.PREFECT_HOME: folder,
        prefect.PREFECT_API_AUTH_STRING: LOGINS.prefect_auth,
    }
    with serving(parts.prefect(folder, port, LOGINS), folder), signed_in():
        with prefect.temporary_settings(known):
            yield url
            # The senders of this process would try to reach the ended server, and complain after pytest's last word.
            EventsWorker.drain_all()
            APILogWorker.drain_all()
