"""`make pin`: every image that is pulled, by the digest that its tag has now, in every file that names it.

A tag is a name that its owner may move; a digest is the bytes that were looked at. The registries are asked, no engine
is needed. `ARGS=--check` writes nothing and fails where a tag moved or an image has no digest yet; without a network
there is no verdict, and nothing is changed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from bentos.errors import PublishFailed
from bentos.packing.image_registry import HUB, ImageRegistry
from infra.delivery.image_scan import SCANNER, naming
from infra.errors import StackError
from infra.settings import ROOT
from service.files import replace

HUBS_NAMES: Final = {"docker.io", "index.docker.io"}
SCANNERS_FILE: Final = Path("infra", "delivery", "image_scan.py")


def repository_of(name: str) -> str:
    """Registry and path of an image's name without its tag, as engines read it: a name without a host is the Hub's."""
    first, _, rest = name.partition("/")
    if rest and first in HUBS_NAMES:
        return repository_of(rest)
    if rest and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"{HUB}/{name if rest else f'library/{name}'}"


def digest_of(tagged: str) -> str:
    """The digest that a tag has now in its registry, for all kinds of machines.

    Raises:
        StackError: the registry does not answer, asks for a login, or knows no such tag.
    """
    name, _, tag = tagged.rpartition(":")
    try:
        return ImageRegistry(repository_of(name), abroad=True).index(tag)
    except PublishFailed as error:
        raise StackError(f"no digest of {tagged}, and nothing was changed: {error}") from error


def mentions(tagged: str) -> re.Pattern[str]:
    """The pattern of a tag in a file, with a digest or without; it does not match inside a longer name."""
    return re.compile(rf"(?<![\w./])(?<![\w.]-){re.escape(tagged)}(@sha256:[0-9a-f]{{64}})?(?![\w.@-])")


def files_by_image(root: Path) -> dict[str, list[Path]]:
    """By tag the files that name it: every image that is pulled, and the scanner that looks at them."""
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for file, names in naming(root).items():
        for tagged in sorted({name.partition("@")[0] for name in names}):
            files[tagged].append(file)
    if (root / SCANNERS_FILE).is_file():
        files[SCANNER.partition("@")[0]].append(root / SCANNERS_FILE)
    return dict(sorted(files.items()))


def differences(root: Path = ROOT) -> list[str]:
    """One line for each image that is not named by the digest its tag has now.

    Raises:
        StackError: a registry told no digest, so there is no verdict.
    """
    lines = []
    for tagged, files in files_by_image(root).items():
        now = digest_of(tagged)
        have = {file: set(mentions(tagged).findall(file.read_text("utf-8"))) for file in files}
        if without := [str(file.relative_to(root)) for file, digests in have.items() if "" in digests]:
            lines.append(f"{tagged} has no digest in {', '.join(without)}: run `make pin`")
        elif old := sorted(set().union(*have.values()) - {f"@{now}"}):
            lines.append(f"{tagged} moved from {old[0][1:20]} to {now[:19]}: look at what is new, then `make pin`")
    return lines


def pin(root: Path = ROOT) -> list[str]:
    """The images that are named by another digest than before; every registry is asked before a file is written.

    Raises:
        StackError: a registry told no digest; nothing was changed.
    """
    digests = {tagged: digest_of(tagged) for tagged in files_by_image(root)}
    changed = []
    for tagged, files in files_by_image(root).items():
        for file in files:
            before = file.read_text("utf-8")
            after = mentions(tagged).sub(f"{tagged}@{digests[tagged]}", before)
            if after != before:
                replace(file, after.encode(), file.stat().st_mode & 0o777)
                changed.append(f"{tagged}@{digests[tagged]} in {file.relative_to(root)}")
    return changed


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """0 where every image is named by its digest, or was just now; 1 and a line an image, or one that says why not."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.pin", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where something would change")
    options = parser.parse_args(arguments)
    try:
        lines = differences(root) if options.check else pin(root)
    except StackError as error:
        print(f"pin: {error}", file=sys.stderr)
        return 1
    if options.check:
        print("".join(f"pin: {line}\n" for line in lines), end="", file=sys.stderr)
        return 1 if lines else 0
    print("\n".join(lines) or "every image is named by the digest that its tag has")
    return 0


if __name__ == "__main__":
    sys.exit(main())
