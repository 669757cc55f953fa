"""Scoring of whole files: chunks of a CSV or parquet file in, one parquet part a chunk out.

Pure of Prefect and MLflow. A part is written whole or not at all and named by its chunk's number, so a job that was
killed goes on where it stopped: no row twice, none lost. Rows that break the contract are not guessed at: they get no
score, and `problem` names the field. Columns that are no contract field (an id, say) are passed through.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from flows.prepared import FIELDS
from service.contract import Applicant
from service.features import matrix
from service.model import Model
from service.policy import CLASSES
from service.reasons import CATALOGUE

JOB_FILE: Final = "job.json"
PROBABILITIES: Final = ("p_poor", "p_standard", "p_good")
IN_FLIGHT: Final = 2  # chunks waiting for each process, so that memory is bounded by chunks, not by the file
Bools = NDArray[np.bool_]


class BatchRefused(RuntimeError):
    """The file cannot be scored as asked; the text says what to change."""


class Job(BaseModel):
    """What a result folder belongs to: parts of another job are never mixed in."""

    model_config = ConfigDict(frozen=True)

    source: str
    size_bytes: int
    modified_ns: int
    model_digest: str
    chunk_rows: int
    reasons: bool


class Tally(BaseModel):
    """Rows of a finished job."""

    model_config = ConfigDict(frozen=True)

    rows: int = 0
    refused: int = 0
    chunks: int = 0
    found_done: int = 0

    def plus(self, rows: int, refused: int, done: int) -> Tally:
        """One more chunk."""
        return Tally(
            rows=self.rows + rows,
            refused=self.refused + refused,
            chunks=self.chunks + 1,
            found_done=self.found_done + done,
        )


def job_of(source: Path, package: Path, chunk_rows: int, reasons: bool) -> Job:
    """The job that scoring `source` with the model in `package` is.

    Raises:
        BatchRefused: no such file, or neither CSV nor parquet.
    """
    if not source.is_file():
        raise BatchRefused(f"there is no file {source}: give the path of a CSV or parquet file")
    if not source.name.endswith((".parquet", ".csv", ".csv.gz")):
        raise BatchRefused(f"{source.name} is neither .parquet nor .csv nor .csv.gz")
    stat = source.stat()
    digest = hashlib.sha256((package / "model.cbm").read_bytes()).hexdigest()
    return Job(
        source=str(source.resolve()),
        size_bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        model_digest=digest,
        chunk_rows=chunk_rows,
        reasons=reasons,
    )


def score_file(
    job: Job, package: Path, target: Path, *, processes: int, told: Callable[[Tally], None] | None = None
) -> Tally:
    """The tally of a finished job; `target` holds its parts.

    Args:
        job: from `job_of`.
        package: the model's package.
        target: folder of the parts, made if absent; parts of the same job found there are kept.
        processes: processes that score at once.
        told: called after every chunk.

    Raises:
        BatchRefused: the folder holds another job's parts, or columns are missing.
    """
    _claim(job, target)
    tally = Tally()
    running: dict[Future[tuple[int, int]], int] = {}
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_start, initargs=(package,)
    ) as pool:
        for number, chunk in enumerate(chunks(Path(job.source), job.chunk_rows)):
            part = target / f"part-{number:06d}.parquet"
            if part.exists():
                rows, refused = _counted(part)
                tally = tally.plus(rows, refused, 1)
                continue
            while len(running) >= IN_FLIGHT * processes:
                tally = _collect(running, tally, told)
            running[pool.submit(_score_part, chunk, part, job.reasons)] = number
        while running:
            tally = _collect(running, tally, told)
    return tally


def _collect(running: dict[Future[tuple[int, int]], int], tally: Tally, told: Callable[[Tally], None] | None) -> Tally:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        del running[future]
        tally = tally.plus(*future.result(), 0)
        if told:
            told(tally)
    return tally


def chunks(source: Path, rows: int) -> Iterator[pd.DataFrame]:
    """The file's rows, `rows` at a time, always cut at the same places.

    Raises:
        BatchRefused: unreadable, empty, or contract fields are missing.
    """
    try:
        for number, chunk in enumerate(_parquet(source, rows) if source.suffix == ".parquet" else _csv(source, rows)):
            if number == 0 and (missing := [name for name in FIELDS if name not in chunk]):
                raise BatchRefused(f"{source.name} lacks {', '.join(missing)}: one column a contract field is needed")
            yield chunk
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise BatchRefused(f"{source.name} cannot be read: {type(error).__name__}") from error


def _parquet(source: Path, rows: int) -> Iterator[pd.DataFrame]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield batch.to_pandas()


def _csv(source: Path, rows: int) -> Iterator[pd.DataFrame]:
    # Texts stay texts: "NA" in a pass-through column is no missing value, an empty cell is one.
    yield from pd.read_csv(source, chunksize=rows, dtype=str, keep_default_na=False, na_values=[""])


_MODEL: list[Model] = []


def _start(package: Path) -> None:
    """Load the model once a process."""
    _MODEL[:] = [Model.load(package)]


def _score_part(chunk: pd.DataFrame, part: Path, reasons: bool) -> tuple[int, int]:
    scored = score_frame(_MODEL[0], chunk, reasons=reasons)
    draft = part.with_name(f".{part.name}.{os.getpid()}")
    scored.to_parquet(draft, index=False)
    draft.replace(part)
    return len(scored), int((scored["problem"] != "").sum())


def score_frame(model: Model, frame: pd.DataFrame, *, reasons: bool) -> pd.DataFrame:
    """The pass-through columns of `frame` with score, band, class, probabilities, borderline, reasons and problem."""
    columns, problem = checked(frame)
    answers = model.assess_arrays(matrix(columns), reasons=reasons)
    names = np.array([str(name) for name in CLASSES])
    good = problem == ""
    result = frame.drop(columns=list(FIELDS)).reset_index(drop=True)
    result["score"] = pd.array(answers.score.astype("int64"), dtype="Int64")
    result["band"] = names[answers.band]
    result["predicted_class"] = names[answers.predicted_class]
    for place, name in enumerate(PROBABILITIES):
        result[name] = answers.probabilities[:, place]
    result["borderline"] = pd.array(answers.borderline, dtype="boolean")
    codes = np.array([*(reason.code for reason in CATALOGUE), ""])
    result["reasons"] = ["|".join(code for code in row if code) for row in codes[answers.numbers]] if reasons else ""
    answered = [name for name in result.columns if name not in frame.columns]
    result.loc[~good, answered] = None
    result["problem"] = problem
    result["model_digest"] = model.ref.digest
    return result


def checked(frame: pd.DataFrame) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """Contract fields as arrays for `service.features.matrix`, and per row the first field that breaks the contract.

    A broken field is empty in the arrays, so that the row's answer can be computed and thrown away.
    """
    columns: dict[str, NDArray[Any]] = {}
    problem = np.full(len(frame), "", dtype=object)
    schema = Applicant.model_json_schema()
    for name in FIELDS:
        rule, nullable = _rule(schema["properties"][name])
        values, bad = _field(frame[name], rule, schema["$defs"], nullable)
        problem[bad & (problem == "")] = name
        columns[name] = values
    told = np.array([len([kind for kind in kinds.split("|") if kind]) for kinds in columns["loan_types"]])
    uneven = (told > 0) & (told != np.nan_to_num(columns["num_loans"], nan=-1))
    problem[uneven & (problem == "")] = "loan_types"
    return columns, problem


def _rule(field: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    choices = field.get("anyOf", [field])
    return next(choice for choice in choices if choice.get("type") != "null"), {"type": "null"} in choices


def _field(cells: pd.Series, rule: dict[str, Any], known: dict[str, Any], nullable: bool) -> tuple[NDArray[Any], Bools]:
    absent = cells.isna().to_numpy()
    if rule.get("type") == "array":
        return _loan_types(cells.fillna("").astype(str), known["LoanType"]["enum"])
    if "$ref" in rule:
        levels = known[rule["$ref"].rpartition("/")[2]]["enum"]
        bad = ~cells.isin(levels).to_numpy() & ~absent
        values = cells.astype(object).where(~(absent | bad), None).to_numpy()
    else:
        values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        with np.errstate(invalid="ignore"):
            bad = ~absent & ~((values >= rule["minimum"]) & (values <= rule["maximum"]))
            if rule["type"] == "integer":
                bad |= ~absent & (values != np.floor(values))
        values[bad] = np.nan
    return values, bad if nullable else bad | absent


def _loan_types(cells: pd.Series, levels: list[str]) -> tuple[NDArray[Any], Bools]:
    allowed = set(levels)
    bad = np.array([not allowed.issuperset(kind for kind in text.split("|") if kind) for text in cells], dtype=bool)
    return cells.where(~bad, "").to_numpy(dtype=object), bad


def _claim(job: Job, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    file = target / JOB_FILE
    if file.exists():
        if json.loads(file.read_text(encoding="utf-8")) != job.model_dump():
            raise BatchRefused(f"{target} holds the parts of another job: give another folder or empty it")
        return
    file.write_text(job.model_dump_json(), encoding="utf-8")


def _counted(part: Path) -> tuple[int, int]:
    problem = pd.read_parquet(part, columns=["problem"])["problem"]
    return len(problem), int((problem != "").sum())
