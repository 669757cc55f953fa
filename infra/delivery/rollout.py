"""`make rollout`: the champion's image, by digest, to where production runs; then the version counts as released.

`QF_DEPLOY_TO` says where: `ssh://user@host[:port]/folder` runs `make deploy` in the project's folder on that host,
`kubectl://namespace/folder` applies the workload of that kustomization, with the image in it, as
`infra/kubernetes/overlays/production/api` is; `kubectl://namespace/statefulset/name/container` (or `deployment`) sets
the image of somebody else's workload. Both wait until it is rolled out, or take it back. An image goes
nowhere that is not signed as `QF_SIGNED_BY` asks. Whose approvals the service
believes is said where it runs (`QF_REVIEWERS`), never by who rolls out: the host's own list, the cluster's own
ConfigMap `reviewers`, without which nothing is applied. Keys come from the
environment, lie in files of their own for as long as the command runs, and are in no argument and no message.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from bentos.errors import BentosError
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import BentosSettings
from infra.delivery.programs import run
from infra.delivery.pushed_image import TrustSettings, image_of, verify
from infra.delivery.report import RELEASED_AT
from infra.errors import StackError
from infra.settings import ROOT
from service.contract import PRODUCT

SHAPES: Final = (
    "ssh://user@host[:port]/folder, kubectl://namespace/folder with a kustomization, or "
    "kubectl://namespace/{statefulset or deployment}/name/container"
)
WORKLOADS: Final = ("statefulset", "deployment")
KUSTOMIZATION: Final = "kustomization.yaml"
REVIEWERS_MAP: Final = "reviewers"
ROLLED_OUT: Final = "--timeout=600s"


class RolloutSettings(BaseSettings):
    """Settings of production: where it runs and the credentials for it."""

    model_config = SettingsConfigDict(env_prefix="QF_DEPLOY_", extra="ignore")

    to: str = Field(default="", description=f"Where to: {SHAPES}.")
    key: SecretStr = Field(default=SecretStr(""), description="Private SSH key; the agent's or user's own if empty.")
    known_hosts: str = Field(default="", description="Host keys, lines of known_hosts; the user's own file if empty.")
    kubeconfig: SecretStr = Field(default=SecretStr(""), description="Kubernetes configuration; the user's if empty.")


def roll_out(image: str, number: int, settings: RolloutSettings) -> None:
    """Bring the image of version `number` to production, its commands' output shown as it comes.

    Raises:
        StackError: QF_DEPLOY_TO is missing or of no known shape, a program is missing, or the rollout failed.
    """
    where = urlsplit(settings.to)
    steps = [part for part in where.path.split("/") if part]
    if where.scheme == "ssh" and where.hostname and steps:
        return _by_ssh(number, settings)
    if where.scheme == "kubectl" and where.netloc and len(steps) == 3 and steps[0] in WORKLOADS:
        return _by_kubectl(image, where.netloc, "/".join(steps[:2]), steps[2], settings)
    if where.scheme == "kubectl" and where.netloc and (folder := ROOT.joinpath(*steps) / KUSTOMIZATION).is_file():
        return _by_kustomization(image, where.netloc, folder.parent, settings)
    raise StackError(f"QF_DEPLOY_TO is {settings.to or 'not set'}; it takes {SHAPES}")


def _by_ssh(number: int, settings: RolloutSettings) -> None:
    where = urlsplit(settings.to)
    with _files({"key": settings.key.get_secret_value(), "known_hosts": settings.known_hosts}) as files:
        command = ["ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
        if "key" in files:
            command += ["-o", "IdentitiesOnly=yes", "-i", str(files["key"])]
        if "known_hosts" in files:
            command += ["-o", f"UserKnownHostsFile={files['known_hosts']}"]
        if where.port:
            command += ["-p", str(where.port)]
        host = f"{where.username}@{where.hostname}" if where.username else str(where.hostname)
        _run([*command, host, f"cd {shlex.quote(where.path)} && make deploy ARGS='--version {number}'"])


def _by_kubectl(image: str, namespace: str, name: str, container: str, settings: RolloutSettings) -> None:
    with _kubectl(namespace, settings) as kubectl:
        _run([*kubectl, "set", "image", name, f"{container}={image}"])
        _await_rolled_out(kubectl, [name])


def _by_kustomization(image: str, namespace: str, folder: Path, settings: RolloutSettings) -> None:
    with _kubectl(namespace, settings) as kubectl, tempfile.TemporaryDirectory(prefix="rollout-") as kustomization:
        with_image(folder, image, Path(kustomization))
        try:  # its pods would wait for it until the rollout is given up
            _run([*kubectl, "get", "configmap", REVIEWERS_MAP, "--output", "name"])
        except StackError as error:
            raise StackError(
                f"{namespace} may have no list of reviewers, and a start asks it: "
                f"kubectl create configmap {REVIEWERS_MAP} --from-file=reviewers.json ({error})"
            ) from error
        _run([*kubectl, "apply", "--kustomize", kustomization])
        _await_rolled_out(kubectl, ["--kustomize", kustomization])


def with_image(folder: Path, image: str, target: Path) -> None:
    """A kustomization in `target`: the one in `folder`, with the image by digest wherever it names the product's."""
    name, _, digest = image.partition("@")
    # kustomize takes folders by relative paths alone.
    place = os.path.relpath(folder.resolve(), target.resolve())
    lines = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [place],
        "images": [{"name": PRODUCT, "newName": name, "digest": digest}],
    }
    (target / KUSTOMIZATION).write_text(json.dumps(lines), encoding="utf-8")  # which is YAML too


@contextmanager
def _kubectl(namespace: str, settings: RolloutSettings) -> Iterator[list[str]]:
    """The start of a command line for the cluster."""
    with _files({"kubeconfig": settings.kubeconfig.get_secret_value()}) as files:
        kubeconfig = ["--kubeconfig", str(files["kubeconfig"])] if "kubeconfig" in files else []
        yield ["kubectl", "--namespace", namespace, *kubeconfig]


def _await_rolled_out(kubectl: Sequence[str], workload: Sequence[str]) -> None:
    try:
        _run([*kubectl, "rollout", "status", *workload, ROLLED_OUT])
    except StackError:
        _run([*kubectl, "rollout", "undo", *workload])
        raise


@contextmanager
def _files(contents: dict[str, str]) -> Iterator[dict[str, Path]]:
    """The contents that are not empty as private files, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="rollout-") as folder:
        paths = {name: Path(folder) / name for name, text in contents.items() if text}
        for name, path in paths.items():
            path.touch(mode=0o600)
            path.write_text(contents[name].rstrip("\n") + "\n", encoding="utf-8")
        yield paths


def _run(command: Sequence[str]) -> None:
    run(command, "production kept its image, or look there before trying again")


def release(registry: Registry, settings: RolloutSettings, trust: TrustSettings, now: datetime) -> tuple[str, str]:
    """The image that production runs from now on and who signed it; the version carries the time of its release.

    Raises:
        BentosError: there is no approved champion, or MLflow does not answer.
        StackError: there is no image, it is not signed as `trust` asks, or the rollout failed; nothing is noted then.
    """
    version = registry.by_alias(CHAMPION)
    registry.approved(version)
    image = image_of(registry, version)
    signer = verify(image, trust)
    roll_out(image, version.number, settings)
    registry.record(version, {RELEASED_AT: now.isoformat(timespec="seconds")})
    return image, signer


def main() -> int:
    """Roll out the champion; exit code 1 and one line if it did not work."""
    try:
        registry = Registry.connect(BentosSettings())
        image, signer = release(registry, RolloutSettings(), TrustSettings(), datetime.now(UTC))
    except (BentosError, StackError) as error:
        print(f"rollout: {error}", file=sys.stderr)
        return 1
    print(f"released {image} to {urlsplit(os.environ['QF_DEPLOY_TO']).scheme}; its signer: {signer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
