"""SHA-256 of files and folders: what makes a package, a staging folder and a Bento comparable to the byte.

A digest is worth what it covers. Everything that Python may read or run is in it, and what has no business in such a
folder (byte code that would run instead of its source, files that Python runs at its start, links, names that look like
others or break the list of digests) is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bentos.errors import ArtefactDamaged
from service.files import combined

__all__ = ["bento_digest", "bento_path", "combined", "differences", "file_sha256", "fingerprint", "require_proved"]

BLOCK_BYTES: Final = 1 << 20
UNEXPECTED: Final = (".pyc", ".pyo", ".pth", ".egg-link")
RESERVED: Final = {"__pycache__", "sitecustomize.py", "usercustomize.py"}  # Python reads them without being asked
DEEPEST: Final = 32
CREATED: Final = re.compile(rb"^creation_time: .*$", re.MULTILINE)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of the file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 by relative POSIX path of every file below `folder`.

    Raises:
        ArtefactDamaged: something is in it that no digest should vouch for.
    """
    paths: list[Path] = []
    folders = [folder] if folder.exists() else []
    while folders:  # no recursion: whoever nests folders a thousand deep is refused like anybody else
        for path in sorted(folders.pop().iterdir()):
            if len(path.parts) - len(folder.parts) > DEEPEST or not _expected(path):
                raise ArtefactDamaged(
                    f"{ascii(str(path.relative_to(folder)))[1:-1][-200:]} in {folder.name} was put there later: byte "
                    "code, start files, links, odd names are no part of a package; find out who did, then make it anew"
                )
            (folders if path.is_dir() else paths).append(path)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in sorted(paths)}


def _expected(path: Path) -> bool:
    """True if a package may hold it: a file of its own or a folder, under a name that means one thing only."""
    name = path.name
    if (
        path.is_symlink()
        or name in RESERVED
        or name.endswith(UNEXPECTED)
        or not (name.isascii() and name.isprintable())
    ):
        return False
    return path.is_dir() or (path.is_file() and path.stat().st_nlink == 1)


def bento_digest(path: Path) -> str:
    """SHA-256 over all files of a Bento; of bento.yaml all but the time of the build.

    Raises:
        ArtefactDamaged: something is in the Bento that was put there later.
    """
    timeless = CREATED.sub(b"", (path / "bento.yaml").read_bytes())
    return combined(fingerprint(path) | {"bento.yaml": hashlib.sha256(timeless).hexdigest()})


def bento_path(store: Path, tag: str) -> Path:
    """The folder of the Bento of this tag in a store."""
    return store / "bentos" / Path(*tag.split(":", 1))


def require_proved(store: Path, tag: str, digest: str) -> None:
    """Make sure that a Bento is byte for byte the one that was proved with this digest, which the store does not hold.

    Raises:
        ArtefactDamaged: it is not, or is not there.
    """
    path = bento_path(store, tag)
    if not (path / "bento.yaml").is_file():
        raise ArtefactDamaged(f"Bento {tag} is not in the store: run the packaging flow")
    if (actual := bento_digest(path)) != digest:
        raise ArtefactDamaged(
            f"Bento {tag} is not what was proved (digest {actual[:12]}, recorded is {digest[:12]}): find out who "
            "changed it, then run the packaging flow"
        )


def differences(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """Paths that are missing, added or changed, sorted; empty if both are the same."""
    return sorted(path for path in expected.keys() | actual.keys() if expected.get(path) != actual.get(path))
