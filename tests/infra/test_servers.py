"""The embedded servers do what the project needs of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from infra.stack import prefect_api
from service.s3 import BUCKETS

if TYPE_CHECKING:
    from tests.conftest import ObjectStore


def test_the_store_is_minios_gateway_with_every_bucket(object_store: ObjectStore) -> None:
    """A plain S3 client finds the four buckets, and what it puts it gets back."""
    client = object_store.client()
    names = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    client.put_object(Bucket="reports", Key="infra/probe.txt", Body=b"kept")

    body = client.get_object(Bucket="reports", Key="infra/probe.txt")["Body"].read()

    assert set(BUCKETS) <= names
    assert body == b"kept"
    assert httpx.get(object_store.endpoint, trust_env=False).headers["server"] == "MinIO"


def test_the_store_refuses_the_unknown(object_store: ObjectStore) -> None:
    """Without the generated key there is no answer but 403."""
    assert httpx.get(f"{object_store.endpoint}/predictions", trust_env=False).status_code == httpx.codes.FORBIDDEN


def test_mlflow_sends_artifacts_through_itself(
    mlflow_server: str, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client without the store's keys logs an artifact, and it lies in bucket `mlflow`."""
    from mlflow import MlflowClient

    for name in object_store.variables:
        monkeypatch.delenv(name, raising=False)
    client = MlflowClient(mlflow_server)
    run = client.create_run(client.create_experiment("infra-probe"))
    (tmp_path / "note.txt").write_text("kept")

    client.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))

    store = object_store.client()
    keys = [item["Key"] for item in store.list_objects_v2(Bucket="mlflow")["Contents"]]
    assert any(key.endswith(f"{run.info.run_id}/artifacts/note.txt") for key in keys)


def test_flows_of_this_process_report_to_the_server(prefect_server: str) -> None:
    """A flow called in a test leaves a completed run on the session's server."""
    from prefect import flow

    @flow(name="infra-probe")
    def probe() -> int:
        return 7

    assert probe() == 7
    query = {"flows": {"name": {"any_": ["infra-probe"]}}}
    with prefect_api.client(prefect_server.removesuffix("/api")) as http:
        runs = http.post("/flow_runs/filter", json=query).json()
    assert [run["state"]["type"] for run in runs] == ["COMPLETED"]
