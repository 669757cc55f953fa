"""The parts of compose that can run here do, under its own arguments: strangers refused, rights held, bootstrap works.

Run: the object store (SeaweedFS, compose's very release), PostgreSQL, Redis, the registry, MLflow and Prefect. Not run,
since only an image carries them: Grafana and the push gateway; Prometheus and nginx have tests of their own.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis
from botocore.exceptions import ClientError

from infra.compose import bootstrap, passwords
from infra.compose.bootstrap import BootstrapSettings
from infra.compose.rights import ADMIN, RIGHTS
from infra.settings import HOST, ROOT
from infra.stack import prefect_api
from service.access.keystore import Scope, read_keys
from service.contract import TEST_KEY_PREFIX
from service.ledger.bucket import BucketStore, StoreConflict, StoreSettings
from service.s3 import BUCKETS
from tests.infra import compose_parts
from tests.infra.compose_parts import Parts
from tests.ticking import fired, ticking

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("compose")]
REFUSED = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}


@pytest.fixture(scope="module", name="parts")
def _parts(tmp_path_factory: pytest.TempPathFactory, require_program: Callable[[str], str]) -> Iterator[Parts]:
    """Everything that runs, with nothing bootstrapped yet."""
    folder = tmp_path_factory.mktemp("compose")
    programs = {name: require_program(name) for name in ("redis-server", "docker-registry")}
    parts = Parts(folder, {})
    parts.values = compose_parts.credentials(folder, "")
    with ExitStack() as stack:
        stack.enter_context(compose_parts.postgres(parts))
        parts.values = compose_parts.credentials(folder, f"{HOST}:{parts.ports['postgres']}")
        stack.enter_context(compose_parts.store(parts))
        stack.enter_context(compose_parts.redis(parts, programs["redis-server"]))
        stack.enter_context(compose_parts.registry(parts, programs["docker-registry"]))
        stack.enter_context(compose_parts.servers(parts))
        yield parts


@pytest.fixture(scope="module", name="ready")
def _ready(parts: Parts) -> Parts:
    """The same after `python -m infra.compose.bootstrap`, as compose runs it."""
    done = subprocess.run(
        [sys.executable, "-m", "infra.compose.bootstrap"],
        env={**bootstrap_environment(parts), "PATH": "/usr/bin:/bin", "HOME": str(parts.folder)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [name for name, _ in bootstrap.STEPS]
    assert "qf_live_" not in done.stdout + done.stderr
    return parts


def bootstrap_environment(parts: Parts) -> dict[str, str]:
    """Environment of compose's bootstrap, its volumes in the test's folder."""
    env = parts.environment("bootstrap")
    env["QF_HANDOVER_DIR"] = str(parts.folder / "handover")
    env["QF_SERVICE_DIR"] = str(parts.folder / "service")
    return {**env, "PREFECT_HOME": str(parts.folder / "client")}


@pytest.mark.parametrize(
    ("part", "method", "path"),
    [
        ("store", "GET", "/"),
        ("store", "GET", "/predictions?list-type=2"),
        ("store", "PUT", "/predictions/dt=2026-01-01/x.csv"),
        ("mlflow", "GET", "/"),
        ("mlflow", "GET", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("mlflow", "GET", "/api/2.0/mlflow-artifacts/artifacts"),
        ("mlflow", "GET", "/ajax-api/2.0/mlflow/registered-models/search"),
        ("prefect", "GET", "/api/admin/version"),
        ("prefect", "POST", "/api/flow_runs/filter"),
        ("prefect", "POST", "/api/block_documents/filter"),
        ("registry", "GET", "/v2/"),
        ("registry", "GET", "/v2/_catalog"),
        ("registry", "POST", "/v2/credit-score/blobs/uploads/"),
    ],
)
def test_a_stranger_is_refused(parts: Parts, part: str, method: str, path: str) -> None:
    """Without credentials each part answers 401 or 403 (S15)."""
    assert httpx.request(method, parts.url(part) + path, trust_env=False).status_code in REFUSED


@pytest.mark.parametrize("part", ["mlflow", "prefect", "registry"])
def test_a_wrong_password_is_refused(parts: Parts, part: str) -> None:
    """Nor is a known name with another password let in."""
    path = {"mlflow": "/api/2.0/mlflow/users/current", "prefect": "/api/admin/version", "registry": "/v2/"}[part]
    assert httpx.get(parts.url(part) + path, auth=("admin", "password1234"), trust_env=False).status_code in REFUSED


def test_redis_and_postgres_refuse_strangers(parts: Parts) -> None:
    """Neither speaks to who brings no password, and MLflow's role cannot open Prefect's database."""
    import psycopg

    with redis.Redis(host=HOST, port=parts.ports["redis"]) as link, pytest.raises(redis.AuthenticationError):
        link.get("x")
    for user, secret, database in (
        ("postgres", "", "postgres"),
        ("mlflow", parts.values["MLFLOW_DATABASE_PASSWORD"], "prefect"),
        ("prefect", parts.values["PREFECT_DATABASE_PASSWORD"], "mlflow"),
    ):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(host=HOST, port=parts.ports["postgres"], user=user, password=secret, dbname=database)


def test_the_registry_knows_its_own_user(parts: Parts) -> None:
    """The password of the env file opens the registry."""
    pair = ("release", parts.values["REGISTRY_PASSWORD"])
    assert httpx.get(f"{parts.url('registry')}/v2/", auth=pair, trust_env=False).status_code == httpx.codes.OK


def test_a_prefect_form_from_elsewhere_is_refused(parts: Parts) -> None:
    """With the password but without a CSRF token nothing is changed."""
    pair = ("admin", parts.values["PREFECT_PASSWORD"])
    answer = httpx.post(
        f"{parts.url('prefect')}/api/variables/", auth=pair, json={"name": "x", "value": "1"}, trust_env=False
    )
    assert answer.status_code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize("part", ["mlflow", "prefect"])
def test_another_name_and_another_page_are_refused(parts: Parts, part: str) -> None:
    """Even with the password: neither under a foreign Host nor from a foreign page, which may read nothing either."""
    secret = parts.values[{"mlflow": "MLFLOW_ADMIN_PASSWORD", "prefect": "PREFECT_PASSWORD"}[part]]
    path = {"mlflow": "/api/2.0/mlflow/runs/create", "prefect": "/api/flows/"}[part]
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        answer = httpx.post(parts.url(part) + path, headers=headers, auth=("admin", secret), json={}, trust_env=False)
        assert answer.status_code in {*REFUSED, httpx.codes.MISDIRECTED_REQUEST}
        assert "access-control-allow-origin" not in answer.headers


ACTIONS: dict[str, Callable[..., object]] = {
    "put": lambda store, bucket: store.put_object(Bucket=bucket, Key="probe/new", Body=b"x"),
    "get": lambda store, bucket: store.get_object(Bucket=bucket, Key="probe/there"),
    "list": lambda store, bucket: store.list_objects_v2(Bucket=bucket),
    "delete": lambda store, bucket: store.delete_object(Bucket=bucket, Key="probe/gone"),
    "policy": lambda store, bucket: store.put_bucket_policy(Bucket=bucket, Policy="{}"),
}
ALLOWED = {
    ("service", "predictions"): {"put", "get", "list"},
    ("mlflow", "mlflow"): {"put", "get", "list", "delete"},
    ("model", "data"): {"put", "get", "list"},
    ("scoring", "data"): {"list"},  # and what lies under batches/
    ("watch", "predictions"): {"get", "list"},
    ("watch", "reports"): {"put", "get", "list"},
    ("retention", "predictions"): {"put", "get", "list", "delete"},
    ("retention", "reports"): {"put", "get", "list", "delete"},
    ("retention", "data"): {"list", "delete"},
    ("ui", "reports"): {"get"},
}


@pytest.mark.parametrize("user", RIGHTS)
def test_each_part_may_do_its_duty_and_nothing_else(ready: Parts, user: str) -> None:
    """Every action of every user on every bucket: allowed where the table says so, refused everywhere else."""
    store, admin = ready.store(user), ready.store(ADMIN)
    for bucket in BUCKETS:
        admin.put_object(Bucket=bucket, Key="probe/there", Body=b"x")
        allowed = set()
        for name, act in ACTIONS.items():
            try:
                act(store, bucket)
                allowed.add(name)
            except ClientError as error:
                assert error.response["Error"]["Code"] in ("AccessDenied", "403"), (name, error)
        assert allowed == ALLOWED.get((user, bucket), set()), (user, bucket)


def test_scoring_reads_and_writes_partners_files_alone(ready: Parts) -> None:
    """Under batches/, where it deletes nothing; what training learns from stands beside and is closed to it."""
    store, admin = ready.store("scoring"), ready.store(ADMIN)
    admin.put_object(Bucket="data", Key="files/md5/aa/bb", Body=b"x")

    store.put_object(Bucket="data", Key="batches/probe.csv", Body=b"x")

    assert store.get_object(Bucket="data", Key="batches/probe.csv")["Body"].read() == b"x"
    for refused in (
        lambda: store.delete_object(Bucket="data", Key="batches/probe.csv"),
        lambda: store.get_object(Bucket="data", Key="files/md5/aa/bb"),
        lambda: store.put_object(Bucket="data", Key="files/md5/aa/bb", Body=b"y"),
    ):
        with pytest.raises(ClientError, match="AccessDenied|403"):
            refused()


def test_the_flows_user_of_mlflow_sees_its_own_alone(ready: Parts) -> None:
    """It manages the experiment and the model credit-score; another experiment is closed to it."""
    flows = ("flows", ready.values["MLFLOW_FLOWS_PASSWORD"])
    admin = ("admin", ready.values["MLFLOW_ADMIN_PASSWORD"])
    with httpx.Client(base_url=f"{ready.url('mlflow')}/api/2.0/mlflow", trust_env=False, timeout=30) as http:
        own = http.get("/experiments/get-by-name", params={"experiment_name": "credit-score"}, auth=flows)
        experiment = own.raise_for_status().json()["experiment"]["experiment_id"]
        run = http.post("/runs/create", json={"experiment_id": experiment}, auth=flows)
        info = run.json()["run"]["info"]
        version = http.post(
            "/model-versions/create",
            json={"name": "credit-score", "source": info["artifact_uri"], "run_id": info["run_id"]},
            auth=flows,
        )
        assert version.status_code == httpx.codes.OK, version.text
        alias = {"name": "credit-score", "alias": "challenger", "version": version.json()["model_version"]["version"]}
        named = http.post("/registered-models/alias", json=alias, auth=flows)
        other = http.post("/experiments/create", json={"name": "another"}, auth=admin).json()["experiment_id"]
        closed = http.get("/experiments/get", params={"experiment_id": other}, auth=flows)
        users = http.post("/users/create", json={"username": "x", "password": "y" * 20}, auth=flows)

    assert [answer.status_code for answer in (run, version, named)] == [httpx.codes.OK] * 3
    assert closed.status_code in REFUSED
    assert users.status_code in REFUSED


def test_deployments_stand_on_their_queues(ready: Parts) -> None:
    """Seven deployments, each on the queue whose worker holds its store key; the pool is a process pool."""
    pair = ("admin", ready.values["PREFECT_PASSWORD"])
    with httpx.Client(base_url=f"{ready.url('prefect')}/api", auth=pair, trust_env=False, timeout=30) as http:
        token = http.get("/csrf-token", params={"client": "test"}).json()["token"]
        headers = {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "test"}
        found = http.post("/deployments/filter", json={}, headers=headers).raise_for_status().json()

    queues = {each["name"]: each["work_queue_name"] for each in found}
    assert queues == {
        "training": "model",
        **dict.fromkeys(("registration", "packaging"), "release"),
        "scoring": "scoring",
        **dict.fromkeys(("drift", "recalibration"), "watch"),
        "retention": "retention",
    }


def test_what_the_service_ships_again_is_no_conflict(ready: Parts) -> None:
    """Its key can only put: the same bytes again are accepted, other bytes under the key are a conflict."""
    pair = passwords.pairs(ready.values)["service"]
    place = StoreSettings("predictions", ready.url("store"), pair.access_key, pair.secret_key)
    bucket = BucketStore(place)
    for _ in range(2):
        bucket.put("dt=2026-01-01/again.csv", b"one\n", {"sha256": "x"}, replace=False)
    with pytest.raises(StoreConflict):
        bucket.put("dt=2026-01-01/again.csv", b"two\n", {"sha256": "y"}, replace=False)


def test_what_lies_on_the_stores_disk_is_encrypted(ready: Parts) -> None:
    """In every bucket, in one piece and in parts: read back as it was put, and nowhere on the volume in clear."""
    admin, canary = ready.store(ADMIN), b"canary-7f3a91c2-of-an-applicant"
    for bucket in BUCKETS:
        admin.put_object(Bucket=bucket, Key="canary/whole", Body=canary)
        begun = admin.create_multipart_upload(Bucket=bucket, Key="canary/parts")["UploadId"]
        part = admin.upload_part(Bucket=bucket, Key="canary/parts", UploadId=begun, PartNumber=1, Body=canary * 1000)
        admin.complete_multipart_upload(
            Bucket=bucket,
            Key="canary/parts",
            UploadId=begun,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
        assert admin.get_object(Bucket=bucket, Key="canary/whole")["Body"].read() == canary
        tail = admin.get_object(Bucket=bucket, Key="canary/parts", Range="bytes=-31")["Body"].read()
        assert tail == canary
    files = [path for path in (ready.folder / "objects").rglob("*") if path.is_file()]

    assert sum(path.stat().st_size for path in files) > len(canary) * 1000 * len(BUCKETS), "what was put lies there"
    assert [path.name for path in files if canary in path.read_bytes()] == []


def test_bootstrap_repeats_without_a_change(ready: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run issues no second key and makes nothing twice."""
    for name, value in bootstrap_environment(ready).items():
        monkeypatch.setenv(name, value)
    settings = bootstrap.read_settings()
    before = (ready.folder / "service" / "keys.json").read_text()

    lines = [bootstrap.make_store(settings), bootstrap.make_mlflow(settings), bootstrap.make_keys(settings)]

    assert lines[2] == "there already"
    assert (ready.folder / "service" / "keys.json").read_text() == before
    scopes = {
        (key.partner, key.test): set(key.scopes) for key in read_keys(ready.folder / "service" / "keys.json").keys
    }
    assert scopes == {
        ("prometheus", False): {Scope.METRICS},
        ("demo", False): {Scope.SCORE, Scope.READ, Scope.DOCS},
        ("demo", True): {Scope.SCORE, Scope.READ, Scope.DOCS},
    }
    secrets = tomllib.loads((ready.folder / "handover" / "ui" / "secrets.toml").read_text())
    for entry, file in {"key": "key", "test_key": "test-key"}.items():
        assert secrets[entry] == (ready.folder / "handover" / "ui" / file).read_text().strip()
    assert secrets["test_key"].startswith(TEST_KEY_PREFIX) and not secrets["key"].startswith(TEST_KEY_PREFIX)


def test_a_lost_key_is_replaced_and_its_old_one_closed(
    ready: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hand-over is empty but the key store is not, new keys come and the lost ones open nothing any more."""
    for name, value in bootstrap_environment(ready).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QF_SERVICE_DIR", str(tmp_path / "service"))
    for handover in ("first", "second"):
        monkeypatch.setenv("QF_HANDOVER_DIR", str(tmp_path / handover))
        assert bootstrap.make_keys(bootstrap.read_settings()) == "issued for prometheus, demo, demo (test)"

    records = read_keys(tmp_path / "service" / "keys.json").keys
    open_keys = [record.id for record in records if record.revoked_at is None]
    handed = [tmp_path / "second" / name for name in ("prometheus/metrics-key", "ui/key", "ui/test-key")]
    assert len(records) == 6
    assert all(key_id in path.read_text() for key_id, path in zip(open_keys, handed, strict=True))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "store at http"),
        ({"QF_STORE_ENDPOINT": "http://127.0.0.1:9"}, "store at http://127.0.0.1:9: EndpointConnectionError"),
        ({"QF_POOL_TYPE": "carrier-pigeon"}, "QF_POOL_TYPE: "),
        ({"QF_MLFLOW_FLOWS_PASSWORD": None}, "QF_MLFLOW_FLOWS_PASSWORD: Field required"),
    ],
    ids=["wrong password", "nobody there", "unknown pool", "missing"],
)
def test_bootstrap_fails_with_one_line(
    parts: Parts,
    change: dict[str, str | None],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is wrong is one line that names the part or the setting, and no credential."""
    for name, value in {**bootstrap_environment(parts), **change}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)

    code = bootstrap.main()

    told_lines = capsys.readouterr().err.splitlines()
    assert code == 1
    assert len(told_lines) == 1
    assert told_lines[0].startswith("bootstrap: ") and told in told_lines[0]
    assert not any(value in told_lines[0] for name, value in parts.values.items() if "PASSWORD" in name)


def test_settings_of_bootstrap_hide_their_secrets(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A printed settings object shows no password."""
    for name, value in bootstrap_environment(parts).items():
        monkeypatch.setenv(name, value)
    assert parts.values["MLFLOW_ADMIN_PASSWORD"] not in repr(BootstrapSettings())


@pytest.mark.timeout(900)
def test_a_one_minute_schedule_fires_over_postgresql(parts: Parts, tmp_path: Path) -> None:
    """The scheduler works on the database of compose and cluster too, behind its password."""
    auth = f"admin:{parts.values['PREFECT_PASSWORD']}"
    environment = {"PREFECT_API_URL": f"{parts.url('prefect')}/api", "PREFECT_API_AUTH_STRING": auth}
    with ticking(tmp_path, environment), prefect_api.client(parts.url("prefect"), auth) as http:
        assert fired(http)["state_type"] == "COMPLETED"
