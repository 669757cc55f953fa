"""The ledger's database: `python -m service.ledger migrate|move`.

`migrate` gives the database of QF_DATABASE_URL the tables of this release; a release runs it before its hosts start.
`move` takes what this host keeps in files in: its journal while the service runs, and its keys. Both are safe to repeat
and print what they did; 1 and one line on standard error if they could not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing

from service.access.credentials import read_pepper
from service.access.keystore import read_keys
from service.errors import Misconfigured, ServiceError
from service.settings import ServiceSettings, settings


def _migrate(url: str) -> str:
    from service.database import migrations

    steps = migrations.migrate(url)
    return f"schema {migrations.VERSION}: {f'took steps {steps}' if steps else 'nothing to do'}"


def _move(url: str, config: ServiceSettings) -> str:
    from service.access.database_keys import DatabaseKeys
    from service.ledger.postgres.host import check
    from service.ledger.postgres.move import move

    outbox = config.service_dir / "outbox"
    if not outbox.is_dir():
        raise Misconfigured(f"{outbox}: is not there; QF_SERVICE_DIR must name the folder of the service on this host")
    check(url, read_pepper(config.pepper_file))
    with closing(DatabaseKeys(url)) as keys:
        adopted = keys.adopt(read_keys(config.keys_file).keys)
    return f"{move(outbox, url)}; {adopted} keys of partners were taken in"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="python -m service.ledger", description="The ledger's database.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="give the database the tables of this release; safe to repeat")
    commands.add_parser("move", help="take this host's journal and keys into the database; safe to repeat")
    options = parser.parse_args(arguments)
    try:
        config = settings()
        if config.database_url is None:
            raise Misconfigured("QF_DATABASE_URL: is not set")
        url = config.database_url.get_secret_value()
        print(_migrate(url) if options.command == "migrate" else _move(url, config))
    except ServiceError as error:
        print(f"ledger: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
