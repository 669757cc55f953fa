"""Where raw data comes from: our own sample, Kaggle, or a file; it always ends as `data/raw/train.csv`.

A source is fetched beside its target, checked, and only then put in its place: a bad source leaves what was there.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Final

import pandas as pd

from flows.cleaning.raw_table import LABEL_COLUMN, PERSONAL_COLUMNS, RAW_COLUMNS
from flows.data.sample import write_sample
from flows.errors import SourceError
from service import files

SAMPLE: Final = "sample"
KAGGLE: Final = "kaggle"
KAGGLE_DATASET: Final = "parisrohan/credit-score-classification"
KAGGLE_FILE: Final = "train.csv"
MOST_CELL_BYTES: Final = 1 << 20
CLOSE_ENOUGH: Final = 0.6  # difflib's ratio from which a name counts as a misspelling


def fetch(source: str, target: Path, *, customers: int, seed: int) -> bool:
    """Put the raw file of `source` (sample, kaggle or a path) at `target`; false if that very file lay there already.

    `customers` and `seed` are the sample's. Raises `SourceError` with one line; then `target` is untouched.
    """
    with replacing(target) as temporary:
        if source == SAMPLE:
            write_sample(temporary, customers=customers, seed=seed)
        else:
            unpack(_kaggle_file() if source == KAGGLE else _local_file(source), temporary)
        check_table(temporary, source)
        forget_people(temporary)
        same = target.is_file() and sha256(temporary) == sha256(target)
        if same:
            temporary.unlink()
    return not same


def forget_people(path: Path) -> None:
    """Empty every cell that names a person, before the table lies anywhere: nothing here needs one.

    The columns stay, so that the table is still the one its source describes; customers are told apart by their number.
    """
    emptied = path.with_name(f"{path.name}.nameless")
    with path.open(encoding="utf-8-sig", newline="") as source, emptied.open("w", encoding="utf-8", newline="") as out:
        rows, writer = csv.reader(source), csv.writer(out, lineterminator="\n")
        header = next(rows)
        personal = {number for number, name in enumerate(header) if name.strip() in PERSONAL_COLUMNS}
        writer.writerow(header)
        writer.writerows(["" if number in personal else cell for number, cell in enumerate(row)] for row in rows if row)
    emptied.replace(path)


def sha256(path: Path) -> str:
    """The file's SHA-256 as hex."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """`service.files.replacing`, its failures told to who fetches data."""
    try:
        with files.replacing(target) as temporary:
            yield temporary
    except PermissionError as error:
        where = error.filename or target.parent
        raise SourceError(f"no permission for {where}: give your user the right to it and run again") from error
    except OSError as error:
        raise SourceError(
            f"cannot write {target}: {error.strerror or error}; free the disk or choose another"
        ) from error


def unpack(source: Path, target: Path) -> None:
    """Copy a plain or gzipped file; `SourceError` if the archive is damaged."""
    try:
        with source.open("rb") as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
        with gzip.open(source, "rb") if zipped else source.open("rb") as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{source} is a damaged gzip archive: fetch it again") from error


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


def check_table(path: Path, source: str) -> None:
    """Refuse what is not Kaggle's labelled table: empty, no csv, columns missing or renamed, ragged, no rows."""
    csv.field_size_limit(MOST_CELL_BYTES)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            _check_header(header, source)
            line = 1
            for line, cells in enumerate(reader, start=2):
                if len(cells) not in (0, len(header)):
                    raise SourceError(
                        f"{source} is no table: row {line} has {len(cells)} cells, not {len(header)}; fetch it again"
                    )
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{source} is no csv file in UTF-8: export Kaggle's train.csv again") from error
    if line == 1:
        raise SourceError(f"{source} holds a header and no row: fetch Kaggle's train.csv again")


def _check_header(header: list[str], source: str) -> None:
    if not any(header):
        raise SourceError(f"{source} is empty: fetch Kaggle's train.csv again")
    if len(header) == 1:
        raise SourceError(f"{source} is no csv file with commas: export Kaggle's train.csv again")
    check_columns(header, source, labelled=True)


def check_columns(header: list[str], source: str, *, labelled: bool) -> None:
    """`SourceError` naming every missing column, with the closest name that is there and unknown."""
    expected = [*RAW_COLUMNS, LABEL_COLUMN] if labelled else list(RAW_COLUMNS)
    missing = [name for name in expected if name not in header]
    if not missing:
        return
    spare = {name.lower(): name for name in header if name not in expected}
    told = []
    for name in missing:
        near = difflib.get_close_matches(name.lower(), spare, n=1, cutoff=CLOSE_ENOUGH)
        told.append(f"{name} (is it {spare[near[0]]}?)" if near else name)
    raise SourceError(
        f"{source} lacks {len(missing)} of {len(expected)} columns: {', '.join(told)}; rename or add them"
    )


def read_raw(path: Path, *, labelled: bool) -> pd.DataFrame:
    """The raw table, every cell as text exactly as written; `SourceError` if the file is not that table."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False, na_filter=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SourceError(f"there is no {path}: run `python -m flows.dataset fetch --data sample` first") from error
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SourceError(f"{path} is no csv file in UTF-8 with one width: fetch it again") from error
    table.columns = [str(name).strip() for name in table.columns]
    check_columns(list(table.columns), str(path), labelled=labelled)
    return table
