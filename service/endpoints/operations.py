"""Liveness, readiness and metrics: for whoever runs the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service.access.keystore import KeyStore, Scope
from service.docs.examples import METRICS
from service.families import FAMILIES, gauge
from service.ledger.interface import Ledger
from service.metrics import Histogram, Metrics, Series, Snapshot
from service.score.manifest_parts import Distribution
from service.web.exchange import Call, Reply
from service.web.routes import Json, ResponseBody, Route, answers

_SCORE_REFERENCE_RATIO: Final = gauge(
    "qf_score_reference_ratio", "Share of the model's reference with at most this score.", "at_most"
)
_INPUT_REFERENCE_RATIO: Final = gauge(
    "qf_input_reference_ratio", "Share of the model's reference with at most this value of a field.", "field", "at_most"
)
_STATE: Final[Json] = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
ALIVE: Final = Route(
    "GET",
    "/livez",
    None,
    name="livez",
    summary="The process answers",
    tag="service",
    answer=ResponseBody("Alive.", _STATE, {"status": "alive"}),
    open=True,
)
READY: Final = Route(
    "GET",
    "/readyz",
    None,
    name="readyz",
    summary="Ready to score",
    tag="service",
    answer=ResponseBody("Ready.", _STATE, {"status": "ready"}),
    also=(ResponseBody("Not ready.", _STATE, {"status": "not ready", "because": ["draining"]}, status=503),),
    open=True,
)
COUNTS: Final = Route(
    "GET",
    "/metrics",
    Scope.METRICS,
    name="metrics",
    summary="Counts for Prometheus",
    tag="service",
    answer=ResponseBody("Prometheus text format.", {"type": "string"}, METRICS, media_type="text/plain"),
    more_turns=9,
)
_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Health:
    """Why the service is not ready, if it is not."""

    ledger: Ledger
    store: KeyStore
    model_ready: bool = False
    draining: bool = False

    def faults_now(self) -> list[str]:
        """Short names of what is wrong; empty when ready. The object store, MLflow and Prefect are no part of it."""
        checks = [
            ("draining", self.draining),
            ("model", not self.model_ready),
            ("outbox", bool(self.ledger.full_because)),
            ("keys", self.store.closed),
        ]
        return [name for name, wrong in checks if wrong]


class Operations:
    """The routes of operations."""

    def __init__(self, health: Health, metrics: Metrics, reference: Mapping[str, Distribution]) -> None:
        """`reference` has the distributions of the model's manifest: the same for every worker, so never added up."""
        self._health = health
        self._metrics = metrics
        self._reference = reference_series(reference)

    @answers(ALIVE)
    async def livez(self, _call: Call) -> Reply:
        """The process answers."""
        return Reply(200, b'{"status":"alive"}')

    @answers(READY)
    async def readyz(self, _call: Call) -> Reply:
        """Model loaded and tested, outbox writable, keys usable, not draining."""
        faults = self._health.faults_now()
        if faults:
            return Reply(503, msgspec.json.encode({"status": "not ready", "because": faults}))
        return Reply(200, b'{"status":"ready"}')

    @answers(COUNTS)
    async def metrics(self, _call: Call) -> Reply:
        """The counts of all workers of this host."""
        return Reply(200, exposition(self._metrics.all_workers(), self._reference), _TEXT)


class _Snapshots(Collector):
    """A snapshot as Prometheus' client wants it."""

    def __init__(self, snapshot: Snapshot, constants: Mapping[str, Series]) -> None:
        self._snapshot = snapshot
        self._fixed = constants

    def collect(self) -> list[Metric]:
        """The metric families, in the order of `FAMILIES`."""
        families: list[Metric] = []
        for name, family in FAMILIES.items():
            text, labels = family.text, family.labels
            if name in self._snapshot.counters:
                counter = CounterMetricFamily(name, text, labels=labels)
                for label, value in self._snapshot.counters[name].items():
                    counter.add_metric(_labels(label), value)
                families.append(counter)
            series = self._snapshot.gauges.get(name) or self._fixed.get(name)
            if series is not None:
                gauge = GaugeMetricFamily(name, text, labels=labels)
                for label, value in series.items():
                    gauge.add_metric(_labels(label), value)
                families.append(gauge)
            if name in self._snapshot.histograms:
                histogram = HistogramMetricFamily(name, text, labels=labels)
                for label, bins in self._snapshot.histograms[name].items():
                    histogram.add_metric(_labels(label), _cumulative(bins), bins.total)
                families.append(histogram)
        return families


def exposition(snapshot: Snapshot, constants: Mapping[str, Series] | None = None) -> bytes:
    """The snapshot, and gauges that do not change, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Snapshots(snapshot, constants or {}))
    return generate_latest(registry)


def reference_series(reference: Mapping[str, Distribution]) -> dict[str, Series]:
    """The cumulative shares of the reference at the very edges of the histograms they are laid beside."""
    shares_by_edge: dict[str, Series] = {_SCORE_REFERENCE_RATIO: {}, _INPUT_REFERENCE_RATIO: {}}
    for name, one in reference.items():
        family, label = (_SCORE_REFERENCE_RATIO, "") if name == "score" else (_INPUT_REFERENCE_RATIO, f"{name}\t")
        for edge, share in zip([*map(repr, one.edges), "+Inf"], accumulate(one.shares), strict=True):
            shares_by_edge[family][label + edge] = share
    return {family: series for family, series in shares_by_edge.items() if series}


def _labels(label: str) -> list[str]:
    return label.split("\t") if label else []


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    buckets, total = [], 0
    for edge, count in zip([*map(repr, histogram.edges), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((edge, float(total)))
    return buckets
