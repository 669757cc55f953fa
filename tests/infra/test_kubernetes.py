"""infra/kubernetes: what kustomize makes of it holds against the cluster's schemas, and is closed where it must be."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.packing.image import CODE
from bentos.processes import free_port
from bentos.settings import BentosSettings
from flows.batch.places import BUCKET_SCHEME
from flows.predictions.data_age import BATCHES
from infra.compose.bootstrap import JOB_TEMPLATE
from infra.compose.rights import RIGHTS
from infra.delivery import rollout
from infra.settings import ROOT
from infra.stack.object_store import program
from service.database import migrations
from service.s3 import DATA_BUCKET
from tests.infra import compose_file

FOLDER = ROOT / "infra" / "kubernetes"
IMAGE = "registry.example.com/credit-score@sha256:" + "c" * 64
VERSIONS = ("1.32", "1.37")  # the oldest promised and the newest whose schemas are here
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


def rendered(overlay: str, folder: Path) -> Path:
    """An overlay and what a rollout applies beside it, as one file."""
    place = FOLDER / "overlays" / overlay
    rollout.with_image(place / "api", IMAGE, folder)
    path = folder / f"{overlay}.yaml"
    path.write_text("---\n".join(kustomized(each) for each in (place, folder)))
    return path


def by_name(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """A file's objects by kind and name."""
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(path.read_text())}


@pytest.fixture(scope="module", name="manifests")
def _manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The production overlay and what a rollout applies, as one file."""
    return rendered("production", tmp_path_factory.mktemp("kubernetes"))


def kustomized(folder: Path) -> str:
    """What kustomize makes of a folder."""
    made = subprocess.run([program("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture(scope="module", name="objects")
def _objects(manifests: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Its objects by kind and name."""
    return by_name(manifests)


@pytest.fixture(scope="module", name="shared")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlay whose pods share a database, as one file."""
    return rendered("production-database", tmp_path_factory.mktemp("kubernetes-database"))


def pods(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Specification of each workload's pods, a flow run's Job included."""
    found = {
        name: each["spec"]["template"]["spec"]
        for (_, name), each in objects.items()
        if "template" in each.get("spec", {})
    }
    return {**found, "flow-run": job_of(DEPLOYMENTS[0])["spec"]["template"]["spec"]}


def validated(path: Path, version: str) -> subprocess.CompletedProcess[str]:
    """kubernetes-validate over a file, unknown fields refused."""
    command = [program("kubernetes-validate"), "--strict", "-k", version, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_what_a_cluster_takes(manifests: Path, version: str) -> None:
    """Every object holds against the schema of its kind, strictly."""
    done = validated(manifests, version)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_field_would_be_found(manifests: Path, tmp_path: Path) -> None:
    """The check itself can fail."""
    broken = tmp_path / "broken.yaml"
    broken.write_text(manifests.read_text().replace("minReplicas", "minReplica"))
    assert validated(broken, VERSIONS[-1]).returncode != 0


@pytest.mark.parametrize(("overlay", "kind"), [("production", "StatefulSet"), ("production-database", "Deployment")])
def test_applying_the_manifests_again_undoes_no_rollout(overlay: str, kind: str, tmp_path: Path) -> None:
    """No workload of theirs runs the API's image; the rollout brings it to every container that does, by digest."""
    applied = yaml.safe_load_all(kustomized(FOLDER / "overlays" / overlay))
    theirs = [each for each in applied if "template" in each.get("spec", {})]
    images = [one["image"] for each in theirs for one in each["spec"]["template"]["spec"]["containers"]]
    assert len(images) == 5 and not [one for one in images if one.split(":")[0].endswith("/credit-score")]
    api = by_name(rendered(overlay, tmp_path))[kind, "api"]
    pod = api["spec"]["template"]["spec"]
    assert {one["image"] for one in (*pod["containers"], *pod["initContainers"])} == {IMAGE}
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert api["metadata"]["namespace"] == "credit-score"


def test_every_pod_is_restricted(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """What the namespace's restricted profile demands, and a root that cannot be written."""
    assert set(pods(objects)) == {
        "api",
        "redis",
        "ui",
        "worker",
        "flow-run",
        "dask-scheduler",
        "dask-worker",
    }
    for name, pod in pods(objects).items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        # The worker alone talks to the cluster.
        assert name == "worker" or pod["automountServiceAccountToken"] is False, name
        for container in (*pod["containers"], *pod.get("initContainers", [])):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_no_secret_lies_in_the_manifests(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Secrets are named and never written: no object of the kind, and no variable that looks like one has a value."""
    assert not any(kind == "Secret" for kind, _ in objects)
    for pod in pods(objects).values():
        for container in pod["containers"]:
            written = {each["name"] for each in container.get("env", []) if isinstance(each, dict) and "value" in each}
            assert not any(word in name for name in written for word in ("PASSWORD", "SECRET", "KEY", "AUTH", "URL"))


def test_whose_approvals_hold_is_the_clusters_own(objects: dict[tuple[str, str], dict[str, Any]], shared: Path) -> None:
    """API and flows judge signatures by a ConfigMap that none of them made, mounted read-only and asked for."""
    for found in (objects, by_name(shared)):
        listed = Path(found["ConfigMap", "addresses"]["data"]["QF_REVIEWERS"])
        assert listed.name == BentosSettings().reviewers_file.name
        assert ("ConfigMap", rollout.REVIEWERS_MAP) not in found
        for name in ("api", "flow-run"):
            pod = pods(found)[name]
            container = pod["containers"][0]
            assert {"name": "addresses"} in [source.get("configMapRef") for source in container["envFrom"]]
            mounted = {mount["name"]: mount for mount in container["volumeMounts"]}["reviewers"]
            assert mounted == {"name": "reviewers", "mountPath": str(listed.parent), "readOnly": True}
            volume = {each["name"]: each for each in pod["volumes"]}["reviewers"]
            assert volume == {"name": "reviewers", "configMap": {"name": rollout.REVIEWERS_MAP}}


def test_batch_scoring_is_bound_as_on_compose(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """To the bucket's folder that ages; compose has a folder of its host beside it."""
    told = objects["ConfigMap", "addresses"]["data"]["QF_SCORING_ROOTS"]

    assert told == f"{BUCKET_SCHEME}{DATA_BUCKET}/{BATCHES}".rstrip("/")
    assert told in compose_file.raw()["services"]["worker-scoring"]["environment"]["QF_SCORING_ROOTS"].split(",")


def test_the_journal_survives_its_pod(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Each pod of the API has a volume of its own that is kept when the pod goes, and time to drain."""
    api = objects["StatefulSet", "api"]["spec"]
    pod = api["template"]["spec"]
    env = {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert api["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert [claim["metadata"]["name"] for claim in api["volumeClaimTemplates"]] == ["journal"]
    assert mounts["journal"] == env["QF_SERVICE_DIR"]
    assert pod["terminationGracePeriodSeconds"] > float(env["QF_DRAIN_S"]) + 30
    assert objects["HorizontalPodAutoscaler", "api"]["spec"]["scaleTargetRef"]["kind"] == "StatefulSet"
    assert objects["PodDisruptionBudget", "api"]["spec"]["maxUnavailable"] == 1


def test_probes_ask_the_routes_that_need_no_key(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Readiness by /readyz, liveness by /livez, so a store that is away never restarts a pod."""
    container = objects["StatefulSet", "api"]["spec"]["template"]["spec"]["containers"][0]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert asked == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/livez"}


def test_nothing_may_speak_unless_a_policy_says_so(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """All is denied first, and the API may reach neither MLflow nor Prefect nor the cluster."""
    policies = {name: each["spec"] for (kind, name), each in objects.items() if kind == "NetworkPolicy"}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ports = {port["port"] for rule in policies["api"]["egress"] for port in rule["ports"]}
    assert ports == {6379, 8333}


def test_the_init_container_brings_pepper_and_keys(
    objects: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    """Its script makes a private pepper and a link to the keys, again and again, as the service wants them."""
    from service.access.credentials import read_pepper
    from service.access.keystore import read_keys

    script = objects["StatefulSet", "api"]["spec"]["template"]["spec"]["initContainers"][0]["command"][2]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "pepper").write_bytes(b"p" * 32)
    (tmp_path / "run" / "keys.json").write_text('{"version": 1, "keys": []}')
    (tmp_path / "volume").mkdir()
    script = script.replace("/run/keys", str(tmp_path / "run")).replace(
        "/var/lib/credit-score", str(tmp_path / "volume")
    )
    for _ in range(2):
        subprocess.run(["python3", "-c", script], check=True)

    assert read_pepper(tmp_path / "volume" / "pepper") == b"p" * 32
    assert read_keys(tmp_path / "volume" / "keys.json").keys == ()
    assert (tmp_path / "volume" / "keys.json").is_symlink()


def job_of(deployment: dict[str, Any]) -> dict[str, Any]:
    """The Job of a deployment's run, as Prefect's own code fills the template."""
    from prefect.utilities.templating import apply_values

    template = json.loads(JOB_TEMPLATE.read_text())
    variables = template["variables"]["properties"]
    given = deployment["work_pool"]["job_variables"]
    assert set(given) <= set(variables) and set(template["variables"]["required"]) <= set(given)
    assert given["duty"] in variables["duty"]["enum"]
    defaults = {name: each["default"] for name, each in variables.items() if each.get("default") is not None}
    run = {"name": "a-run", "labels": {}, "annotations": {}, "command": ["python"]}
    job = apply_values(template["job_configuration"]["job_manifest"], {**defaults, **run, **given})
    assert isinstance(job, dict)
    return job


def test_a_flow_runs_job_gets_the_key_of_its_duty(tmp_path: Path) -> None:
    """Jobs valid for the cluster, each with the store key of its duty alone; a release needs none."""
    jobs = []
    for deployment in DEPLOYMENTS:
        pool, job = deployment["work_pool"], job_of(deployment)
        container = job["spec"]["template"]["spec"]["containers"][0]
        duty = pool["job_variables"]["duty"]
        secrets = [source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source]
        assert secrets == [f"prefect-{duty}", "mlflow", *([f"flows-store-{duty}"] if duty in RIGHTS else [])]
        assert (duty in RIGHTS) == (duty != "release") and duty == pool["work_queue_name"]
        assert job["spec"]["template"]["metadata"]["labels"] == {"app": "flow-run", "duty": duty}
        jobs.append({**job, "metadata": {**job["metadata"], "name": deployment["name"]}})  # the cluster makes the name
    path = tmp_path / "jobs.yaml"
    path.write_text(yaml.safe_dump_all(jobs))

    done = validated(path, VERSIONS[-1])

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda each: each["name"])
def test_a_job_is_not_given_the_login_of_the_worker_that_makes_it(deployment: dict[str, Any]) -> None:
    """Prefect's worker passes its own settings on, and a container's own word beats a secret's: so the template takes
    that one back, and the Job's login to Prefect is that of its duty."""
    import prefect.settings
    from prefect.client.schemas.objects import FlowRun
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    template, given = json.loads(JOB_TEMPLATE.read_text()), deployment["work_pool"]["job_variables"]

    async def prepared() -> KubernetesWorkerJobConfiguration:
        made = await KubernetesWorkerJobConfiguration.from_template_and_values(template, given)
        made.prepare_for_flow_run(FlowRun(flow_id=uuid.uuid4(), name="a-run"))
        return made

    known = {
        prefect.settings.PREFECT_API_AUTH_STRING: "submitter:canary-of-the-worker",
        prefect.settings.PREFECT_API_URL: "http://prefect:4200/api",
    }
    with prefect.settings.temporary_settings(known):
        manifest = asyncio.run(prepared()).job_manifest

    container = manifest["spec"]["template"]["spec"]["containers"][0]
    assert "PREFECT_API_URL" in {each["name"] for each in container["env"]}, "the others are passed on"
    assert "canary" not in json.dumps(manifest)
    assert {"secretRef": {"name": f"prefect-{given['duty']}"}} in container["envFrom"]


def test_the_trail_and_the_bentos_are_written_by_releases_alone(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Training's Job has no part of their claim; who must know the champion reads the trail, and no Bento."""
    settings = BentosSettings(state_dir=Path("/var/lib/flows"))
    claims, seen = {}, {}
    for deployment in DEPLOYMENTS:
        pod = job_of(deployment)["spec"]["template"]["spec"]
        volumes = {each["name"]: each.get("persistentVolumeClaim", {}).get("claimName", "") for each in pod["volumes"]}
        mounts = pod["containers"][0]["volumeMounts"]
        assert {mount["name"] for mount in mounts} == set(volumes), "no volume is there that nobody mounts"
        claims[deployment["name"]] = {name for name in volumes.values() if name}
        seen[deployment["name"]] = {
            (mount["mountPath"], mount.get("subPath", ""), mount.get("readOnly", False))
            for mount in mounts
            if volumes[mount["name"]] == "flows-release"
        }
    whole, trail = ("/var/lib/flows", "", False), (str(settings.trail_file.parent), "audit", True)
    assert seen == {
        **dict.fromkeys(("registration", "packaging"), {whole}),
        **dict.fromkeys(("drift", "recalibration", "scoring"), {trail}),
        **dict.fromkeys(("training", "retention"), set()),
    }
    assert claims["training"] == {"flows-state"}
    assert settings.bento_store.is_relative_to(whole[0]) and not settings.bento_store.is_relative_to(trail[0])
    made = {name for kind, name in objects if kind == "PersistentVolumeClaim"}
    assert made == set().union(*claims.values())


def test_prepared_data_are_read_by_releases_and_written_by_training() -> None:
    """A champion of other data answers the challenger's rows: prepared tables come to the checks, to be read."""
    found = {
        deployment["name"]: [
            (mount["name"], mount.get("readOnly", False))
            for mount in job_of(deployment)["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
            if mount["mountPath"] == "/app/data/processed"
        ]
        for deployment in DEPLOYMENTS
    }
    assert found["training"] == [("state", False)]
    assert found["registration"] == found["packaging"] == [("lent", True)]
    assert not any(found[name] for name in ("drift", "recalibration", "scoring", "retention"))


def test_duties_speak_to_what_they_need(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Who has a key of the store may reach it; Dask's scheduler runs what it is sent, so scoring alone reaches it."""
    policies = {name: each["spec"] for (kind, name), each in objects.items() if kind == "NetworkPolicy"}
    assert policies["flows-store"]["podSelector"] == {
        "matchLabels": {"app": "flow-run"},
        "matchExpressions": [{"key": "duty", "operator": "In", "values": ["model", "scoring", "watch", "retention"]}],
    }
    assert {port["port"] for rule in policies["flows"]["egress"] for port in rule["ports"]} == {4200, 5000}
    scoring = {"matchLabels": {"app": "flow-run", "duty": "scoring"}}
    (into,) = policies["dask-scheduler"]["ingress"]
    assert policies["dask-client"]["podSelector"] == scoring
    assert into["from"] == [{"podSelector": scoring}, {"podSelector": {"matchLabels": {"app": "dask-worker"}}}]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_with_a_database_are_what_a_cluster_takes(shared: Path, version: str) -> None:
    """Every object holds against the schema of its kind, strictly."""
    done = validated(shared, version)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pods_that_share_a_database_keep_nothing(shared: Path, objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """A plain Deployment in the StatefulSet's place: no claim, no sticky partner; all else as it was."""
    found = by_name(shared)
    assert set(objects) - set(found) == {("StatefulSet", "api"), ("Service", "api-pods")}
    canary = {("Service", "api-canary"), ("Ingress", "api-canary")}
    assert set(found) - set(objects) == {("Deployment", "api"), *canary}
    pod = found["Deployment", "api"]["spec"]["template"]["spec"]
    assert {kind for volume in pod["volumes"] for kind in volume} == {"name", "emptyDir", "secret", "configMap"}
    assert "replicas" not in found["Deployment", "api"]["spec"]  # the autoscaler's, which a re-apply must not undo
    scaler = found["HorizontalPodAutoscaler", "api"]["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 8)
    assert found["PodDisruptionBudget", "api"] == objects["PodDisruptionBudget", "api"]
    assert not any("upstream-hash-by" in name for name in found["Ingress", "api"]["metadata"]["annotations"])
    allowed = found["NetworkPolicy", "api"]["spec"]["egress"]
    assert {port["port"] for rule in allowed for port in rule["ports"]} == {5432, 6379, 8333}
    kept = objects["StatefulSet", "api"]["spec"]["template"]["spec"]
    (container,), (before,) = pod["containers"], kept["containers"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe", "resources", "ports", "envFrom", "image"):
        assert container[name] == before[name]
    told = {each["name"]: each for each in container["env"]}
    assert told["QF_DATABASE_URL"]["valueFrom"] == {"secretKeyRef": {"name": "api-database", "key": "url"}}
    assert {name: each for name, each in told.items() if name != "QF_DATABASE_URL"} == {
        each["name"]: each for each in before["env"]
    }


def test_a_pod_makes_the_tables_before_it_serves(shared: Path) -> None:
    """With the release's own command, from where the image has its code, as restricted as the API itself."""
    pod = by_name(shared)["Deployment", "api"]["spec"]["template"]["spec"]
    first = {each["name"]: each for each in pod["initContainers"]}
    assert first["migrate"]["command"] == ["python3", "-m", *migrations.MIGRATE.split()[2:]]
    assert first["migrate"]["workingDir"] == f"/{CODE}"
    for container in (*pod["containers"], *pod["initContainers"]):
        assert container["image"] == pod["containers"][0]["image"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_canary_is_the_api_beside_itself(shared: Path, tmp_path: Path) -> None:
    """The same pod under another name, which the first Service does not choose; no request until a share is said."""
    rollout.with_image(FOLDER / "overlays" / "production-database" / "canary", IMAGE, tmp_path)
    path = tmp_path / "canary.yaml"
    path.write_text(kustomized(tmp_path))
    done = validated(path, VERSIONS[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    ((kind_and_name, canary),) = by_name(path).items()
    found = by_name(shared)
    first, second = found["Deployment", "api"]["spec"]["template"], canary["spec"]["template"]
    assert kind_and_name == ("Deployment", "api-canary")
    differs = {name for name in first["spec"] if second["spec"].get(name) != first["spec"][name]}
    assert differs == {"topologySpreadConstraints"}  # it is one pod
    assert canary["spec"]["selector"]["matchLabels"] == found["Service", "api-canary"]["spec"]["selector"]
    labels = second["metadata"]["labels"]
    assert not found["Service", "api"]["spec"]["selector"].items() <= labels.items()
    annotations = found["Ingress", "api-canary"]["metadata"]["annotations"]
    assert {name.rpartition("/")[2]: value for name, value in annotations.items()} == {
        "canary": "true",
        "canary-weight": "0",
    }
    hosts = [found["Ingress", name]["spec"]["rules"][0]["host"] for name in ("api", "api-canary")]
    assert hosts[0] == hosts[1]
    for name, chosen in (
        ("api", found["NetworkPolicy", "api"]["spec"]["podSelector"]),
        ("redis", found["NetworkPolicy", "redis"]["spec"]["ingress"][0]["from"][0]["podSelector"]),
    ):
        assert chosen["matchExpressions"][0]["values"] == ["api", "api-canary"], name


def test_dask_of_the_cluster_and_of_compose_scores(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """One command each, told twice; run here on other ports, they are what batch scoring asks for."""
    from flows.batch.workers import workers

    commands = {}
    for name in ("dask-scheduler", "dask-worker"):
        container = objects["Deployment", name]["spec"]["template"]["spec"]["containers"][0]
        commands[name] = container["command"]
        assert compose_file.raw()["services"][name]["command"].split() == commands[name]
    told = objects["ConfigMap", "addresses"]["data"]["QF_DASK_SCHEDULER"]
    place = f"tcp://127.0.0.1:{free_port()}"
    exchanged = {told: place, "8786": place.rpartition(":")[2], "8788": str(free_port()), "8789": str(free_port())}
    exchanged |= {"python3": sys.executable, "0.0.0.0": "127.0.0.1"}
    with ExitStack() as running:
        for command in commands.values():
            process = running.enter_context(
                subprocess.Popen(
                    [exchanged.get(each, each) for each in command],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
            running.callback(process.terminate)
        with workers(place, 1) as client:
            # By name, as batch scoring sends its functions: a worker has the project's packages.
            assert client.submit(free_port).result() > 0


def test_cluster_and_compose_run_the_same_redis() -> None:
    """One release and one configuration, told twice."""
    documents = yaml.safe_load_all((FOLDER / "base" / "redis.yaml").read_text())
    container = next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"][
        "containers"
    ][0]
    part = compose_file.raw()["services"]["redis"]
    assert container["image"] == part["image"]
    assert container["command"][-1] == part["command"][-1].replace("$$", "$")
