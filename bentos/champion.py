"""`python -m bentos.champion [show, rollback, restore]`: which version is champion, and back to the one before it.

A rollback moves the alias alone, under the lock and the trail of a promotion. What answers partners changes with
`make rollback` (at once) or the next `make deploy`. `restore` puts an alias back that was moved past the audit trail.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator, Sequence

from bentos.errors import BentosError
from bentos.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Registry
from bentos.settings import BentosSettings


def alias_lines(registry: Registry) -> Iterator[str]:
    """One line an alias: its version, the model's digest, who approved it and when."""
    for alias in (CHAMPION, PREVIOUS, CHALLENGER):
        version = registry.previous() if alias == PREVIOUS else registry.find(alias)
        if version is None:
            yield f"{alias:<10} none"
            continue
        reviewer, at = version.tags.get("reviewer", ""), version.tags.get("verdict_at", "")
        approved = f", approved by {reviewer} at {at}" if reviewer else ""
        yield f"{alias:<10} version {version.number}, model {version.digest[:12]}{approved}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Show, roll back or restore; 1 with one line on standard error if that is refused, or the alias was moved."""
    parser = argparse.ArgumentParser(prog="python -m bentos.champion", description="The champion and its way back.")
    parser.add_argument("command", nargs="?", default="show", choices=["show", "rollback", "restore"])
    parser.add_argument("--from", dest="expected", type=int, default=0, help="the champion you mean, if you looked")
    parser.add_argument("--actor", default="", help="who is named in the audit trail; the user if left out")
    parser.add_argument("--note", default="", help="why, for the audit trail")
    options = parser.parse_args(arguments)
    try:
        registry = Registry.connect(BentosSettings())
        actor = options.actor or getpass.getuser()
        if options.command == "rollback":
            expected = options.expected or registry.recorded_champion()
            back = registry.rollback(expected=expected, actor=actor, note=options.note)
            print(f"version {back.number} is champion again; version {expected} is not: `make deploy` follows")
            return 0
        if options.command == "restore":
            champion = registry.restore(actor=actor, note=options.note)
            print(f"champion is version {champion.number}" if champion else "there is no champion")
            return 0
        for line in alias_lines(registry):
            print(line)
        registry.champion()
    except BentosError as error:
        print(f"champion: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
