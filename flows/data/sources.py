"""Where raw data comes from: our own sample, Kaggle, or a file; it always ends as `data/raw/train.csv`.

A source is fetched beside its target, checked, and only then put in its place: a bad source leaves what was there.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Final

from flows.cleaning.raw_table import PERSONAL_COLUMNS
from flows.data.erased_customers import ErasedCustomers
from flows.data.raw_reading import PREFERRED_MEMBER, RawTable, read_raw_table
from flows.data.sample import write_sample
from flows.errors import SourceError
from service import files
from service.lexicon.headings import CLOSE_ENOUGH
from service.lexicon.limits import ReadOptions

SAMPLE: Final = "sample"
KAGGLE: Final = "kaggle"
KAGGLE_DATASET: Final = "parisrohan/credit-score-classification"
KAGGLE_FILE: Final = "train.csv"


def fetch(
    source: str,
    target: Path,
    *,
    customers: int,
    seed: int,
    options: ReadOptions = ReadOptions(prefer=PREFERRED_MEMBER),
    erased: ErasedCustomers = ErasedCustomers(),
) -> bool:
    """Put the raw file of `source` (sample, kaggle or a path) at `target`; false if that very file lay there already.

    `customers` and `seed` are the sample's; `options` say of the file what it does not say itself; rows of `erased`
    customers are left out. Raises `SourceError` with one line; then `target` is untouched.
    """
    with replacing(target) as temporary:
        if source == SAMPLE:
            write_sample(temporary, customers=customers, seed=seed)
            path = temporary
        else:
            path = _kaggle_file() if source == KAGGLE else _local_file(source)
        raw = read_raw_table(path.read_bytes(), labelled=True, name=source, options=options)
        _store(raw.without(erased.among(raw.frame["Customer_ID"])), temporary, options)
        same = target.is_file() and sha256(temporary) == sha256(target)
        if same:
            temporary.unlink()
    return not same


def forget(target: Path, erased: ErasedCustomers) -> int:
    """Take the rows of erased customers out of the raw file that is there; how many. No other cell changes.

    Raises:
        SourceError: what lies there is not the table we know; it is untouched.
    """
    if not erased.digests or not target.is_file():
        return 0
    raw = read_raw_table(target, labelled=True)
    rows = erased.among(raw.frame["Customer_ID"])
    if rows.any():
        with replacing(target) as temporary:
            _store(raw.without(rows), temporary, ReadOptions())
    return int(rows.sum())


def sha256(path: Path) -> str:
    """The file's SHA-256 as hex."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """`service.files.replacing`, its failures told to who fetches data."""
    try:
        # pylint: disable-next=contextmanager-generator-missing-cleanup  # files.replacing ends what is begun here
        with files.replacing(target) as temporary:
            yield temporary
    except PermissionError as error:
        where = error.filename or target.parent
        raise SourceError(f"no permission for {where}: give your user the right to it and run again") from error
    except OSError as error:
        raise SourceError(
            f"cannot write {target}: {error.strerror or error}; free the disk or choose another"
        ) from error


def _store(raw: RawTable, target: Path, options: ReadOptions) -> None:
    """The table's cells as written, as CSV in UTF-8; with an option told, its plain twin, so that no stage asks again.

    Every cell that names a person is emptied before the table lies anywhere: nothing here needs one. The columns stay,
    so that the table is still the one its source describes; customers are told apart by their number.
    """
    explicit = options.decimal or options.delimiter or options.encoding
    table = raw.frame if explicit else raw.file_frame
    nameless = {name: "" for name in PERSONAL_COLUMNS if name in table.columns}
    table.assign(**nameless).to_csv(target, index=False, lineterminator="\n")


def _local_file(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        raise SourceError(f"DATA={source} is a folder: name the csv file in it, for example {path / KAGGLE_FILE}")
    if path.is_file():
        return path
    if path.parent == Path(".") and not path.suffix:
        near = difflib.get_close_matches(source, [SAMPLE, KAGGLE], n=1, cutoff=CLOSE_ENOUGH)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise SourceError(f"DATA={source} is unknown{hint}: use sample, kaggle, or a path to Kaggle's train.csv or .gz")
    raise SourceError(
        f"DATA={source}: there is no such file; use sample, kaggle, or a path to Kaggle's train.csv or .gz"
    )


def _kaggle_file() -> Path:
    """Kaggle's train.csv in kagglehub's cache, downloaded with its progress bar on standard error."""
    import kagglehub

    try:
        return Path(kagglehub.dataset_download(KAGGLE_DATASET, path=KAGGLE_FILE))
    # Without network, account or consent kagglehub lets through whatever requests, its own HTTP layer or the archive
    # raised; all of them mean the same to the caller.
    except Exception as error:  # pylint: disable=broad-exception-caught
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SourceError(
            f"Kaggle did not give {KAGGLE_DATASET}: {reason}; check the network, accept the data set's terms on "
            "kaggle.com and set KAGGLE_USERNAME and KAGGLE_KEY, or use DATA=sample or DATA=path/to/train.csv"
        ) from error
