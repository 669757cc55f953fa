"""What an image holds, as CycloneDX: the packages found in it, held against the lock, and the model.

Asked of the image itself, not of what it was meant to be: a package that is not in the lock, or is missing, is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from packaging.requirements import Requirement

from bentos.errors import PublishFailed
from bentos.packing.bento import Packed
from bentos.packing.container_engine import ContainerEngine
from bentos.processes import last_line

LOCK: Final = "src/infra/locks/service.txt"
TIMEOUT_S: Final = 120
LOOK: Final = """
import importlib.metadata, json, os, platform, sys
packages = {
    one.metadata["Name"]: one.version
    for one in importlib.metadata.distributions()
    if str(one.locate_file("")).startswith(sys.prefix)
}
environment = {
    "implementation_name": sys.implementation.name,
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_system": platform.system(),
    "python_full_version": platform.python_version(),
    "python_version": ".".join(platform.python_version_tuple()[:2]),
    "sys_platform": sys.platform,
}
print(json.dumps({"packages": packages, "environment": environment}))
"""
"""Prints the packages of the environment, and what markers of requirements ask for."""


def inventory(engine: ContainerEngine, reference: str) -> dict[str, Any]:
    """`packages` (name to version) and `environment` (of PEP 508 markers) of the image.

    Raises:
        PublishFailed: the image does not run Python.
    """
    alone = ("run", "--rm", "--network", "none", "--entrypoint", "python")
    answer = engine.call(*alone, reference, "-c", LOOK)
    return dict(json.loads(answer))


def locked_lines(lock: str, content: dict[str, Any]) -> str:
    """The lock's entries, hashes and all, that are for this environment.

    Raises:
        PublishFailed: the image holds other packages than these, or other versions.
    """
    entries: dict[str, tuple[str, str]] = {}
    for entry in _entries(lock):
        requirement = Requirement(entry.split(" --hash")[0].replace("\\", " ").strip())
        if requirement.marker is None or requirement.marker.evaluate(content["environment"]):
            version = str(requirement.specifier).removeprefix("==")
            entries[_plain(requirement.name)] = (version, entry)
    installed = {_plain(name): version for name, version in content["packages"].items()}
    expected = {name: version for name, (version, _) in entries.items()}
    if other := sorted(name for name in installed.keys() | expected if installed.get(name) != expected.get(name)):
        raise PublishFailed(f"the image does not hold what is locked: {', '.join(other[:5])}; build it anew")
    return "\n".join(entry for _, entry in entries.values()) + "\n"


def bill(packed: Packed, version: str, digest: str, lines: str) -> str:
    """The image's CycloneDX document: packages with their hashes, and the model with its own.

    Raises:
        PublishFailed: the tool that writes it fails.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible", "--output-format", "JSON"]
    answer = subprocess.run(
        [*command, "-"], input=lines, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if answer.returncode != 0:
        raise PublishFailed(f"the bill of materials cannot be written: {last_line(answer.stderr)}")
    document = json.loads(answer.stdout)
    name, _, tag = packed.tag.partition(":")
    document.setdefault("metadata", {})["component"] = {
        "type": "container",
        "bom-ref": packed.tag,
        "name": name,
        "version": tag,
        "properties": [{"name": "quantumfinance:bento:digest", "value": packed.digest}],
    }
    document["components"].append(
        {
            "type": "machine-learning-model",
            "bom-ref": f"model-{version}",
            "name": name,
            "version": version,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
    )
    return json.dumps(document, indent=2) + "\n"


def _entries(lock: str) -> list[str]:
    """Each requirement with its hashes as one line, without comments."""
    text = "\n".join(line for line in lock.splitlines() if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _plain(name: str) -> str:
    """The one spelling of a package's name (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")
