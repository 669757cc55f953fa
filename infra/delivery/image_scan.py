"""`make imagescan`: known vulnerabilities of every image that compose and the cluster pull, and that ours start from.

Trivy does it, in its own container by digest: it reads an image from its registry without the engine's socket. What has
a fix and is high or critical fails. What does not concern us goes into `infra/locks/image-waivers.txt` by identifier, a
line each with `exp:YYYY-MM-DD`, as Trivy itself reads them. Without an engine or a network there is no verdict.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from infra.errors import StackError
from infra.settings import ROOT

SCANNER: Final = "aquasec/trivy:0.65.0@sha256:a22415a38938a56c379387a8163fcb0ce38b10ace73e593475d3658d578b2436"
WAIVERS: Final = ROOT / "infra" / "locks" / "image-waivers.txt"
FOUND: Final = 3  # the code Trivy ends with where it found something; anything else is no verdict
PATIENCE_S: Final = 1200
_NAME: Final = r"((?:[\w.-]+(?::\d+)?/)?[\w./-]+:[\w.-]+(?:@sha256:[0-9a-f]{64})?)"
_PULLED: Final = re.compile(rf"^\s+image: {_NAME}\s*$", re.MULTILINE)
_BASE: Final = re.compile(
    rf'^ARG BASE_IMAGE={_NAME}$|\$\{{BASE_IMAGE:-{_NAME}\}}|^BASE_IMAGE: Final = "{_NAME}"$', re.M
)


def naming(root: Path = ROOT) -> dict[Path, set[str]]:
    """The files that name images which are pulled, and what they name: compose, the manifests, what ours start from."""
    infra = root / "infra"
    dockerfiles = (file for file in sorted(infra.glob("Dockerfile.*")) if file.suffix != ".dockerignore")
    compose = sorted(infra.glob("compose*.yaml")) + sorted((infra / "compose").glob("*.yaml"))
    files = [*compose, *sorted((infra / "kubernetes").rglob("*.yaml")), *dockerfiles, root / "service" / "settings.py"]
    names_by_file = {file: _images_in(file.read_text("utf-8")) for file in files}
    return {file: names for file, names in names_by_file.items() if names}


def images(root: Path = ROOT) -> list[str]:
    """Every image that is pulled, not our own."""
    return sorted(set().union(*naming(root).values()))


def _images_in(text: str) -> set[str]:
    return {*_PULLED.findall(text), *(name for names in _BASE.findall(text) for name in names if name)}


def command(engine: str, image: str) -> list[str]:
    """The command that scans one image."""
    scanner = ["image", "--quiet", "--scanners", "vuln", "--severity", "HIGH,CRITICAL", "--ignore-unfixed"]
    mounts = ["--volume", "qf-trivy:/root/.cache", "--volume", f"{WAIVERS}:/waivers:ro"]
    return [
        engine,
        "run",
        "--rm",
        *mounts,
        SCANNER,
        *scanner,
        "--ignorefile",
        "/waivers",
        "--exit-code",
        str(FOUND),
        image,
    ]


def scan(engine: str) -> list[str]:
    """The images with vulnerabilities; Trivy's tables go to the terminal.

    Raises:
        StackError: no engine, no network, or Trivy failed: that is no verdict.
    """
    bad = []
    for image in images():
        try:
            done = subprocess.run(command(engine, image), check=False, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)
        except FileNotFoundError as error:
            raise StackError(f"{engine} is not installed: images are scanned by the engine (QF_ENGINE)") from error
        except subprocess.TimeoutExpired as error:
            raise StackError(f"{image} was not scanned within {PATIENCE_S} s: no verdict") from error
        if done.returncode not in (0, FOUND):
            raise StackError(f"{image} could not be scanned (exit code {done.returncode}, see above): no verdict")
        if done.returncode:
            bad.append(image)
    return bad


def main() -> int:
    """0 without a finding; 1 and one line where there are some, or where there is no verdict."""
    try:
        bad = scan(os.environ.get("QF_ENGINE", "docker"))
    except StackError as error:
        print(f"imagescan: {error}", file=sys.stderr)
        return 1
    if bad:
        print(f"imagescan: fixed vulnerabilities in {', '.join(bad)}: take a newer release, or waive", file=sys.stderr)
        return 1
    print(f"{len(images())} images without a known vulnerability that has a fix")
    return 0


if __name__ == "__main__":
    sys.exit(main())
