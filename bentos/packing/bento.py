"""From a proved package to a Bento whose tag follows from its bytes.

The Bento is built from a staging folder that holds exactly what production runs: `service/`, its locked requirements,
`bentofile.yaml` and the package as `model/`. The tag is `<model version>-<model digest>-<digest of the staging
folder and base image>`, so the same inputs give the same tag and a Bento that stands already is proved and used again.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos.digests import bento_digest, bento_path, combined, differences, file_sha256, fingerprint
from bentos.errors import ArtefactDamaged, PackFailed
from bentos.packing.model_package import complete
from bentos.processes import last_line
from bentos.registry.decision import Decision
from service.contract import PRODUCT
from service.engine.packed_model import PackedModel
from service.errors import ModelRefused
from service.score.manifest import MODEL_FILE, Manifest
from service.score.manifest_parts import Approval, Override

BENTO_NAME: Final = PRODUCT
#: where it lies in the project -> where it lies in the Bento
STAGED: Final = {
    "bentofile.yaml": "bentofile.yaml",
    "service": "service",
    "infra/locks/service.txt": "infra/locks/service.txt",
    "infra/locks/uv.toml": "uv.toml",  # not at the project's root: it would rule the project's own locking too
}
BUILD_TIMEOUT_S: Final = 600
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
EPOCH_S: Final = 1_700_000_000
"""One time of modification for all staged files, so that image layers built twice are the same."""


class Packed(BaseModel):
    """A Bento on disk. `digest` covers every file; of bento.yaml all but the time of the build."""

    model_config = ConfigDict(frozen=True)

    tag: str
    digest: str
    path: Path
    reused: bool


def check_size(package: Path, max_model_mb: float) -> None:
    """Refuse a model that is too large to be served as promised.

    Raises:
        PackFailed: the model file is larger than `max_model_mb`.
    """
    size_mb = (package / MODEL_FILE).stat().st_size / 1e6
    if size_mb > max_model_mb:
        raise PackFailed(f"{MODEL_FILE} has {size_mb:.1f} MB, at most {max_model_mb:g} MB may be packed: train smaller")


def finish(
    package: Path, version: int, decision: Decision, documents: Mapping[str, Mapping[str, str]] | None = None
) -> Manifest:
    """The manifest of `package`, completed in place with its version, the verdict that let it out and its documents.

    The package is then loaded the way the service loads it: hashes, golden predictions, a child process first.

    Raises:
        ArtefactDamaged: the service would refuse the package.
    """
    override = None
    if decision.overridden and decision.override_expires is not None:
        override = Override(
            checks=decision.failed_checks,
            reason=decision.override_reason,
            expires=decision.override_expires,
            second_name=decision.second_reviewer,
        )
    approval = Approval(
        reviewer=decision.reviewer,
        verdict=decision.verdict,
        note=decision.note,
        at=decision.at,
        override=override,
        signature=decision.signature,
        second_signature=decision.second_signature,
    )
    try:
        manifest = complete(package, version=str(version), approval=approval, documents=documents)
        PackedModel.load(package)
    except ModelRefused as error:
        raise ArtefactDamaged(f"version {version}: {error}") from error
    return manifest


def stage(home: Path, package: Path, staging: Path) -> str:
    """SHA-256 of `staging`, filled with what the Bento is made of.

    Raises:
        PackFailed: the project's files are not below `home`.
    """
    for name, place in STAGED.items():
        source, target = home / name, staging / place
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.so"))
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        else:
            raise PackFailed(f"{name} is not in {home.resolve().name}: set QF_HOME to the project's root")
    shutil.copytree(package, staging / "model")
    for path in sorted(staging.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (EPOCH_S, EPOCH_S))
    return combined(fingerprint(staging))


def pack(  # pylint: disable=too-many-arguments  # what it is made of, where it goes, what is known of it
    package: Path,
    *,
    version: int,
    digest: str,
    home: Path,
    store: Path,
    base_image: str,
    proved: str | None = None,
) -> Packed:
    """The Bento of this package, built now or, proved byte by byte, built before.

    Args:
        package: the complete package of an approved version, manifest included.
        version: number of the registered version.
        digest: SHA-256 of its model.cbm, checked again.
        home: root of the project.
        store: Bento store (BENTOML_HOME).
        base_image: what the image will be built from; part of the tag.
        proved: the digest it was proved with before, empty if it was not: one that stands and differs is built anew.
            None where nobody keeps it; then its own files are compared alone.

    Raises:
        ArtefactDamaged: the package's model is not the approved one.
        PackFailed: the Bento could not be built; nothing is left in the store.
    """
    actual = file_sha256(package / MODEL_FILE) if (package / MODEL_FILE).is_file() else "none"
    if actual != digest:
        raise ArtefactDamaged(f"version {version}: {MODEL_FILE} has digest {actual[:12]}, approved was {digest[:12]}")
    try:
        return _packed(package, version, digest, home, store, base_image, proved)
    except OSError as error:
        # Copying a folder raises one error that lists every file's: the first says it.
        reason = str(error.args[0][0][2]) if isinstance(error, shutil.Error) else str(error)
        raise PackFailed(f"packing version {version} failed: {reason[:200]}; mend that, run again") from error


def _packed(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # as `pack`
    package: Path, version: int, digest: str, home: Path, store: Path, base_image: str, proved: str | None
) -> Packed:
    with tempfile.TemporaryDirectory(prefix="bento-") as scratch:
        # Not below .local/: BentoML refuses to pack from a path with a dot-folder in it.
        staging = Path(scratch) / "context"
        staging.mkdir()
        inputs = hashlib.sha256(f"{stage(home, package, staging)} {base_image}".encode()).hexdigest()
        tag = f"{BENTO_NAME}:{version}-{digest[:8]}-{inputs[:8]}"
        path = bento_path(store, tag)
        if digest_there := _stands(staging, path, proved):
            return Packed(tag=tag, digest=digest_there, path=path, reused=True)
        remove(path)
        _build(staging, tag, store, base_image)
        if not _same(staging, path):
            changed = differences(fingerprint(staging), fingerprint(path / "src"))
            remove(path)
            raise PackFailed(
                f"the built Bento differs from its inputs in {', '.join(changed[:5])}: check bentofile.yaml"
            )
    return Packed(tag=tag, digest=bento_digest(path), path=path, reused=False)


def remove(path: Path) -> None:
    """Take a Bento out of the store; nothing happens if it is not there."""
    if path.exists():
        shutil.rmtree(path)
    latest = path.parent / "latest"
    if latest.exists() and latest.read_text().strip() == path.name:
        latest.unlink()


def _stands(staging: Path, bento: Path, proved: str | None) -> str:
    """Digest of a Bento that may be used again; empty if it must be built."""
    if not (bento / "bento.yaml").is_file() or not _same(staging, bento):
        return ""
    try:
        digest = bento_digest(bento)
    except ArtefactDamaged:
        return ""
    return digest if proved in (None, digest) else ""


def _same(staging: Path, bento: Path) -> bool:
    """True if the Bento holds the staged files and no others; its own copy of the bentofile does not count."""
    try:
        return not differences(fingerprint(staging), fingerprint(bento / "src"))
    except ArtefactDamaged:
        return False


def _build(staging: Path, tag: str, store: Path, base_image: str) -> None:
    # A process of its own: building imports the staged `service`, which must not meet the project's in this one.
    command = [sys.executable, "-m", "bentoml", "build", "--version", tag.partition(":")[2], "-o", "tag", "."]
    try:
        result = subprocess.run(
            command,
            cwd=staging,
            env={**bento_environment(store), "BENTO_BASE_IMAGE": base_image},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise PackFailed(f"building {tag} took more than {BUILD_TIMEOUT_S} s") from error
    if result.returncode != 0 or tag not in result.stdout:
        raise PackFailed(f"building {tag} failed: {last_line(result.stderr or result.stdout)}")


def bento_environment(store: Path) -> dict[str, str]:
    """Environment of a BentoML process: this one's, without what would lead it to other code or another model."""
    drop = {"PYTHONPATH", "QF_MODEL_DIR", "QF_SERVICE_DIR"}
    environment = {key: value for key, value in os.environ.items() if key not in drop}
    if reviewers := environment.get("QF_REVIEWERS"):  # it does not run in this folder
        environment["QF_REVIEWERS"] = str(Path(reviewers).absolute())
    return {**environment, "BENTOML_HOME": str(store), "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1"}
