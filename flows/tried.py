"""`make tried`: the record of experiments, made anew; see `flows.learning.experiments`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flows.learning import experiments
from flows.learning.fit import Parameters
from flows.learning.prepared_data import NotPrepared, read_prepared
from flows.learning.rows import rows_of


def main(arguments: list[str] | None = None) -> int:
    """Write the record beside the evaluation; exit code 1 and one line if there is no prepared data."""
    parser = argparse.ArgumentParser(prog="python -m flows.tried", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/processed"), help="prepared data")
    parser.add_argument("--file", type=Path, default=experiments.FILE, help="where the record goes")
    options = parser.parse_args(arguments)
    try:
        data = read_prepared(options.data)
    except NotPrepared as error:
        print(f"tried: {error}", file=sys.stderr)
        return 1
    record = experiments.run(
        rows_of(data.train), data.sha256, Parameters(), lambda share, what: print(f"{share:4.0%} {what}", flush=True)
    )
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    print(f"{len(record.attempts)} variants on {record.customers} customers: {options.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
