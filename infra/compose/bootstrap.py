"""What a new compose stack or cluster needs before its first run: `python -m infra.compose.bootstrap`, safe to repeat.

Buckets and their lifecycle, MLflow's user of the flows, Prefect's work pool and deployments, the first keys of the API.
One line a step; the first failure is one line too, and ends it with 1.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import httpx
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import StackError
from infra.settings import ROOT
from infra.stack import object_store
from infra.stack.credentials import Credentials
from infra.stack.deployments import close_forms, deploy_all, ensure_automations, work_pool
from infra.stack.partner_keys import PARTNER
from service import keys
from service.access.keystore import PARTNER_SCOPES, Scope
from service.contract import PRODUCT
from service.errors import ServiceError
from service.s3 import BUCKETS

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

MODEL: Final = PRODUCT  # MLflow's experiment and registered model
FLOWS: Final = "flows"  # MLflow's user of the workers
TIMEOUT_S: Final = 30.0
HALF_UPLOADS_DAYS: Final = 7
JOB_TEMPLATE: Final = ROOT / "infra" / "kubernetes" / "job-template.json"


class BootstrapSettings(BaseSettings):
    """Where the parts answer and with which credentials; names without prefix are those the clients read themselves."""

    model_config = SettingsConfigDict(env_prefix="QF_", extra="ignore", frozen=True, hide_input_in_errors=True)

    store_endpoint: Annotated[str, Field(description="S3 endpoint.")]
    access_key: Annotated[str, Field(alias="AWS_ACCESS_KEY_ID", description="The store's administrator.")]
    secret_key: Annotated[SecretStr, Field(alias="AWS_SECRET_ACCESS_KEY", description="Its secret.")]
    tracking_uri: Annotated[str, Field(alias="MLFLOW_TRACKING_URI", description="MLflow.")]
    mlflow_user: Annotated[str, Field(alias="MLFLOW_TRACKING_USERNAME", description="MLflow's administrator.")]
    mlflow_password: Annotated[SecretStr, Field(alias="MLFLOW_TRACKING_PASSWORD", description="Its password.")]
    mlflow_flows_password: Annotated[SecretStr, Field(description="Password of MLflow's user of the flows.")]
    prefect_url: Annotated[str, Field(alias="PREFECT_API_URL", description="Prefect's API.")]
    pool_type: Annotated[Literal["process", "kubernetes"], Field(description="Type of the work pool.")] = "process"
    service_dir: Annotated[Path | None, Field(description="The API's folder: keys are issued there.")] = None
    database_url: Annotated[
        SecretStr | None, Field(description="Database of several hosts: keys are issued there.")
    ] = None
    handover_dir: Annotated[Path | None, Field(description="Where the keys of Prometheus and the UI are left.")] = None
    ui_endpoint: Annotated[str, Field(description="Where the UI's server reaches the API.")] = "https://proxy:8443"
    ui_store_access_key: Annotated[str, Field(description="The UI's user of the store, for reports.")] = ""
    ui_store_secret_key: Annotated[SecretStr, Field(description="Its secret.")] = SecretStr("")


def read_settings() -> BootstrapSettings:
    """The settings of this environment.

    Raises:
        StackError: one is missing or makes no sense.
    """
    try:
        return BootstrapSettings()  # the environment fills it
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        raise StackError(f"{name if name.isupper() else f'QF_{name.upper()}'}: {first['msg']}") from None


@contextmanager
def part(name: str, address: str) -> Iterator[None]:
    """Turns whatever goes wrong with a part into one line; never a credential in it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, httpx.TransportError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        raise StackError(f"{name} at {address}: {code or type(error).__name__}") from error
    except httpx.HTTPStatusError as error:
        answer = error.response
        raise StackError(f"{name} at {address}: {answer.request.url.path} answered {answer.status_code}") from error


def make_store(settings: BootstrapSettings) -> str:
    """The buckets, in each an end to uploads that were never finished, and every object encrypted at rest.

    Retention of predictions is no lifecycle rule: rows lose their features long before they go, which a flow does.
    """
    pair = Credentials(settings.access_key, settings.secret_key.get_secret_value())
    rule: Any = {
        "ID": "half-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": HALF_UPLOADS_DAYS},
    }
    encrypted: Any = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    with part("store", settings.store_endpoint):
        object_store.make_buckets(settings.store_endpoint, pair)
        client = object_store.client(settings.store_endpoint, pair)
        ends = _configure_buckets(
            lambda bucket: client.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
            )
        )
        encrypts = _configure_buckets(
            lambda bucket: client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=encrypted)
        )
    return "; ".join(
        (
            f"buckets {', '.join(BUCKETS)}",
            f"unfinished uploads end after {HALF_UPLOADS_DAYS} days" if ends else "this store knows no lifecycle",
            "objects are encrypted at rest" if encrypts else "this store encrypts nothing: its disk has to",
        )
    )


def _configure_buckets(configure: Callable[[str], object]) -> bool:
    """True if the store takes a configuration of each bucket, False if it does not know such a thing.

    Raises:
        ClientError: it refuses it otherwise.
    """
    from botocore.exceptions import ClientError

    try:
        for bucket in BUCKETS:
            configure(bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NotImplemented", "MethodNotAllowed"):
            raise
        return False
    return True


def make_mlflow(settings: BootstrapSettings) -> str:
    """The user of the flows: it may manage the one experiment and the one registered model, and sees nothing else."""
    admin = (settings.mlflow_user, settings.mlflow_password.get_secret_value())
    secret = settings.mlflow_flows_password.get_secret_value()
    with (
        part("mlflow", settings.tracking_uri),
        httpx.Client(base_url=settings.tracking_uri, auth=admin, timeout=TIMEOUT_S, trust_env=False) as http,
    ):
        api = "/api/2.0/mlflow"
        if http.get(f"{api}/users/get", params={"username": FLOWS}).status_code == httpx.codes.NOT_FOUND:
            http.post(f"{api}/users/create", json={"username": FLOWS, "password": secret}).raise_for_status()
        else:
            changed = http.patch(f"{api}/users/update-password", json={"username": FLOWS, "password": secret})
            changed.raise_for_status()
        answer = http.get(f"{api}/experiments/get-by-name", params={"experiment_name": MODEL})
        if answer.status_code == httpx.codes.NOT_FOUND:
            answer = http.post(f"{api}/experiments/create", json={"name": MODEL}).raise_for_status()
            experiment = answer.json()["experiment_id"]
        else:
            experiment = answer.raise_for_status().json()["experiment"]["experiment_id"]
        registration = http.get(f"{api}/registered-models/get", params={"name": MODEL})
        if registration.status_code == httpx.codes.NOT_FOUND:
            http.post(f"{api}/registered-models/create", json={"name": MODEL}).raise_for_status()
        for kind, which in (("experiment", experiment), ("registered_model", MODEL)):
            whom = {"username": FLOWS, "resource_type": kind, "resource_id": which}
            has = http.get("/api/3.0/mlflow/users/permissions/get", params=whom)
            if has.is_success and has.json().get("permission") == "MANAGE":
                continue  # a second grant of the same is refused
            grant = {**whom, "permission": "MANAGE"}
            http.post("/api/3.0/mlflow/users/permissions/grant", json=grant).raise_for_status()
    return f"user {FLOWS} manages experiment and model {MODEL}, nothing else"


def make_prefect(settings: BootstrapSettings) -> str:
    """The work pool and the deployments of prefect.yaml, which bring their own limits and schedules."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    pool, template = work_pool(), job_template(settings.pool_type)
    with part("prefect", settings.prefect_url), get_client(sync_client=True) as client:
        try:
            kind = client.read_work_pool(pool).type
            if kind != settings.pool_type:
                raise StackError(f"work pool {pool} is of type {kind}, QF_POOL_TYPE says {settings.pool_type}")
            client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=pool, type=settings.pool_type, base_job_template=template))
        deploy_all({"QF_HOME": os.environ.get("QF_HOME", str(ROOT))})
        close_forms(lambda method, path, body: _request(client, method, path, body))
        ensure_automations(lambda method, path, body: _request(client, method, path, body))
    return f"pool {pool} of type {settings.pool_type}, deployments as prefect.yaml says"


def job_template(pool_type: str) -> dict[str, Any]:
    """How the pool's runs are started. A pool without it asks its first worker for one, which may not make it."""
    if pool_type == "kubernetes":
        template: dict[str, Any] = json.loads(JOB_TEMPLATE.read_text())
        return template
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def _request(client: SyncPrefectClient, method: Any, path: Any, body: Any) -> Any:
    return client.request(method, path, json=body).raise_for_status()


def make_keys(settings: BootstrapSettings) -> str:
    """The keys of Prometheus and of the UI's partner, left where only they read them; never printed."""
    if settings.handover_dir is None or settings.service_dir is None:
        return "none issued: QF_HANDOVER_DIR and QF_SERVICE_DIR are not both set"
    handover = settings.handover_dir
    new = [
        name
        for name, is_new in (
            (
                "prometheus",
                _hand_over(settings, "prometheus", (Scope.METRICS,), handover / "prometheus" / "metrics-key"),
            ),
            (PARTNER, _hand_over(settings, PARTNER, PARTNER_SCOPES, handover / "ui" / "key")),
            (
                f"{PARTNER} (test)",
                _hand_over(settings, PARTNER, PARTNER_SCOPES, handover / "ui" / "test-key", test=True),
            ),
        )
        if is_new
    ]
    secrets = [
        f"endpoint = {json.dumps(settings.ui_endpoint)}",
        f"key = {json.dumps((handover / 'ui' / 'key').read_text().strip())}",
        f"test_key = {json.dumps((handover / 'ui' / 'test-key').read_text().strip())}",
    ]
    if settings.ui_store_access_key:
        secrets += [
            "[reports]",
            f"endpoint = {json.dumps(settings.store_endpoint)}",
            f"access_key = {json.dumps(settings.ui_store_access_key)}",
            f"secret_key = {json.dumps(settings.ui_store_secret_key.get_secret_value())}",
        ]
    (handover / "ui" / "secrets.toml").write_text("\n".join(secrets) + "\n")
    return f"issued for {', '.join(new)}" if new else "there already"


def _hand_over(
    settings: BootstrapSettings, partner: str, scopes: tuple[Scope, ...], path: Path, *, test: bool = False
) -> bool:
    """A key in a file, unless one lies there and its partner has a live one of that kind; True if it is new."""
    folder, now = settings.service_dir or Path(), datetime.now(UTC)
    database = settings.database_url.get_secret_value() if settings.database_url else None
    live = [
        record.id
        for record in keys.key_records(folder, database)
        if (record.partner, record.test) == (partner, test) and record.live(now)
    ]
    if path.exists() and any(each in path.read_text() for each in live):
        return False
    for stray in live:  # its text is lost, so it opens nothing for us and must open nothing for anybody
        keys.revoke(folder, stray, database=database)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(keys.issue(folder, partner, scopes=scopes, test=test, database=database) + "\n")
    path.chmod(0o644)  # a volume of its own: Prometheus and the UI read as other users
    return True


STEPS: Final[tuple[tuple[str, Callable[[BootstrapSettings], str]], ...]] = (
    ("store", make_store),
    ("mlflow", make_mlflow),
    ("prefect", make_prefect),
    ("keys", make_keys),
)


def main() -> int:
    """All steps in order; 1 after the one that fails."""
    try:
        settings = read_settings()
        for name, step in STEPS:
            print(f"  {name:<8} {step(settings)}", flush=True)
    except (StackError, ServiceError) as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"bootstrap: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
