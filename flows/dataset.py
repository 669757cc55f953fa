"""The data stages: `python -m flows.dataset fetch | prepare | evaluate | reproduce | adopt | push | pull | erase`.

`fetch`, `prepare` and `evaluate` are the commands of the DVC stages in `dvc.yaml`; `reproduce` runs the first two
through DVC for another source; `push` and `pull` move versions to and from MinIO, or DagsHub where the environment
says so; `erase` takes a customer out of all of them for good. All are run at the project's root.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from flows.data.params import read_params
from flows.errors import DatasetError
from service.lexicon.limits import ReadOptions

RAW_FILE: Final = Path("data/raw/train.csv")
PROCESSED: Final = Path("data/processed")
EVALUATION: Final = Path("data/evaluation")
PARAMS: Final = Path("data/params.yaml")
STATE: Final = Path("dvc")  # under the state folder
HINTS: Final = (
    ("--decimal", "QF_DECIMAL", [".", ",", ""]),
    ("--delimiter", "QF_DELIMITER", [",", ";", "tab", "|", ""]),
    ("--encoding", "QF_ENCODING", None),
    ("--member", "QF_MEMBER", None),
)
"""Options of reading, and the variables that stand for them."""


def _fetch(source: str | None, options: ReadOptions) -> str:
    """Fetch the source; without one the file that is there stays, and where none is the sample comes.

    Whoever was erased is left out of either.
    """
    from flows.data.erased_customers import read_erased
    from flows.data.sources import SAMPLE, fetch, forget

    erased = read_erased(_state())
    if source is None:
        if RAW_FILE.is_file():
            if rows := forget(RAW_FILE, erased):
                return f"{RAW_FILE}: {rows} rows of erased customers taken out"
            return f"{RAW_FILE} stays as it is (set QF_DATA or --data for another source)"
        source = SAMPLE
    sample = read_params(PARAMS).sample
    new = fetch(source, RAW_FILE, customers=sample.customers, seed=sample.seed, options=options, erased=erased)
    return f"{RAW_FILE} {'fetched' if new else 'is the same already'}: DATA={source}, {RAW_FILE.stat().st_size:,} bytes"


def _prepare() -> str:
    """Clean and split the raw file; the report."""
    from flows.cleaning.quality import as_markdown
    from flows.data.erased_customers import read_erased
    from flows.data.prepare import prepare

    return as_markdown(prepare(RAW_FILE, PROCESSED, read_params(PARAMS).prepare, read_erased(_state())))


def _pull() -> str:
    """Pull what `dvc.lock` names; a version from before an erasure loses whoever was erased."""
    from flows.data.dvc_versions import transfer
    from flows.data.erased_customers import read_erased
    from flows.data.erasure import erase_here

    remote = transfer(Path.cwd(), "pull")
    erasure = erase_here(Path.cwd(), RAW_FILE, PROCESSED, read_erased(_state()))
    if erasure.prepared_rows:
        _prepare()
    note = f"; {erasure.raw_rows} rows of erased customers taken out again" if erasure.raw_rows else ""
    return f"pull done, remote {remote.name}{note}"


def _erase(number: str, requested_by: str) -> str:
    """Erase a customer by number; what went, and what is to be known of the rest."""
    import pandas as pd

    from bentos.registry.audit_trail import Trail
    from flows.data.dvc_versions import LOCK, remote_of
    from flows.data.erased_customers import remember
    from flows.data.erasure import erase
    from flows.data.split import is_test_customer
    from flows.retention import RetentionPlace

    if not number or not requested_by.strip():
        raise DatasetError("give the customer's number on standard input, and who asked by --requested-by")
    params = read_params(PARAMS).prepare
    remote = remote_of(os.environ)
    erased = remember(_state(), number)  # first, so that a repetition finishes what broke off
    erasure = erase(Path.cwd(), RAW_FILE, PROCESSED, remote, erased)
    Trail(RetentionPlace().trail).append(
        "erasure_unfinished" if erasure.remains else "erasure",
        actor=requested_by,
        version="",
        digest=erased.digest(number),
        note=erasure.summary(),
    )
    if erasure.prepared_rows:
        _prepare()
    if erasure.remains:
        raise DatasetError(f"not erased everywhere: {erasure.summary()}; mend that and run the same again")
    judges = is_test_customer(pd.Series([number], dtype="str"), seed=params.seed, share=params.test_share)[0]
    packages = (
        "packages of models trained before hold the figures, without the number, in reference.parquet and perhaps in "
        "golden requests: train, approve and pack anew"
        if judges
        else "models trained before hold no row, and their packages none of this customer's"
    )
    # A container's project is read-only: the version that it trains on has no name in git.
    next_step = (
        f"Name the new version: `python -m flows.dataset reproduce --data {RAW_FILE} --push`, then adopt. "
        if os.access(LOCK, os.W_OK)
        else ""
    )
    return (
        f"{erasure.summary()}. No later fetch brings them back. {next_step}{packages[0].upper()}{packages[1:]}. "
        "The source itself (your file, Kaggle's cache) is yours to mend."
    )


def _evaluate() -> str:
    """Learn and judge; one line of figures."""
    from flows.learning.dvc_stage import evaluate
    from flows.learning.fit import Parameters
    from flows.learning.prepared_data import NotPrepared, read_prepared

    try:
        parameters = Parameters.model_validate(read_params(PARAMS).evaluate.learning)
        figures = evaluate(
            read_prepared(PROCESSED), parameters, EVALUATION, lambda share, what: print(f"{share:4.0%} {what}")
        )
    except (NotPrepared, ValidationError) as error:
        raise DatasetError(f"cannot evaluate: {' '.join(str(error).split())[:300]}") from error
    names = ("macro_f1", "accuracy", "log_loss", "ece")
    return ", ".join(f"{name} {figures[name].value:.3f}" for name in names) + f": all in {EVALUATION}"


def _options(arguments: argparse.Namespace) -> ReadOptions:
    return ReadOptions(
        decimal=arguments.decimal,
        delimiter="\t" if arguments.delimiter == "tab" else arguments.delimiter,
        encoding=arguments.encoding,
        member=arguments.member,
        prefer="train.csv",
    )


def _state() -> Path:
    return Path(os.environ.get("QF_STATE_DIR", ".local"))


def _run(arguments: argparse.Namespace) -> str:
    state = _state() / STATE
    if arguments.command == "fetch":
        return _fetch(arguments.data, _options(arguments))
    if arguments.command == "erase":
        return _erase(sys.stdin.readline().strip(), arguments.requested_by)
    alone = {"prepare": _prepare, "evaluate": _evaluate, "pull": _pull}
    if arguments.command in alone:
        return alone[arguments.command]()
    from flows.data.dvc_versions import adopt, reproduce, transfer

    if arguments.command == "push":
        return f"push done, remote {transfer(Path.cwd(), 'push').name}"
    if arguments.command == "adopt":
        return f"{adopt(Path.cwd(), state)} names the last run's data now: commit it"
    hints = {variable: getattr(arguments, option.lstrip("-")) for option, variable, _ in HINTS}
    version = reproduce(Path.cwd(), state, arguments.data or "sample", push=arguments.push, hints=hints)
    return (
        f"data ready in {PROCESSED}; its version is {version} (`python -m flows.dataset adopt` makes it the project's)"
    )


def main(argv: list[str] | None = None) -> int:
    """The command line; 0, or 1 after one line on standard error; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m flows.dataset", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in (("fetch", "put the raw file in its place"), ("reproduce", "run both stages through DVC")):
        command = commands.add_parser(name, help=purpose)
        command.add_argument(
            "--data",
            metavar="SOURCE",
            default=os.environ.get("QF_DATA") or None,
            help="sample, kaggle, or a path to Kaggle's table: CSV, .gz, zip, .xlsx, parquet, ... (default: QF_DATA)",
        )
        for option, variable, choices in HINTS:
            command.add_argument(
                option,
                choices=choices,
                default=os.environ.get(variable, ""),
                help=f"what the file itself does not tell (default: {variable})",
            )
    command.add_argument("--push", action="store_true", help="push raw file and outputs to the DVC remote")
    commands.add_parser("prepare", help="validate, clean and split the raw file")
    commands.add_parser("evaluate", help="learn, judge on unseen customers, write metrics and plots")
    commands.add_parser("push", help="push the versions dvc.lock names")
    commands.add_parser("pull", help="pull the versions dvc.lock names")
    commands.add_parser("adopt", help="make the last run's data the project's version")
    command = commands.add_parser("erase", help="erase the customer whose number is given on standard input")
    command.add_argument("--requested-by", required=True, help="who asked and where it is filed; no customer's name")
    try:
        print(_run(parser.parse_args(argv)))
    except DatasetError as error:
        print(f"flows.dataset: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("flows.dataset: stopped; nothing was left half-written, run the same command again", file=sys.stderr)
        return 130  # as shells report an interrupt
    return 0


if __name__ == "__main__":
    sys.exit(main())
