"""Credentials of the compose stack: `python -m infra.compose.passwords` makes what is missing, keeps what is there.

`python -m infra.compose.passwords renew NAME ...` makes these anew; infra/docs/pages/rotation.md says what follows.

Everything lies in one folder (`.local/compose`, mode 0700): `env` (0600) for compose itself, and the files that parts
read as another user of their container (0644, behind the folder's mode). Nothing has a default: a name that is missing
stops compose with a line that names this command.
"""

from __future__ import annotations

import argparse
import secrets
import string
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from bentos.registry.signing import Reviewers
from infra.compose.rights import USERS, identities
from infra.errors import StackError
from infra.settings import read_settings
from infra.stack.credentials import Credentials, mlflow_users, write_private
from infra.stack.worker_rights import DUTIES

LETTERS: Final = string.ascii_letters + string.digits  # safe in a URL, a shell, an ini file and SQL
PASSWORD_LENGTH: Final = 40
CERTIFICATE_DAYS: Final = 397  # longer is refused by browsers
#: Names of compose's env file that hold one secret each, beside the pairs of the store's users.
SECRETS: Final = (
    "POSTGRES_PASSWORD",
    "MLFLOW_DATABASE_PASSWORD",
    "PREFECT_DATABASE_PASSWORD",
    "MLFLOW_ADMIN_PASSWORD",
    "MLFLOW_FLOWS_PASSWORD",
    "MLFLOW_COOKIE_SECRET",
    "PREFECT_PASSWORD",
    *(f"WORKER_{duty.upper()}_PASSWORD" for duty in DUTIES),
    "REDIS_PASSWORD",
    "GRAFANA_PASSWORD",
    "REGISTRY_PASSWORD",
    "REGISTRY_COOKIE_SECRET",
    "STORE_ENCRYPTION_KEY",
)
#: What is never made anew: every object in the store opens with it alone.
LASTING: Final = frozenset({"STORE_ENCRYPTION_KEY"})


def password() -> str:
    """A new secret of 238 bits."""
    return "".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LENGTH))


def read_env(path: Path) -> dict[str, str]:
    """Names and values of compose's env file; empty where there is none."""
    if not path.exists():
        return {}
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line and line[0] != "#")
    return {name.strip(): value.strip() for name, value in pairs}


def store_names(user: str) -> tuple[str, str]:
    """Names of the access key and of the secret key of a user of the store."""
    return f"STORE_{user.upper()}_ACCESS_KEY", f"STORE_{user.upper()}_SECRET_KEY"


def _access_name(user: str) -> str:
    return f"qf-{user}-{secrets.token_hex(6)}"


def completed(values: Mapping[str, str]) -> dict[str, str]:
    """`values` and a new secret for each name that it lacks."""
    makers: dict[str, Callable[[], str]] = {name: password for name in SECRETS}
    for user in USERS:
        access, secret = store_names(user)
        makers[access] = partial(_access_name, user)
        makers[secret] = password
    return {**values, **{name: values.get(name) or make() for name, make in makers.items()}}


def pairs(values: Mapping[str, str]) -> dict[str, Credentials]:
    """The key pair of each user of the store."""
    return {user: Credentials(*(values[name] for name in store_names(user))) for user in USERS}


def users_database(values: Mapping[str, str]) -> str:
    """Where MLflow keeps its users."""
    database = f"postgresql+psycopg://mlflow:{values['MLFLOW_DATABASE_PASSWORD']}@postgres:5432/mlflow_users"
    return values.get("MLFLOW_USERS_DATABASE", database)


def htpasswd(name: str, value: str) -> str:
    """A line of the registry's user file; it reads bcrypt alone."""
    import bcrypt

    return f"{name}:{bcrypt.hashpw(value.encode(), bcrypt.gensalt(10)).decode()}\n"


def certificate(host: str) -> tuple[str, str]:
    """A self-signed certificate and its key, in PEM: enough to begin, to be replaced by a real one."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    names = [x509.DNSName(each) for each in dict.fromkeys((host, "localhost", "*.localhost", "proxy"))]
    now = datetime.now(UTC)
    signature = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signature.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def write(folder: Path, host: str = "localhost", renew: Collection[str] = ()) -> list[str]:
    """Bring the folder to its full state, the secrets `renew` made anew; the names of new or changed files.

    Raises:
        StackError: the folder cannot be written, or a name is none of ours or must last.
    """
    if unknown := sorted(set(renew) - set(completed({}))):
        raise StackError(f"{unknown[0]} is no secret of compose: the names stand in {folder / 'env'}")
    if lasting := sorted(LASTING & set(renew)):
        raise StackError(f"{lasting[0]} is not renewed: nothing that the store holds could be read any more")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        before = {name: value for name, value in read_env(folder / "env").items() if name not in renew}
        values = completed(before)
        changed = []
        if values != before:
            text = "".join(f"{name}={value}\n" for name, value in values.items())
            write_private(
                folder / "env", "# Made by python -m infra.compose.passwords; keep it with your backups.\n" + text
            )
            changed.append("env")
        files = {"store.json": identities(pairs(values)), "mlflow-auth.ini": mlflow_users(users_database(values))}
        changed += [name for name, text in files.items() if _replace(folder / name, text)]
        registry = folder / "registry-htpasswd"
        if "REGISTRY_PASSWORD" not in before or not registry.exists():  # salted anew each time, so only when needed
            _replace(registry, htpasswd("release", values["REGISTRY_PASSWORD"]))
            changed.append(registry.name)
        if not (folder / "reviewers.json").exists():  # nobody yet: python -m bentos.reviewers issue NAME
            _replace(folder / "reviewers.json", Reviewers().model_dump_json())
            changed.append("reviewers.json")
        # What the proxy shares with who deploys (infra/proxy/); the folder above closes it to others.
        for name in ("proxy", "proxy/switch", "proxy/tls"):
            (folder / name).mkdir(exist_ok=True)
            (folder / name).chmod(0o777)
        if not (folder / "proxy/tls/server.crt").exists():
            for name, text in zip(("server.crt", "server.key"), certificate(host), strict=True):
                _replace(folder / "proxy" / "tls" / name, text)
                changed.append(f"proxy/tls/{name}")
    except OSError as error:
        raise StackError(f"{error.filename}: {error.strerror}; the credentials cannot be kept there") from error
    return changed


def _replace(path: Path, text: str) -> bool:
    """Write a file that a container reads as its own user; True if that changed anything."""
    if path.exists() and path.read_text() == text:
        return False
    # Written in place: compose mounts the file itself, and a new one in its stead would not be seen.
    path.write_text(text)
    path.chmod(0o644)
    return True


def main(arguments: Sequence[str] = ()) -> int:
    """Make what is missing below the state folder, or some of it anew; 1 with one line where that is impossible."""
    parser = argparse.ArgumentParser(prog="python -m infra.compose.passwords", description="Secrets of compose.")
    parser.add_argument("command", nargs="?", choices=["renew"], help="make some anew")
    parser.add_argument("names", nargs="*", help="as compose's env file has them")
    options = parser.parse_args(arguments)
    try:
        folder = read_settings().state_dir / "compose"
        changed = write(folder, renew=options.names)
    except StackError as error:
        print(f"passwords: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: " + (f"made {', '.join(changed)}" if changed else "complete already, nothing changed"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
