"""`make scan`: no secret in any file git tracks, nor in anything that was ever committed.

Our own keys are recognised by prefix, shape and checksum, so a made-up one in a test is none. Keys of other makers have
fixed shapes too, and `detect-secrets` knows them; its guesses by entropy and by the word "password" are left out, since
a repository with hashes in its locks would drown in them. Every object of the repository is read, not only what
branches reach: a force-push does not unpublish. A finding names object, file and line, never the secret.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infra.errors import StackError
from infra.settings import ROOT
from service.access.credentials import KEY_LENGTH, PREFIX, well_formed

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

ALLOWED: Final = b"pragma: allowlist secret"  # on the line itself: a sample that opens nothing
DETECTORS: Final = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
}
OURS: Final = "key of ours"
SAMPLE: Final = "EXAMPLE"  # how the keys of Amazon's documentation end, and no real one does
BINARY_LOOK: Final = 8_000  # bytes, as git itself looks for a zero byte


@dataclass(frozen=True)
class Finding:
    """Where a secret lies: the object or file, the 1-based line, and what kind it is."""

    place: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.place}:{self.line}: {self.kind}"


@cache
def _detectors() -> tuple[RegexBasedDetector, ...]:
    from importlib import import_module

    kinds = [getattr(import_module(f"detect_secrets.plugins.{module}"), name) for module, name in DETECTORS.items()]
    return tuple(one() for one in kinds)


def findings(place: str, content: bytes) -> list[Finding]:
    """Secrets in one file's content; what looks binary to git is searched for our keys only."""
    binary = b"\0" in content[:BINARY_LOOK]
    if PREFIX.encode() not in content and (binary or not _suspicious(content)):
        return []
    secrets = []
    for number, line in enumerate(content.splitlines(), start=1):
        if ALLOWED in line:
            continue
        text = line.decode("utf-8", "replace")
        secrets += [Finding(place, number, OURS) for _ in _keys(text)]
        if not binary:
            secrets += [Finding(place, number, one.secret_type) for one in _detectors() if _matches(one, text)]
    return secrets


def _suspicious(content: bytes) -> bool:
    """True if any detector matches anywhere: one look at the whole saves one at each of its lines."""
    text = content.decode("utf-8", "replace")
    return any(_matches(one, text) for one in _detectors())


def _matches(detector: RegexBasedDetector, text: str) -> bool:
    return any(not match.endswith(SAMPLE) for match in detector.analyze_string(text))


def _keys(text: str) -> Iterator[str]:
    start = text.find(PREFIX)
    while start >= 0:
        if well_formed(candidate := text[start : start + KEY_LENGTH]):
            yield candidate
        start = text.find(PREFIX, start + 1)


def of_files(root: Path) -> Iterator[Finding]:
    """Secrets in the working copy's tracked and new, not ignored files."""
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    for name in sorted(set(filter(None, names))):
        path = root / name.decode("utf-8", "surrogateescape")
        if path.is_file() and not path.is_symlink():
            yield from findings(str(path.relative_to(root)), path.read_bytes())


def of_history(root: Path) -> Iterator[Finding]:
    """Secrets in all files, commit messages and tags that the repository holds, reachable or not."""
    listing = _git(root, "cat-file", "--batch-check=%(objectname) %(objecttype)", "--batch-all-objects").decode()
    objects = [name for name, kind in map(str.split, listing.splitlines()) if kind != "tree"]
    for name, content in _contents(root, objects):
        if secrets := findings(name[:12], content):
            path = _path_of(root, name)
            yield from (Finding(f"{path} ({one.place})", one.line, one.kind) for one in secrets)


def _contents(root: Path, objects: list[str]) -> Iterator[tuple[str, bytes]]:
    with subprocess.Popen(
        ["git", "-C", str(root), "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # both are pipes
        for name in objects:
            process.stdin.write(name.encode() + b"\n")
            process.stdin.flush()
            size = int(process.stdout.readline().split()[2])
            yield name, process.stdout.read(size + 1)[:-1]
        process.stdin.close()


def _path_of(root: Path, name: str) -> str:
    """A file that had this content in some commit; what no branch reaches any more has none."""
    paths = _git(root, "log", "--all", "--find-object", name, "--format=", "--name-only", "-1").decode().splitlines()
    return paths[0] if paths else "history"


def _git(root: Path, *arguments: str) -> bytes:
    try:
        process = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise StackError("git is not installed") from error
    if process.returncode:
        raise StackError(
            f"git {arguments[0]} failed: {(process.stderr.decode().splitlines() or ['no reason given'])[-1]}"
        )
    return process.stdout


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if nothing was found, 1 with a line each otherwise."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.secret_scan", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this project's)")
    options = parser.parse_args(arguments)
    try:
        if _git(options.root, "rev-parse", "--is-shallow-repository").strip() == b"true":
            raise StackError("this clone holds a part of the history only: git fetch --unshallow")
        secrets = sorted({*of_files(options.root), *of_history(options.root)}, key=str)
    except StackError as error:
        print(f"scan: {error}", file=sys.stderr)
        return 1
    for one in secrets:
        print(f"scan: {one}", file=sys.stderr)
    if secrets:
        print(f"scan: {len(secrets)} secrets; revoke each first, then remove it: history keeps it", file=sys.stderr)
        return 1
    print("scan: no secret in the tracked files nor in the history")
    return 0


if __name__ == "__main__":
    sys.exit(main())
