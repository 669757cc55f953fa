"""`python -m bentos.deploy`: bring the champion in front of partners beside the version that serves, or go back.

python -m bentos.deploy                  the champion, or --version N
python -m bentos.deploy rollback         the slot before, at once
python -m bentos.deploy status
python -m bentos.deploy down             stop the proxy and both slots
"""

from __future__ import annotations

import argparse
import getpass
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from pydantic import ValidationError

from bentos.deploying.slots import Release
from bentos.deploying.steps import Deployment
from bentos.errors import BentosError, DeployRefused
from bentos.packing.golden_requests import GoldenRequests, golden_applicants
from bentos.registry.products import Products
from bentos.registry.version import Version
from bentos.registry.versions import CHAMPION, Registry
from bentos.settings import DeploySettings

GOLDEN_ROWS: Final = 200


class Interrupted(BaseException):
    """Somebody asked this program to end: what it did is taken back."""


def release_of(version: Version, kind: str, products: Products) -> Release:
    """The Bento or image that packaging made of the version, to be run as `kind`.

    Raises:
        DeployRefused: it made none.
    """
    if kind == "image":
        if not products.image or not products.image_digest:
            raise DeployRefused(
                f"version {version.number} has no image: set REGISTRY and run the packaging flow, or QF_DEPLOY_AS=bento"
            )
        reference, content = f"{products.image.rpartition(':')[0]}@{products.image_digest}", products.image_digest
    else:
        reference, content = products.bento, products.bento_digest
        if not reference or not content:
            raise DeployRefused(
                f"version {version.number} is not packed, as far as is known here: run the packaging flow"
            )
    return Release.model_validate(
        {
            "version": str(version.number),
            "digest": version.digest,
            "kind": kind,
            "reference": reference,
            "content": content,
        }
    )


def approved_release(settings: DeploySettings, number: int) -> tuple[Release, tuple[GoldenRequests, ...]]:
    """The version (0: the champion) as it will run, and golden applicants out of its proved package.

    Raises:
        BentosError: there is no such version, it is not approved, damaged, or not packed.
    """
    registry = Registry.connect(settings)
    version = registry.version(number) if number else registry.by_alias(CHAMPION)
    registry.approved(version)
    release = release_of(version, settings.deploy_as, registry.products(version))
    with tempfile.TemporaryDirectory(prefix="deploy-") as scratch:
        package = registry.download(version.number, version.digest, Path(scratch) / "package")
        return release, golden_applicants(package, GOLDEN_ROWS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bentos.deploy", description="Blue/green deployment and its way back."
    )
    parser.add_argument("command", nargs="?", default="deploy", choices=["deploy", "rollback", "status", "down"])
    parser.add_argument("--version", type=int, default=0, help="registered version to deploy; the champion if left out")
    parser.add_argument("--actor", default="", help="who is named in the audit trail; the user if left out")
    parser.add_argument("--note", default="", help="why, for the audit trail of a rollback")
    return parser


def _run(options: argparse.Namespace) -> None:
    settings = DeploySettings()
    deployment = Deployment(settings, lambda line: print(line, flush=True))
    actor = options.actor or getpass.getuser()
    if options.command == "deploy":
        release, golden = approved_release(settings, options.version)
        deployment.deploy(release, golden, actor)
    elif options.command == "rollback":
        deployment.rollback(actor, options.note)
    elif options.command == "down":
        deployment.down()
    else:
        for line in deployment.status():
            print(line)


def _interrupted(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # taking back is not interrupted
    raise Interrupted(f"interrupted by {signal.Signals(number).name}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if it did what it says, 1 with one line on standard error if not."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    try:
        _run(options)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        print(f"deploy: QF_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}", file=sys.stderr)
        return 1
    except (BentosError, Interrupted) as error:
        print(f"deploy: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
