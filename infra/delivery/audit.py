"""`make audit`: known vulnerabilities of every locked package, asked of OSV by pip-audit, less the dated waivers.

`infra/locks/waivers.txt` holds one a line: identifier, last day, why it does not concern us. A waiver that has run out
fails the audit, so that nobody forgets it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from infra.errors import StackError
from infra.settings import ROOT
from infra.stack.object_store import program

LOCKS: Final = ROOT / "infra" / "locks"
EVERYTHING: Final = LOCKS / "dev.txt"  # constrains every other lock, so it holds every package of every image
UNREACHABLE: Final = "Could not connect"
WAIVERS: Final = LOCKS / "waivers.txt"


@dataclass(frozen=True)
class Waiver:
    """A vulnerability that is known and does not concern us, until the day it is looked at again."""

    identifier: str
    until: date
    reason: str


def read_waivers(path: Path, today: date) -> list[Waiver]:
    """The waivers that hold today.

    Raises:
        StackError: a line is not one, gives no reason, or has run out.
    """
    waivers = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            identifier, until, reason = line.split(maxsplit=2)
            waiver = Waiver(identifier, date.fromisoformat(until), reason)
        except ValueError as error:
            raise StackError(f"{path.name}:{number}: a waiver is `ID YYYY-MM-DD reason`") from error
        if waiver.until < today:
            raise StackError(f"{path.name}:{number}: the waiver of {identifier} ran out on {until}: look at it again")
        waivers.append(waiver)
    return waivers


def command(requirements: Path, waivers: list[Waiver], further: list[str]) -> list[str]:
    """What is run: nothing is installed or resolved, the lock says it all."""
    words = [program("pip-audit"), "--disable-pip", "--require-hashes", "--progress-spinner", "off", "-s", "osv"]
    for waiver in waivers:
        words += ["--ignore-vuln", waiver.identifier]
    return [*words, "-r", str(requirements), *further]


def run_audit(words: list[str]) -> int:
    """pip-audit's exit code, what it said passed on.

    Raises:
        StackError: it had no answer of its database; that is no verdict on any package.
    """
    process = subprocess.run(words, capture_output=True, text=True, check=False)
    if "Traceback (most recent call last)" in process.stderr or UNREACHABLE in process.stderr:
        reason = process.stderr.strip().splitlines()[-1][:200]
        raise StackError(f"the database of vulnerabilities does not answer, so nothing was audited: {reason}")
    sys.stdout.write(process.stdout)
    sys.stderr.write(process.stderr)
    return process.returncode


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if nothing is known against any package, else pip-audit's, or 1 and one line."""
    parser = argparse.ArgumentParser(prog="python -m infra.delivery.audit", description=__doc__)
    parser.add_argument("--requirements", type=Path, default=EVERYTHING, help="the lock to audit")
    parser.add_argument("--waivers", type=Path, default=WAIVERS)
    options, further = parser.parse_known_args(arguments)
    try:
        waivers = read_waivers(options.waivers, datetime.now(UTC).date())
        return run_audit(command(options.requirements, waivers, further))
    except StackError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
