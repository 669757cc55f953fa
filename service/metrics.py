"""Counts of this service for Prometheus, added up over the workers of a host.

Each worker counts in plain dictionaries and leaves a snapshot in the service folder every second; whichever worker is
scraped adds its own to the others'. A worker takes up the snapshot of the place it inherits, so counters never fall
when one is restarted. Labels are closed sets: route templates, statuses, field names, bands. Distributions of
score and inputs use the bin edges of the model's manifest, the very bins that drift is judged in; they are filled in
bulk, 1.5 us a row instead of 40.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from service import files
from service.contract import Applicant
from service.engine.rules import Arrays
from service.families import FAMILIES, Family, counter, histogram
from service.score.policy import CLASSES

_REQUESTS: Final = counter("qf_requests", "Requests answered.", "route", "status")
_REQUEST_DURATION_SECONDS: Final = histogram("qf_request_duration_seconds", "Time from request to answer.", "route")
_SCORES: Final = counter("qf_scores", "Scores given.", "band")
_KNOWN_SCORES: Final = counter(
    "qf_known_scores", "Scores given of customers with an observed class, by its age in months.", "months"
)
_SCORE: Final = histogram("qf_score", "Distribution of scores, in the bins of the model's manifest.")
_INPUT: Final = histogram("qf_input", "Distribution of an input field, in the bins of the model's manifest.", "field")
_WARNINGS: Final = counter(
    "qf_warnings", "Warnings in answers: odd input, numbers outside of what the model learned from.", "code"
)
_INPUT_MISSING: Final = counter("qf_input_missing", "Scored applicants without a value of this field.", "field")
LATENCY_EDGES_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SCORE_EDGES: Final = tuple(float(edge) for edge in range(50, 1000, 50))
_MAX_WORKERS: Final = 64
_STALE_S: Final = 10.0
_BULK: Final = 500  # a millisecond's work: requests wait for it
Series = dict[str, float]


class Histogram(msgspec.Struct):
    """Counts between inner edges, their number one more than the edges', and the sum of what was observed."""

    edges: list[float]
    counts: list[int]
    total: float = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a value equal to an edge belongs below it, as Prometheus' `le` says."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value


class Snapshot(msgspec.Struct):
    """What one worker counted. Outer keys are metric names, inner keys label values joined by a tab."""

    at: float = 0.0
    counters: dict[str, Series] = {}
    gauges: dict[str, Series] = {}
    histograms: dict[str, dict[str, Histogram]] = {}


class Metrics:
    """The counts of this worker."""

    def __init__(self, folder: Path, edges: Mapping[str, Sequence[float]] | None = None) -> None:
        """`edges` are inner bin edges by field name, and of the score under `score`."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._place, self._lock = _claim(folder)
        snapshot = _read(self._path(self._place)) or Snapshot()
        self.counters: defaultdict[Family, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        for name, series in snapshot.counters.items():
            if name in FAMILIES:  # an earlier release may have counted what nobody does now
                self.counters[FAMILIES[name]].update(series)
        self.gauges: dict[Family, Series] = {}
        self._totals: defaultdict[Family, float] = defaultdict(float)
        bins = {name: list(values) for name, values in (edges or {}).items()}
        self._edges = {"score": bins.pop("score", list(SCORE_EDGES)), **bins}
        self._inputs = _values_of(tuple(bins))
        # A new model brings new bins: what its predecessor counted in others cannot go on in them.
        self._histograms = {
            name: {
                label: histogram for label, histogram in series.items() if histogram.edges == self._bins(name, label)
            }
            for name, series in snapshot.histograms.items()
        }
        self._requests = self.counters[_REQUESTS]
        self._rows: list[tuple[Any, int]] = []
        self._tables: list[NDArray[np.float64]] = []  # of batches: a column for each of `_edges`
        self._waiting = 0

    def raise_to(self, family: Family, total: float) -> None:
        """Count what a source, which counts by itself, has counted since this was asked for the last time.

        Args:
            family: a counter without labels.
            total: of the source since this process began.
        """
        self.counters[family][""] += total - self._totals[family]
        self._totals[family] = total

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests[f"{route}\t{status}"] += 1
        self._histogram(_REQUEST_DURATION_SECONDS, route, LATENCY_EDGES_S).observe(seconds)

    def count_score(self, applicant: Any, score: int, band: str) -> None:
        """Count one score given; the applicant's values go into bins and nowhere else."""
        self.counters[_SCORES][band] += 1
        self._rows.append((applicant, score))
        self._note_rows(1)

    def count_scores(self, columns: Mapping[str, Any], assessments: Arrays) -> None:
        """Count the scores of a batch; `columns` hold the applicants' values by field, NaN or None where unknown."""
        for band, count in zip(CLASSES, np.bincount(assessments.band, minlength=len(CLASSES)).tolist(), strict=True):
            if count:
                self.counters[_SCORES][band] += count
        unknown = np.full(len(assessments.score), np.nan)
        inputs = [np.asarray(columns.get(name, unknown), np.float64) for name in self._edges if name != "score"]
        self._tables.append(np.column_stack([assessments.score, *inputs]))
        self._note_rows(len(assessments.score))

    def count_known(self, ages: Iterable[float]) -> None:
        """Count scores of known customers by the age of their last observed class, in months."""
        for age in ages:
            self.counters[_KNOWN_SCORES]["1" if age <= 1 else "2-3" if age <= 3 else "4+"] += 1

    def count_warnings(self, codes: Iterable[str]) -> None:
        """Count the warnings of answers."""
        for code in codes:
            self.counters[_WARNINGS][code] += 1

    def _note_rows(self, rows: int) -> None:
        self._waiting += rows
        if self._waiting >= _BULK:
            self.fold()

    def fold(self) -> None:
        """Put the rows that were scored since the last time into their bins."""
        tables, self._tables = self._tables, []
        rows, self._rows = self._rows, []
        self._waiting = 0
        if rows:
            tables.append(np.array([(score, *self._inputs(one)) for one, score in rows], np.float64))  # None: NaN
        if not tables:
            return
        for name, values in zip(self._edges, np.concatenate(tables).T, strict=True):
            numbers = values[values == values]  # pylint: disable=comparison-with-itself  # what is no NaN
            if name == "score":
                self._bulk(_SCORE, "", numbers)
                continue
            if len(numbers) < len(values):
                self.counters[_INPUT_MISSING][name] += len(values) - len(numbers)
            self._bulk(_INPUT, name, numbers)

    def _bulk(self, name: str, label: str, values: NDArray[np.float64]) -> None:
        histogram = self._histogram(name, label, self._edges[label or "score"])
        added = np.bincount(np.searchsorted(histogram.edges, values, side="left"), minlength=len(histogram.counts))
        histogram.counts = [count + more for count, more in zip(histogram.counts, added.tolist(), strict=True)]
        histogram.total += float(values.sum())

    def _bins(self, name: str, label: str) -> list[float] | None:
        """Edges of a distribution, None if this model does not count it."""
        if name == _REQUEST_DURATION_SECONDS:
            return list(LATENCY_EDGES_S)
        return self._edges.get(label or "score")

    def _histogram(self, name: str, label: str, edges: Sequence[float]) -> Histogram:
        series = self._histograms.setdefault(name, {})
        histogram = series.get(label)
        if histogram is None:
            histogram = series[label] = Histogram(list(edges), [0] * (len(edges) + 1))
        return histogram

    def snapshot(self) -> Snapshot:
        """Everything counted until now."""
        self.fold()
        # Plain texts: what is read from a file has them, too.
        counters = {str(name): dict(series) for name, series in self.counters.items()}
        gauges = {str(name): series for name, series in self.gauges.items()}
        return Snapshot(time.time(), counters, gauges, self._histograms)

    def save(self) -> None:
        """Leave the counts where the other workers find them."""
        content = msgspec.json.encode(self.snapshot())
        files.replace(self._path(self._place), content, durable=False)  # every second; the next one is as good

    def all_workers(self) -> Snapshot:
        """The counts of every worker of this host, added up; gauges of live workers only."""
        others = (_read(path) for path in sorted(self._folder.glob("worker-*.json")) if path != self._path(self._place))
        return _added([self.snapshot(), *(other for other in others if other is not None)])

    def close(self) -> None:
        """Leave the counts and the place to a successor."""
        self.gauges = {}
        self.save()
        os.close(self._lock)

    def _path(self, place: int) -> Path:
        return self._folder / f"worker-{place}.json"


def _values_of(fields: tuple[str, ...]) -> Callable[[Any], Sequence[float | None]]:
    """Takes an applicant's values of these fields, None where there is none."""
    if len(fields) > 1 and set(fields) <= set(Applicant.model_fields):
        return attrgetter(*fields)
    return lambda applicant: [getattr(applicant, field, None) for field in fields]


def _claim(folder: Path) -> tuple[int, int]:
    """The first place nobody holds, and the descriptor whose lock holds it until this process ends."""
    for place in range(_MAX_WORKERS):
        with suppress(files.LockHeld):
            return place, files.hold(folder / f"worker-{place}.lock", wait=False)
    raise RuntimeError(f"{folder}: more than {_MAX_WORKERS} workers share one service folder")


def _read(path: Path) -> Snapshot | None:
    """A snapshot, or nothing where there is none of this form: counts are no reason not to start."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except (OSError, msgspec.MsgspecError):
        return None


def _added(snapshots: Iterable[Snapshot]) -> Snapshot:
    total = Snapshot(time.time(), {}, {}, {})
    for one in snapshots:
        for name, series in one.counters.items():
            _add(total.counters.setdefault(name, {}), series)
        if time.time() - one.at < _STALE_S:
            for name, series in one.gauges.items():
                _add(total.gauges.setdefault(name, {}), series)
        for name, histograms in one.histograms.items():
            for label, histogram in histograms.items():
                _merge(total.histograms.setdefault(name, {}), label, histogram)
    return total


def _add(into: Series, series: Mapping[str, float]) -> None:
    for label, value in series.items():
        into[label] = into.get(label, 0.0) + value


def _merge(into: dict[str, Histogram], label: str, histogram: Histogram) -> None:
    target = into.get(label)
    if target is None:
        into[label] = Histogram(list(histogram.edges), list(histogram.counts), histogram.total)
        return
    if target.edges != histogram.edges:
        return  # the bins of another model's worker, gone or about to go: the one that was asked counts in its own
    target.counts = [one + other for one, other in zip(target.counts, histogram.counts, strict=True)]
    target.total += histogram.total
