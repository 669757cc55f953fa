"""Data versions with DVC: run the pipeline, push what it made, and leave git's tracked lock as it was.

`dvc.lock` is tracked: it names the version of the data that belongs to a revision of this project. Trying another file
(`DATA=path`) must not change a tracked file behind the user's back, so the lock of a run is kept under the state
folder, and `adopt` makes it the project's version on purpose.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from flows.errors import DatasetError
from service import s3
from service.files import replace

LOCK: Final = "dvc.lock"
DATA_STAGE: Final = "prepare"  # with what it needs; `evaluate` learns, which no choice of data asks for
SETTINGS: Final = {"DVC_NO_ANALYTICS": "1"}


@dataclass(frozen=True)
class DvcRemote:
    """A remote of `.dvc/config`, its bucket, and the variables that lead to it."""

    name: str
    bucket: str
    variables: Mapping[str, str]


def remote_of(environment: Mapping[str, str]) -> DvcRemote:
    """Where data versions are pushed: MinIO, or DagsHub where `QF_DVC_ENDPOINT` names its S3 address.

    DagsHub opens its MLflow and its S3 with one token, so the password of the one is both keys of the other. Only DVC's
    own process sees them: predictions and reports stay in the store the usual AWS variables name.

    Raises:
        DatasetError: the address is set and the token is not.
    """
    endpoint = environment.get("QF_DVC_ENDPOINT", "")
    if not endpoint:
        return DvcRemote("minio", s3.DATA_BUCKET, {})
    token = environment.get("MLFLOW_TRACKING_PASSWORD", "")
    if not token:
        raise DatasetError("QF_DVC_ENDPOINT is set, so MLFLOW_TRACKING_PASSWORD must hold DagsHub's token")
    region = s3.region_of(environment) or s3.DEFAULT_REGION  # any: boto3 asks for one, DagsHub does not
    return DvcRemote("dagshub", "dvc", s3.environment(endpoint, token, token, region))


def transfer(root: Path, direction: Literal["push", "pull"]) -> DvcRemote:
    """Push the versions that `dvc.lock` names, or pull them; the remote it was.

    Raises:
        DatasetError: DVC fails, or the remote's settings are incomplete.
    """
    remote = remote_of(os.environ)
    _dvc(root, [direction, "--remote", remote.name], remote.variables)
    return remote


def reproduce(root: Path, state: Path, source: str, *, push: bool, hints: Mapping[str, str]) -> Path:
    """Run the DVC data stages on `source` and push them if asked; the run's own lock file, kept under `state`.

    `hints` are variables for the stages: what the source does not tell itself.

    Raises `DatasetError` if DVC fails; its own lines on standard error say why.
    """
    with lock_kept(root / LOCK, state) as own_lock:
        _dvc(root, ["repro", DATA_STAGE], {"QF_DATA": source, **hints})
        if push:
            transfer(root, "push")
    return own_lock


def adopt(root: Path, state: Path) -> Path:
    """Make the last run's data version the project's: its lock takes the tracked lock's place, to be committed."""
    own_lock = state / LOCK
    if not own_lock.is_file():
        raise DatasetError(f"there is no {own_lock}: run `python -m flows.dataset reproduce --data ...` first")
    replace(root / LOCK, own_lock.read_bytes())
    return root / LOCK


@contextmanager
def lock_kept(lock: Path, state: Path) -> Iterator[Path]:
    """While the block runs the lock may change; afterwards the new one lies under `state` and the old one is back.

    A run that was killed half way is made good by the next one.
    """
    state.mkdir(parents=True, exist_ok=True)
    own_lock, backup = state / LOCK, state / f"{LOCK}.tracked"
    if backup.exists():
        backup.replace(lock)
    if lock.exists():
        replace(backup, lock.read_bytes())
    try:
        yield own_lock
        replace(own_lock, lock.read_bytes())
    finally:
        if backup.exists():
            backup.replace(lock)


def _dvc(root: Path, arguments: list[str], extra: Mapping[str, str]) -> None:
    """Run DVC with this very Python first on the path: the stages call `python`."""
    here = str(Path(sys.executable).parent)
    variables = {**os.environ, **SETTINGS, **extra}
    path = here + os.pathsep + os.environ.get("PATH", "")
    environment = {**variables, **s3.for_other_sdks(variables), "PATH": path}
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, check=False)
    if done.returncode:
        raise DatasetError(f"dvc {arguments[0]} failed with exit code {done.returncode}: see its message above")
