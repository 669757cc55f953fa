"""`python -m bentos.reviewers issue NAME | list | remove NAME | sign STATEMENT --as NAME`: who may approve a model.

`issue` makes a person's key: the private half goes to a file for that person alone, the public half onto the list that
packing, deploying and a start of the service believe. Where people sign in, NAME is their account there
(`ana@bank.example`), so that list, signature and trail name who the proxy knows. `sign` needs the key and the statement
that the waiting run shows (table `to-sign`), no network; the word that it prints is pasted into the form. Issuing again
replaces a lost key.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from bentos.errors import ApprovalMissing, BentosError
from bentos.registry.audit_trail import Trail
from bentos.registry.signing import ApprovalClaim, Reviewers, new_key, signed, statement_of
from bentos.settings import BentosSettings
from service import files

_WORD: Final = r"[A-Za-z0-9.-]*[A-Za-z0-9][A-Za-z0-9.-]*"  # no +: ana+2@bank.example has the mailbox of ana
_NAME: Final = re.compile(rf"{_WORD}(@{_WORD})?")


def key_file(settings: BentosSettings, name: str) -> Path:
    """The file where a key is left for its owner to take away."""
    return settings.reviewers_file.parent / "reviewers" / f"{name}.key"


def issue(settings: BentosSettings, name: str) -> Path:
    """The file with a new private key of `name`, whose public half is on the list from now on.

    Raises:
        ApprovalMissing: the name cannot be a reviewer's.
    """
    if not _NAME.fullmatch(name):
        raise ApprovalMissing(
            "a reviewer's name is made of letters, digits, dots and hyphens, or it is the account they sign in with "
            "(ana@bank.example)"
        )
    private, public = new_key()
    reviewers = Reviewers.read(settings.reviewers_file).with_key(name, public)
    path = key_file(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.replace(path, private.encode(), mode=0o600)
    files.replace(settings.reviewers_file, reviewers.model_dump_json(indent=2).encode(), mode=0o644)
    Trail(settings.trail_file).append("reviewer_key", actor=name, version="", digest=public)
    return path


def remove(settings: BentosSettings, name: str) -> None:
    """Take a reviewer off the list: what they signed is no longer believed.

    Raises:
        ApprovalMissing: nobody of that name is on it.
    """
    reviewers = Reviewers.read(settings.reviewers_file)
    if name not in reviewers.keys:
        raise ApprovalMissing(f"{name} is not on the list of reviewers")
    rest = Reviewers(keys={reviewer: key for reviewer, key in reviewers.keys.items() if reviewer != name})
    files.replace(settings.reviewers_file, rest.model_dump_json(indent=2).encode(), mode=0o644)
    Trail(settings.trail_file).append("reviewer_removed", actor=name, version="")


def sign(statement: str, name: str, key: Path, expires: date | None = None) -> str:
    """The word that approves a statement.

    Raises:
        ApprovalMissing: statement or key are none.
    """
    about = statement_of(statement).model_dump()
    claim = ApprovalClaim(**about, reviewer=name, at=datetime.now(UTC), override_expires=expires)
    try:
        return signed(claim, key.read_text(encoding="utf-8"))
    except OSError as error:
        raise ApprovalMissing(f"the key {key} cannot be read: {error.strerror}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; 1 with one line on standard error if that is refused."""
    parser = argparse.ArgumentParser(prog="python -m bentos.reviewers", description="Who may approve a model.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("issue", "remove"):
        commands.add_parser(name).add_argument("name")
    commands.add_parser("list")
    signing = commands.add_parser("sign")
    signing.add_argument("statement", help="from table to-sign of the waiting run")
    signing.add_argument("--as", dest="name", required=True, help="your name on the list")
    signing.add_argument("--key", type=Path, help="your key's file; where `issue` left it if left out")
    signing.add_argument(
        "--override-expires", type=date.fromisoformat, help="only to approve in spite of failed checks"
    )
    options = parser.parse_args(arguments)
    settings = BentosSettings()
    try:
        if options.command == "issue":
            print(f"{issue(settings, options.name)}: give it to {options.name} and keep no copy", file=sys.stderr)
        elif options.command == "remove":
            remove(settings, options.name)
        elif options.command == "sign":
            key = options.key or key_file(settings, options.name)
            print(sign(options.statement, options.name, key, options.override_expires))
        else:
            print("\n".join(f"{name} {key}" for name, key in Reviewers.read(settings.reviewers_file).keys.items()))
    except BentosError as error:
        print(f"reviewers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
