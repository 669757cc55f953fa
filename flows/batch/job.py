"""A batch job: files in, one parquet part a chunk out, scored by the workers of a Dask scheduler.

Knows nothing of Prefect and MLflow. The parent plans and counts; workers read their own bytes, and a part is written
whole or not at all and named by its place, so a job that was killed goes on where it stopped: no row twice, none lost.
A task that ran twice, after a worker's death say, writes the same bytes again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, Future, KilledWorker, get_worker
from pydantic import BaseModel, ConfigDict, ValidationError

from flows.batch import places as batch_files
from flows.batch.column_forms import checked_rows
from flows.batch.cuts import Piece
from flows.batch.errors import BatchRefused
from flows.batch.personal_columns import without_personal
from flows.batch.piece_rows import RowsRead, rows_of
from flows.batch.places import ResultPlace, Source, system_words
from flows.batch.planning import plan
from flows.batch.refused_rows import join_notes, note, note_of
from flows.batch.rows import Checked, score_table
from service import memory
from service.engine.packed_model import PackedModel
from service.errors import ModelRefused
from service.lexicon.limits import Delimiter, ReadOptions
from service.score.manifest import Manifest

JOB_FILE: Final = "job.json"
SUMMARY_FILE: Final = "summary.json"
COUNTED: Final = {"rows", "problems", "left_out", "known_by_outcome"}
SUMMARY: Final = {*COUNTED, "parts", "refused_files", "read_as"}
TALLY_KEY: Final = b"tally"
TEXT_ANSWERS: Final = ["band", "predicted_class", "reasons", "problem", "model_digest"]
SentT = TypeVar("SentT")


class ClassJoin(Protocol):
    """Brings classes to rows whose file does not tell them."""

    def fill(self, rows: RowsRead, /) -> tuple[RowsRead, int]:
        """The rows, and to how many of them a class was brought."""


class ReadHints(BaseModel):
    """What the caller knows of the files; empty is found from their content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decimal: Literal[".", ",", ""] = ""
    delimiter: Literal[",", ";", "tab", "|", ""] = ""
    encoding: str = ""
    days: Literal["dmy", "mdy", ""] = ""
    member: str = ""

    @property
    def options(self) -> ReadOptions:
        """The same for the shared reader."""
        delimiter: Delimiter = "\t" if self.delimiter == "tab" else self.delimiter
        return ReadOptions(self.decimal, delimiter, self.encoding, self.days, self.member)


class ScoringJob(BaseModel):
    """What a result folder belongs to: parts of another job are never mixed in."""

    model_config = ConfigDict(frozen=True)

    sources: tuple[Source, ...]
    package_digest: str  # the trees are not all: a recalibrated version has the same and answers otherwise
    chunk_rows: int
    reasons: bool
    hints: ReadHints = ReadHints()
    outcomes_of: str = ""  # the partner whose outcomes make customers known; none if empty
    prediction_sets: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(source.size_bytes for source in self.sources)


class ScoringTally(BaseModel):
    """Rows and parts so far; `problems` counts the refused rows by the field at fault."""

    model_config = ConfigDict(frozen=True)

    rows: int = 0
    problems: dict[str, int] = {}
    parts: int = 0
    found_done: int = 0
    read_bytes: int = 0
    refused_files: tuple[str, ...] = ()  # names of the files of refused rows, beside the parts
    read_as: tuple[str, ...] = ()  # how each file was understood
    left_out: tuple[str, ...] = ()  # columns that name a person
    known_by_outcome: int = 0  # rows whose `previous_classes` stored outcomes told
    cpu_s: float = 0  # of the workers' threads: reading, scoring and writing

    @property
    def refused(self) -> int:
        """Rows that break the contract."""
        return sum(self.problems.values())

    def plus(self, other: ScoringTally) -> ScoringTally:
        """Both together."""
        return ScoringTally(
            rows=self.rows + other.rows,
            problems=dict(Counter(self.problems) + Counter(other.problems)),
            parts=self.parts + other.parts,
            found_done=self.found_done + other.found_done,
            read_bytes=self.read_bytes + other.read_bytes,
            left_out=tuple(sorted({*self.left_out, *other.left_out})),
            known_by_outcome=self.known_by_outcome + other.known_by_outcome,
            cpu_s=self.cpu_s + other.cpu_s,
        )


Told = Callable[[ScoringTally], None]


def job_of(
    source: str,
    package: Path,
    chunk_rows: int,
    reasons: bool,
    hints: ReadHints = ReadHints(),
    *,
    outcomes_of: str = "",
    prediction_sets: bool = False,
) -> ScoringJob:
    """The job that scoring `source` (a file, a folder, s3://bucket/prefix) with the model in `package` is.

    Raises:
        BatchRefused: nothing to score there, or the package's model cannot answer with this version of the code.
    """
    try:
        Manifest.read(package).require_fit()
    except ModelRefused as error:
        raise BatchRefused(f"the model of this package may not score: {error}") from error
    return ScoringJob(
        sources=tuple(batch_files.sources(source)),
        package_digest=Package.of(package).digest,
        chunk_rows=chunk_rows,
        reasons=reasons,
        hints=hints,
        outcomes_of=outcomes_of,
        prediction_sets=prediction_sets,
    )


def score(
    job: ScoringJob,
    package: Path,
    target: str,
    client: Client,
    progress: Told | None = None,
    join: ClassJoin | None = None,
) -> ScoringTally:
    """The tally of a finished job; `target` (a folder or s3://bucket/prefix) holds its parts.

    Args:
        job: from `job_of`.
        package: the model's package; its files are sent to the workers, which hold them against its manifest.
        target: from `places.real`; made if absent; parts of the same job found there are kept.
        client: of the workers that score.
        progress: called with the tally so far after every part, in this thread.
        join: brings classes to rows whose file does not tell them; sent to the workers.

    Raises:
        BatchRefused: another job's parts are there, a file is damaged or lacks a column, a worker dies repeatedly.
    """
    try:
        with batch_files.folder(target) as place:
            _claim(job, place)
            pieces = plan(job.sources, job.chunk_rows, job.hints.options, client)
            rules = PartRules(job.chunk_rows, job.reasons, job.prediction_sets, join)
            tally = _scored(pieces, place.names(), (Package.of(package), rules), target, client, progress)
            if batch_files.changed(job.sources):
                raise BatchRefused("a file changed while it was scored: empty the result folder and start again")
            descriptions = {piece.layout.number: piece.layout.read_as for piece in pieces}
            summary = {"refused_files": join_notes(pieces, place), "read_as": tuple(descriptions.values())}
            tally = tally.model_copy(update=summary)
            place.at(SUMMARY_FILE).write(tally.model_dump_json(include=SUMMARY).encode())
    except KilledWorker as error:
        raise BatchRefused("a worker died again and again over one chunk: make chunks smaller") from error
    except OSError as error:
        raise BatchRefused(f"{target} cannot be written: {system_words(error)}") from error
    return tally


class Package(NamedTuple):
    """A model's package as it travels to workers: Dask brings it to each of them once."""

    digest: str
    files: dict[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Package:
        """The package in a folder."""
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        return cls(hashlib.sha256(b"".join(files.values())).hexdigest(), files)


class PartRules(NamedTuple):
    """How each part of a job is scored."""

    rows: int  # a part, about
    reasons: bool
    sets: bool = False  # prediction sets beside the answers
    join: ClassJoin | None = None


Means = tuple[Package, PartRules]
_LOADED: Final[dict[str, PackedModel]] = {}
_LOADING: Final = Lock()


def _model(package: Package) -> PackedModel:
    """The package's model, loaded once a process and through all the gates that serving has."""
    with _LOADING:
        if package.digest not in _LOADED:
            # Dask tells its workers to give all memory back at once: a part's arrays would be faulted in page by page.
            memory.keep()
            _LOADED.clear()
            with tempfile.TemporaryDirectory() as folder:
                for name, content in package.files.items():
                    Path(folder, name).write_bytes(content)
                _LOADED[package.digest] = PackedModel.load(Path(folder))
        return _LOADED[package.digest]


def _same(value: SentT) -> SentT:
    return value


def _scored(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # what each task takes
    pieces: list[Piece], names: set[str], means: Means, target: str, client: Client, progress: Told | None
) -> ScoringTally:
    """Every piece scored; parts are told as they come, and counted by the pieces' own results."""
    news: SimpleQueue[Any] = SimpleQueue()
    topic = f"scoring-{uuid4()}"
    client.subscribe_topic(topic, lambda event: news.put(ScoringTally.model_validate(event[1])))
    names_by_piece = [sorted(name for name in names if name.startswith(piece.prefix)) for piece in pieces]
    # A task's result, unlike scattered data, is made again when the workers that hold it die.
    means_future = client.submit(_same, means, pure=False)
    futures = client.map(_on_worker, pieces, names_by_piece, means=means_future, target=target, topic=topic, pure=False)
    for future in futures:
        future.add_done_callback(news.put)
    so_far, total, remaining = ScoringTally(), ScoringTally(), len(futures)
    while remaining:
        one = news.get()
        if isinstance(one, Future):
            total, remaining = total.plus(one.result()), remaining - 1
            continue
        so_far = so_far.plus(one)
        if progress:
            progress(so_far)
    client.unsubscribe_topic(topic)
    if progress:
        progress(total)
    return total


def _on_worker(piece: Piece, names: list[str], means: Means, target: str, topic: str) -> ScoringTally:
    worker, (package, rules) = get_worker(), means

    def tell(one: ScoringTally) -> None:
        worker.log_event(topic, one.model_dump())

    return score_piece(_model(package), piece, names, target, rules, tell)


def score_piece(
    model: PackedModel, piece: Piece, names: list[str], target: str, rules: PartRules, progress: Told
) -> ScoringTally:
    """A piece's tally, its parts written; those in `names` are kept."""
    with batch_files.folder(target) as place:
        return _parts_of(model, piece, names, place, rules, progress)


def _parts_of(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # as `score_piece`
    model: PackedModel, piece: Piece, names: list[str], place: ResultPlace, rules: PartRules, progress: Told
) -> ScoringTally:
    total = ScoringTally()
    if piece.parts and len(names) == piece.parts:
        one = ScoringTally(read_bytes=piece.weight)
        for name in names:
            one = one.plus(tally_of(place.at(name)))
        progress(one)
        return one
    start = time.thread_time()
    for number, part in enumerate(rows_of(piece, rules.rows)):
        name = piece.part(number)
        one = tally_of(place.at(name)) if name in names else _scored_part(model, piece, part, rules, place, name)
        now = time.thread_time()
        weight = piece.weight // piece.parts if piece.parts else 0
        one = one.plus(ScoringTally(read_bytes=weight, cpu_s=now - start))
        start = now
        progress(one)
        total = total.plus(one)
    return total.plus(ScoringTally(read_bytes=piece.weight - total.read_bytes))


def _scored_part(
    model: PackedModel, piece: Piece, rows: RowsRead, rules: PartRules, place: ResultPlace, name: str
) -> ScoringTally:
    rows = without_personal(rows)
    rows, known = rules.join.fill(rows) if rules.join else (rows, 0)
    check = checked_rows(piece.layout, rows)
    _tell(rows, check, place.at(note_of(name)))
    scored = score_table(model, rows.table, check, reasons=rules.reasons, sets=rules.sets)
    return _write(scored, place.at(name), rows.left_out, known)


def _tell(rows: RowsRead, check: Checked, place: ResultPlace) -> None:
    if refused := note(rows, check):
        place.write(refused)


def _write(scored: pa.Table, part: ResultPlace, left_out: tuple[str, ...], known: int) -> ScoringTally:
    counts = scored.column("problem").value_counts().to_pylist()
    tally = ScoringTally(
        rows=len(scored),
        parts=1,
        problems={one["values"]: one["counts"] for one in counts if one["values"]},
        left_out=left_out,
        known_by_outcome=known,
    )
    sink = pa.BufferOutputStream()
    # Without Arrow's own schema readers see plain texts, not dictionaries, and parts are alike whatever came in. That
    # schema would have carried the table's metadata, so the tally is put into the footer by itself.
    plain = scored.replace_schema_metadata(None)
    with pq.ParquetWriter(
        sink, plain.schema, compression="zstd", use_dictionary=TEXT_ANSWERS, store_schema=False
    ) as writer:
        writer.write_table(plain)
        writer.add_key_value_metadata({TALLY_KEY: tally.model_dump_json(include=COUNTED)})
    part.write(sink.getvalue())
    return tally


def tally_of(part: ResultPlace) -> ScoringTally:
    """The tally of a part that is there, from its footer."""
    metadata = pq.read_metadata(part.path, filesystem=part.system).metadata or {}
    return ScoringTally.model_validate({**json.loads(metadata[TALLY_KEY]), "parts": 1, "found_done": 1})


def _claim(job: ScoringJob, target: ResultPlace) -> None:
    names = target.names()
    if JOB_FILE not in names:
        if any(name.startswith("part-") for name in names):
            raise BatchRefused("the result folder holds parts of no known job: give another folder or empty it")
        target.at(JOB_FILE).write(job.model_dump_json().encode())
        return
    try:
        same = ScoringJob.model_validate_json(target.at(JOB_FILE).read()) == job
    except ValidationError:
        same = False
    if not same:
        raise BatchRefused("the result folder holds the parts of another job: give another folder or empty it")
