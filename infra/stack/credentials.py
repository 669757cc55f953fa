"""The generated credentials of the embedded stack and the file that tells a shell about the running stack."""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.settings import ROOT, StackSettings
from service.files import PRIVATE, replace
from service.s3 import environment

OPERATOR: Final = "admin"
"""Who signs in to Prefect and to MLflow."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
}


@dataclass(frozen=True)
class Credentials:
    """Key pair of the object store's only user."""

    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Logins:
    """Passwords of the control planes' only user."""

    prefect: str
    mlflow: str

    @property
    def mlflow_seal(self) -> str:
        """The secret that MLflow seals its own forms with."""
        return hashlib.sha256(f"forms {self.mlflow}".encode()).hexdigest()

    @property
    def prefect_auth(self) -> str:
        """User and password as Prefect's server, its clients and its sign-in page take them."""
        return f"{OPERATOR}:{self.prefect}"

    @property
    def sign_in_line(self) -> str:
        """How a person signs in, in one line."""
        return f"Prefect {self.prefect_auth}, MLflow user {OPERATOR} password {self.mlflow}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that clients of both read."""
        return {
            "PREFECT_API_AUTH_STRING": self.prefect_auth,
            "MLFLOW_TRACKING_USERNAME": OPERATOR,
            "MLFLOW_TRACKING_PASSWORD": self.mlflow,
        }


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace(path, text.encode(), PRIVATE)


def read_exports(path: Path) -> dict[str, str]:
    """Names and values of a file of `export` lines; empty where there is none."""
    if not path.exists():
        return {}
    lines = re.findall(r"^export (\w+)=(.*)$", path.read_text(), flags=re.MULTILINE)
    return {name: shlex.split(value)[0] if value else "" for name, value in lines}


def credentials(path: Path) -> Credentials:
    """The pair kept in the file of exports, or a new random one."""
    exports = read_exports(path)
    if exports.get("AWS_ACCESS_KEY_ID") and exports.get("AWS_SECRET_ACCESS_KEY"):
        return Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    return Credentials(f"qf{secrets.token_hex(8)}", secrets.token_urlsafe(30))


def logins(path: Path) -> Logins:
    """The passwords kept in the file of exports, or new random ones; one that is missing is made."""
    exports = read_exports(path)
    prefect = exports.get("PREFECT_API_AUTH_STRING", "").partition(":")[2]
    passwords = (prefect, exports.get("MLFLOW_TRACKING_PASSWORD", ""))
    return Logins(*(value or secrets.token_urlsafe(24) for value in passwords))


def mlflow_users(database_uri: str, cache_s: int = 0) -> str:
    """MLflow's file of authentication; its administrator's password comes from the environment."""
    return (
        "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
        f"database_uri = {database_uri}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "grant_default_workspace_access = false\n"
        f"auth_cache_ttl_seconds = {cache_s}\n"
    )


def store_variables(endpoint: str, pair: Credentials) -> dict[str, str]:
    """What an S3 client needs."""
    return environment(endpoint, pair.access_key, pair.secret_key) | {"AWS_EC2_METADATA_DISABLED": "true"}


def stack_variables(settings: StackSettings, pair: Credentials, passwords: Logins) -> dict[str, str]:
    """Environment of the stack's clients: addresses, credentials and folders."""
    state = settings.state_dir
    return {
        "QF_HOME": str(ROOT),
        "QF_API_URL": settings.api_url,
        "QF_UI_URL": settings.ui_url,
        "MLFLOW_TRACKING_URI": settings.mlflow_url,
        "PREFECT_API_URL": f"{settings.prefect_url}/api",
        **passwords.variables,
        **store_variables(settings.store_url, pair),
        "QF_STORE_ENDPOINT": settings.store_url,
        "QF_STATE_DIR": str(state),
        "QF_SERVICE_DIR": str(state / "service"),
        "BENTOML_HOME": str(state / "bentoml"),
        "PREFECT_HOME": str(state / "prefect"),
        **{f"QF_PORT_{name.upper()}": str(port) for name, port in settings.ports.items()},
        "QF_DEPLOY_COMMAND": "python -m infra.local release",  # packaging brings the version in front of partners
        "QF_IMAGE_FIRST": "false",  # ... from its Bento
        # The promise of 50 ms is for a machine of its own; here training and a desktop share the processor.
        "QF_P99_FLOOR_MS": "1000",
        **QUIET,
    }


def write_exports(path: Path, variables: dict[str, str]) -> None:
    """`. .local/env` makes a shell, and everything started from it, a client of the stack."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    write_private(path, "\n".join(lines) + "\n")
