"""SHA-256 of files and folders: what makes a package, a staging folder and a Bento comparable to the byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

BLOCK_BYTES: Final = 1 << 20
UNSTABLE: Final = {"__pycache__", ".DS_Store"}


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of the file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 by relative POSIX path of every file below `folder`; byte-code caches are left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): file_sha256(path)
        for path in files
        if not UNSTABLE.intersection(path.relative_to(folder).parts)
    }


def combined(files: Mapping[str, str]) -> str:
    """One SHA-256 for a whole fingerprint, the way `sha256sum` prints it, sorted by path."""
    text = "".join(f"{sha}  {path}\n" for path, sha in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Paths that are missing, added or changed, sorted; empty if both are the same."""
    return sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
