"""The parts of the embedded stack: how each is started and how it is known to answer."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bentos.digests import bento_path
from bentos.errors import TrailBroken
from bentos.processes import PROBE_TIMEOUT_S
from bentos.registry.audit_trail import Trail, TrailEntry
from bentos.registry.products import embedded
from bentos.settings import BentosSettings
from infra.errors import StackError
from infra.settings import HOST, ROOT, StackSettings
from infra.stack import object_store as store
from infra.stack.credentials import (
    OPERATOR,
    QUIET,
    Credentials,
    Logins,
    mlflow_users,
    store_variables,
    write_private,
)
from infra.stack.processes import Recipe
from infra.stack.scoring_roots import scoring_roots
from service.s3 import MLFLOW_BUCKET

NAMES: Final = ("store", "mlflow", "prefect", "worker", "api", "ui")
ALWAYS: Final = ("store", "mlflow", "prefect", "worker")  # the API and the UI need something to serve first
WORKER: Final = "embedded"
CACHE_S: Final = 60  # MLflow believes a password again for so long; its digest costs tens of milliseconds of a core


@dataclass(frozen=True)
class StackPart:
    """One supervised program."""

    name: str
    recipe: Recipe
    probe: str  # URL that answers 2xx once the part works; empty: alive is enough
    page: str = ""  # what a person opens

    @property
    def setting(self) -> str:
        """The setting that moves its port."""
        return f"QF_PORT_{self.name.upper()}"


def answering(settings: StackSettings, key_file: Path) -> str:
    """The model that answers and with which engine; empty where there is no partner's key to ask with, or no answer."""
    if not key_file.exists():
        return ""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(
        f"{settings.api_url}/v1/model", headers={"x-api-key": key_file.read_text(encoding="utf-8").strip()}
    )
    try:
        with opener.open(request, timeout=PROBE_TIMEOUT_S) as response:
            model = json.load(response)
            return f"{model['name']} {model['version']}, {model['engine']} engine"
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError):
        return ""


def object_store(settings: StackSettings, pair: Credentials) -> StackPart:
    """MinIO's gateway."""
    recipe = store.gateway(settings.state_dir / "store", settings.port_store, pair)
    return StackPart("store", recipe, f"{settings.store_url}/minio/health/live")


def mlflow(folder: Path, port: int, store_env: Mapping[str, str], passwords: Logins) -> StackPart:
    """MLflow over SQLite, with a password. It alone holds the store's keys: clients send artifacts through it."""
    folder.mkdir(parents=True, exist_ok=True)
    # MLflow takes its only user's password when it makes the file of users, so another password has another file.
    users = folder / f"users-{passwords.mlflow_seal[:12]}.db"
    for old in set(folder.glob("users*.db")) - {users}:
        old.unlink()
    write_private(folder / "auth.ini", mlflow_users(f"sqlite:///{users}", CACHE_S))
    origins = f"http://{HOST}:{port},http://localhost:{port}"
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--serve-artifacts", "--artifacts-destination", f"s3://{MLFLOW_BUCKET}"),
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}", "--cors-allowed-origins", origins),
    )
    env = {
        **QUIET,
        **store_env,
        "MLFLOW_S3_ENDPOINT_URL": store_env["AWS_ENDPOINT_URL_S3"],
        # Nothing here uses MLflow's background jobs, and their seven processes each take 250 MB and a slow import.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": OPERATOR,
        "MLFLOW_AUTH_ADMIN_PASSWORD": passwords.mlflow,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": passwords.mlflow_seal,
    }
    url = f"http://{HOST}:{port}"
    return StackPart("mlflow", Recipe(command, env, folder, port), f"{url}/health", url)


def prefect(folder: Path, port: int, passwords: Logins) -> StackPart:
    """Prefect's server and pages over SQLite, behind its door and with a password."""
    folder.mkdir(parents=True, exist_ok=True)
    command = (
        *(sys.executable, "-m", "uvicorn", "--factory", "infra.stack.doors:prefect"),
        *("--host", HOST, "--port", str(port), "--log-level", "warning"),
    )
    url = f"http://{HOST}:{port}"
    env = {
        **QUIET,
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": passwords.prefect_auth,
        "PREFECT_API_AUTH_STRING": passwords.prefect_auth,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
        "PREFECT_UI_API_URL": "/api",  # under whichever of its names the page was opened
        # SQLite has one writer: on a busy machine ten seconds of waiting for it are answered with 503.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "30",
    }
    return StackPart("prefect", Recipe(command, env, folder, port), f"{url}/api/health", url)


def worker(settings: StackSettings, variables: Mapping[str, str], pool: str) -> StackPart:
    """One process worker; flow runs are its children and get its environment."""
    command = (
        *(sys.executable, "-m", "prefect", "worker", "start"),
        *("--pool", pool, "--name", WORKER, "--type", "process"),
    )
    # No --limit: with one, Prefect 3.8's worker dies when a suspended run is resumed before its first process has ended
    # ("this borrower is already holding one of this CapacityLimiter's tokens"). Deployments bound their own runs.
    # The default of ten seconds between two looks would be most of the time a small flow takes.
    env = {**variables, "PREFECT_WORKER_QUERY_SECONDS": "2", "PYTHONUNBUFFERED": "1"}
    # The worker's alone: whoever sees Prefect's form names places here, a shell scores with its person's own rights.
    env["QF_SCORING_ROOTS"] = scoring_roots(settings)
    # A run tells that it lives: the automation heal-lost-runs ends one that no longer does (infra/automations.yaml).
    env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] = "30"
    return StackPart("worker", Recipe(command, env, ROOT), "")


def trail(settings: StackSettings) -> Trail:
    """The stack's audit trail."""
    return Trail(BentosSettings(state_dir=settings.state_dir).trail_file)


def released(settings: StackSettings) -> TrailEntry | None:
    """The release to the API that was proved in front of partners; None before the first.

    The audit trail says it, which lies apart from the Bentos: who can write there chooses nothing by that.

    Raises:
        StackError: the audit trail is not intact.
    """
    try:
        return embedded(trail(settings).entries())
    except TrailBroken as error:
        raise StackError(str(error)) from error


def served_bento(settings: StackSettings) -> str | None:
    """Tag of the Bento that was proved in front of partners; None before the first was. The newest is no answer."""
    release = released(settings)
    return release.artefact or None if release else None


def bento_to_serve(settings: StackSettings) -> str:
    """Tag of the Bento that is served.

    Raises:
        StackError: no Bento is packed yet.
    """
    if not (bento := served_bento(settings)):
        raise StackError("no model is served yet; run `make demo` first")
    return bento


def served_model(settings: StackSettings) -> Path:
    """The packed model inside the Bento that is served.

    Raises:
        StackError: no Bento is packed yet.
    """
    return bento_path(settings.state_dir / "bentoml", bento_to_serve(settings)) / "src" / "model"


def api(settings: StackSettings, pair: Credentials, bento: str) -> StackPart:
    """The scoring service out of its Bento; it starts whether or not the other parts run."""
    env = {
        **QUIET,
        **store_variables(settings.store_url, pair),
        "BENTOML_HOME": str(settings.state_dir / "bentoml"),
        "PYTHONDONTWRITEBYTECODE": "1",  # a Bento stays what it was proved to be
        "QF_SERVICE_DIR": str(settings.state_dir / "service"),
        "QF_REVIEWERS": str(settings.state_dir / "reviewers.json"),
        "QF_STORE_ENDPOINT": settings.store_url,
        "QF_SHIP_INTERVAL_S": "5",  # on one machine somebody watches: predictions reach the bucket within seconds
    }
    port = settings.port_api
    program = "infra.stack.listening"  # bentoml's command line, on a port that the next version can take over
    command = (sys.executable, "-m", program, "serve", bento, "--host", HOST, "--port", str(port))
    # Started away from the project: the Bento runs on what it carries, not on the working tree.
    return StackPart(
        "api",
        Recipe(command, env, settings.state_dir / "bentoml", port, takes_socket=True),
        f"{settings.api_url}/readyz",
        f"{settings.api_url}/docs",
    )


def ui(settings: StackSettings, secrets_file: Path, version: str) -> StackPart:
    """The Streamlit demo; its key comes from its secrets file alone, another `version` of which restarts it."""
    command = (
        *(sys.executable, "-m", "streamlit", "run", str(ROOT / "ui" / "app.py")),
        *("--server.address", HOST, "--server.port", str(settings.port_ui), "--server.headless", "true"),
        *("--browser.gatherUsageStats", "false", "--server.fileWatcherType", "none"),
        *("--secrets.files", str(secrets_file)),
    )
    env = {
        **QUIET,
        "QF_STATE_DIR": str(settings.state_dir),
        "QF_UI_SECRETS_VERSION": version,
        "QF_UI_HOSTS": f"{HOST},localhost",
    }
    recipe = Recipe(command, env, ROOT, settings.port_ui)
    return StackPart("ui", recipe, f"{settings.ui_url}/_stcore/health", settings.ui_url)
