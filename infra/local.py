"""The embedded stack, `python -m infra.local up|down|status|model|bento|release|rollback|restart PART`, called by make.

Everything runs on this machine with nothing but Python: no Docker, no root. Each part is waited for until it answers;
what cannot start is one line and a non-zero exit, and what this call had started is stopped again.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infra.errors import StackError
from infra.settings import read_settings
from infra.stack.parts import bento_to_serve, served_model
from infra.stack.supervisor import Stack, say

if TYPE_CHECKING:
    from infra.stack.releasing import EmbeddedRelease


def print_status(stack: Stack) -> None:
    """The table of `make status`."""
    rows = [("part", "state", "address", "process", "since"), *stack.status()]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    say(f"state and logs: {stack.settings.state_dir}")
    if faults := stack.faults():
        raise StackError("; ".join(faults))


def release(stack: Stack, version: int, actor: str) -> None:
    """Bring an approved version in front of the embedded API's partners; the champion where none is named."""
    with _releases(stack) as releases:
        releases.release(version, actor or getpass.getuser())


def rollback(stack: Stack, actor: str, note: str) -> None:
    """Let the version before answer again: behind the proxy if it has a version, else at the embedded API."""
    from bentos import deploy
    from bentos.deploying.proxy import Switch
    from bentos.settings import DeploySettings

    if Switch(DeploySettings().shared_dir).active():
        sys.exit(deploy.main(["rollback", "--actor", actor, "--note", note]))
    with _releases(stack) as releases:
        releases.rollback(actor or getpass.getuser(), note)


@contextmanager
def _releases(stack: Stack) -> Iterator[EmbeddedRelease]:
    from bentos.errors import BentosError
    from bentos.settings import DeploySettings
    from infra.stack.releasing import EmbeddedRelease

    os.environ.update(stack.variables)
    try:
        yield EmbeddedRelease(stack, DeploySettings(), say)
    except BentosError as error:
        raise StackError(str(error)) from error


def run(arguments: argparse.Namespace) -> None:
    """Do what was asked."""
    stack = Stack(read_settings())
    if arguments.command == "up":
        stack.up()
        say(f"  {'sign in':<12} {stack.logins.sign_in_line}")
        say(f"the stack is up; `. {os.path.relpath(stack.exports)}` makes a shell its client, `make down` stops it")
    elif arguments.command == "down":
        stack.down()
    elif arguments.command == "model":
        say(str(served_model(stack.settings)))
    elif arguments.command == "bento":
        say(bento_to_serve(stack.settings))
    elif arguments.command == "release":
        release(stack, arguments.version, arguments.actor)
    elif arguments.command == "rollback":
        rollback(stack, arguments.actor, arguments.note)
    elif arguments.command == "restart":
        stack.restart(arguments.part)
    else:
        print_status(stack)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0; 1 and one line when the stack cannot be as asked; 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "status", "model", "bento"):
        commands.add_parser(name)
    releasing, back = (commands.add_parser(name) for name in ("release", "rollback"))
    releasing.add_argument("--version", type=int, default=0, help="registered version; the champion if left out")
    back.add_argument("--note", default="", help="why, for the audit trail")
    for parser_of_one in (releasing, back):
        parser_of_one.add_argument("--actor", default="", help="who is named in the audit trail; the user if left out")
    commands.add_parser("restart").add_argument("part", choices=("api", "ui"))
    try:
        run(parser.parse_args(arguments))
    except StackError as error:
        print(f"stack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stack: stopped by you, and what was started is stopped; the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
