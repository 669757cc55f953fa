"""Locks the requirements of every image with hashes: `make lock`, or `make lock UPGRADE=--upgrade` for newer versions.

dev.txt is resolved first and holds all others together: an image never runs a version the tests did not see. A uv.lock
or pylock.toml would write download addresses into the repository, so neither is used.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

LOCKS: Final = Path("infra/locks")
COMMON: Final = (
    *("--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--quiet"),
)
TOGETHER: Final = ("-c", str(LOCKS / "dev.txt"))
TRIMMED: Final = ("--overrides", str(LOCKS / "trimmed.in"))
LEFT_OUT: Final = ("--overrides", str(LOCKS / "left_out.in"))
#: file -> what it is resolved from; the order matters, see above
IMAGES: Final[dict[str, tuple[str, ...]]] = {
    "dev.txt": ("pyproject.toml", "--extra", "dev", *LEFT_OUT),
    "uv.txt": (str(LOCKS / "uv.in"), *TOGETHER),
    "compiler.txt": (str(LOCKS / "compiler.in"),),
    "service.txt": ("pyproject.toml", "--extra", "service", *TRIMMED, *TOGETHER),
    "flows.txt": ("pyproject.toml", "--extra", "flows", *LEFT_OUT, *TOGETHER),
    "ui.txt": ("pyproject.toml", "--extra", "ui", *TOGETHER),
}


def main(arguments: list[str]) -> int:
    """Write every lock; the exit code of the first that does not resolve."""
    uv = Path(sys.executable).parent / "uv"
    for name, source in IMAGES.items():
        extra = arguments if name == "dev.txt" else []
        command = [str(uv), "pip", "compile", *COMMON, *source, "-o", str(LOCKS / name), *extra]
        process = subprocess.run(command, check=False)
        if process.returncode:
            print(f"make lock: {name} does not resolve, see above", file=sys.stderr)
            return process.returncode
        pins = sum(1 for line in (LOCKS / name).read_text().splitlines() if "==" in line and line[0].isalpha())
        print(f"{name}: {pins} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
