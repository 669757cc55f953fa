"""Four variables move MLflow and DVC to a hosted pair of servers, and none of them is a change of code."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from bentos.errors import BentosError
from bentos.processes import free_port
from bentos.registry.catalogue import Catalogue, client_of
from bentos.settings import BentosSettings
from flows import dataset
from flows.data import dvc_versions
from flows.data.dvc_versions import remote_of
from flows.errors import DatasetError
from flows.review import mlflow_run
from infra.settings import HOST, ROOT, StackSettings
from infra.stack import object_store as store
from infra.stack import parts
from infra.stack.credentials import OPERATOR, Credentials
from infra.stack.processes import Recipe
from tests.conftest import LOGINS, ObjectStore, serving

USER, TOKEN = "ana", "a-token-of-forty-characters-for-this-test"
PROXY = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxied;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen {host}:{port};
    location /alive {{ return 200; }}
    location / {{
      auth_basic "hosted MLflow"; auth_basic_user_file {folder}/users;
      proxy_pass {upstream}; proxy_set_header Host {upstream_host}; proxy_set_header Authorization "{login}";
    }}
  }}
}}
"""


@pytest.fixture(scope="module", name="hosted_mlflow")
def _hosted_mlflow(
    mlflow_server: str, require_program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of an MLflow server that lets nobody in without name and token, as a hosted one does."""
    folder, port = tmp_path_factory.mktemp("hosted"), free_port()
    hashed = subprocess.run(["openssl", "passwd", "-apr1", TOKEN], capture_output=True, text=True, check=True).stdout
    (folder / "users").write_text(f"{USER}:{hashed}")
    login = base64.b64encode(f"{OPERATOR}:{LOGINS.mlflow}".encode()).decode()
    upstream = {
        "login": f"Basic {login}",
        "upstream": mlflow_server,
        "upstream_host": mlflow_server.removeprefix("http://"),
    }
    # As root its workers would become nobody, who may not read what a test writes.
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(PROXY.format(folder=folder, host=HOST, port=port, user=user, **upstream))
    command = (require_program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log")
    url = f"http://{HOST}:{port}"
    with serving(parts.StackPart("nginx", Recipe(command, {}, folder, port), f"{url}/alive"), folder):
        yield url


@pytest.fixture(scope="module", name="hosted_store")
def _hosted_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A second S3 server: bucket `dvc`, the token as both keys."""
    folder = tmp_path_factory.mktemp("hosted-store")
    settings, pair = StackSettings(state_dir=folder, port_store=free_port()), Credentials(TOKEN, TOKEN)
    store.format_volume(folder / "store")
    with serving(parts.object_store(settings, pair), folder):
        store.make_buckets(settings.store_url, pair, ("dvc",))
        yield ObjectStore(settings.store_url, TOKEN, TOKEN)


@pytest.fixture(name="moved")
def _moved(
    hosted_mlflow: str, hosted_store: ObjectStore, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of a usual client, and the four variables."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", hosted_mlflow)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", TOKEN)
    monkeypatch.setenv("QF_DVC_ENDPOINT", hosted_store.endpoint)


def test_strangers_are_refused(hosted_mlflow: str, moved: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server the other tests use does ask for name and token."""
    assert moved is None
    assert httpx.get(f"{hosted_mlflow}/health", trust_env=False).status_code == httpx.codes.UNAUTHORIZED
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another")
    with pytest.raises(BentosError, match="does not answer"):
        Catalogue(client_of(BentosSettings().tracking_uri), "credit-score").versions()


def test_runs_go_to_the_hosted_mlflow(
    hosted_mlflow: str, mlflow_server: str, moved: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with an artifact, logged through the flows' own module and read back by the catalogue."""
    assert moved is None
    import mlflow

    with mlflow_run.run(BentosSettings().tracking_uri, "hosted", "over there") as run_id:
        mlflow.log_metric("macro_f1", 0.7)
        mlflow.log_text("kept", "notes.txt")

    catalogue = Catalogue(client_of(hosted_mlflow), "credit-score")
    assert catalogue.run_metrics(run_id) == {"macro_f1": 0.7}
    assert catalogue.run_file(run_id, "notes.txt", tmp_path).read_text("utf-8") == "kept"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", OPERATOR)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", LOGINS.mlflow)
    assert Catalogue(client_of(mlflow_server), "credit-score").run_metrics(run_id), "the server behind is the same"


@pytest.mark.slow
def test_data_goes_to_the_hosted_store_and_comes_back(
    moved: None, hosted_store: ObjectStore, object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`push` fills bucket `dvc` there and nothing here; a clone without cache gets the same bytes by `pull`."""
    assert moved is None
    project = tmp_path / "project"
    shutil.copytree(ROOT / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": {"cmd": "echo 1 > made", "outs": ["made"]}}}))
    monkeypatch.chdir(project)
    subprocess.run(["git", "init", "-q"], check=True)
    environment = {**os.environ, **dvc_versions.SETTINGS}
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], env=environment, check=True)
    here = object_store.client().list_objects_v2(Bucket="data").get("KeyCount", 0)

    assert dataset.main(["push"]) == 0
    shutil.rmtree(project / ".dvc" / "cache")
    (project / "made").unlink()
    assert dataset.main(["pull"]) == 0

    assert (project / "made").read_text() == "1\n"
    assert hosted_store.client().list_objects_v2(Bucket="dvc")["KeyCount"] == 1
    assert object_store.client().list_objects_v2(Bucket="data").get("KeyCount", 0) == here


def test_the_token_is_asked_for() -> None:
    """Without it one line; without an endpoint MinIO by the usual variables."""
    with pytest.raises(DatasetError, match="MLFLOW_TRACKING_PASSWORD"):
        remote_of({"QF_DVC_ENDPOINT": "https://dagshub.test/ana/score.s3"})
    assert remote_of({"MLFLOW_TRACKING_PASSWORD": TOKEN}).name == "minio"


def test_both_remotes_are_the_projects() -> None:
    """Named in `.dvc/config`, without credentials."""
    text = (ROOT / ".dvc" / "config").read_text()

    assert "s3://data" in text and "s3://dvc" in text and "key" not in text
