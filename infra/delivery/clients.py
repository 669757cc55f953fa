"""The API's clients and its Postman collection as files: `make clients` writes them into build/clients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from infra.settings import ROOT
from service.docs.clients import client_files
from service.endpoints.table import description

TARGET: Final = ROOT / "build" / "clients"


def write(folder: Path) -> list[Path]:
    """Write every file into the folder, made anew from the code; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, (content, _) in client_files(description()).items():
        files.append(folder / name)
        files[-1].write_bytes(content)
    return files


def main() -> int:
    """Write them and say where."""
    for path in write(TARGET):
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
