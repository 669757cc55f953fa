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

from service.access.keystore import KeyStore
from service.ledger.interface import Ledger
from service.metrics import Histogram, Metrics, Series, Snapshot
from service.score.manifest import Distribution
from service.web.exchange import Call, Reply

_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
FAMILIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "qf_requests": ("Requests answered.", ("route", "status")),
    "qf_request_duration_seconds": ("Time from request to answer.", ("route",)),
    "qf_scores": ("Scores given.", ("band",)),
    "qf_known_scores": ("Scores given of customers with an observed class, by its age in months.", ("months",)),
    "qf_score": ("Distribution of scores, in the bins of the model's manifest.", ()),
    "qf_input": ("Distribution of an input field, in the bins of the model's manifest.", ("field",)),
    "qf_score_reference_ratio": ("Share of the model's reference with at most this score.", ("le",)),
    "qf_input_reference_ratio": ("Share of the model's reference with at most this value of a field.", ("field", "le")),
    "qf_input_missing": ("Scored applicants without a value of this field.", ("field",)),
    "qf_limiter_decisions": ("Decisions of the limiter.", ("decision",)),
    "qf_limiter_remote_failures": ("Redis did not answer, limits held per host.", ()),
    "qf_outbox_rows_pending": ("Rows durable here and not shipped yet.", ()),
    "qf_outbox_bytes_pending": ("Bytes of these rows.", ()),
    "qf_outbox_oldest_age_seconds": ("Age of the oldest row that was not shipped.", ()),
    "qf_outbox_writable": ("Workers whose outbox takes records.", ()),
    "qf_outbox_failures": ("Records that could not be made durable; each was answered 503.", ()),
    "qf_outbox_orphan_rows_pending": ("Rows that dead workers left and nobody has shipped yet.", ()),
    "qf_outbox_damaged": ("Segments found damaged, or refused because the key holds other bytes.", ()),
    "qf_answers_kept_bytes": ("Bytes of shipped answers kept on this host.", ()),
    "qf_answers_dropped_files": ("Files of shipped answers that made room before their days were over.", ()),
    "qf_shipped_rows": ("Rows that reached the bucket.", ()),
    "qf_shipping_failing": ("Tries in a row that the store refused.", ()),
    "qf_key_store_fault": ("Workers that run on the last good set of keys because the file is broken.", ()),
    "qf_ready": ("Workers that are ready.", ()),
    "qf_in_flight": ("Requests being answered.", ()),
    "qf_body_bytes_held": ("Bytes of bodies that are being received or answered.", ()),
    "qf_security_lines_dropped": ("Lines of the security log that could not be written.", ()),
    "qf_log_lines_dropped": ("Request lines nobody took from standard output.", ()),
    "qf_model_info": ("The model that answers, and with which engine.", ("name", "version", "digest", "engine")),
}


@dataclass(slots=True)
class Health:
    """Why the service is not ready, if it is not."""

    ledger: Ledger
    store: KeyStore
    model_ready: bool = False
    draining: bool = False

    def faults_now(self) -> list[str]:
        """Short names of what is wrong; empty when ready. The object store, MLflow and Prefect are no part of it."""
        found = [
            ("draining", self.draining),
            ("model", not self.model_ready),
            ("outbox", bool(self.ledger.full_because)),
            ("keys", self.store.closed),
        ]
        return [name for name, wrong in found if wrong]


class Operations:
    """The routes of operations."""

    def __init__(self, health: Health, metrics: Metrics, reference: Mapping[str, Distribution]) -> None:
        """`reference` has the distributions of the model's manifest: the same for every worker, so never added up."""
        self._health = health
        self._metrics = metrics
        self._reference = reference_series(reference)

    async def livez(self, _call: Call) -> Reply:
        """The process answers."""
        return Reply(200, b'{"status":"alive"}')

    async def readyz(self, _call: Call) -> Reply:
        """Model loaded and tested, outbox writable, keys usable, not draining."""
        faults = self._health.faults_now()
        if faults:
            return Reply(503, msgspec.json.encode({"status": "not ready", "because": faults}))
        return Reply(200, b'{"status":"ready"}')

    async def metrics(self, _call: Call) -> Reply:
        """The counts of all workers of this host."""
        return Reply(200, exposition(self._metrics.all_workers(), self._reference), _TEXT)


class _Snapshots(Collector):
    """A snapshot as Prometheus' client wants it."""

    def __init__(self, snapshot: Snapshot, fixed: Mapping[str, Series]) -> None:
        self._snapshot = snapshot
        self._fixed = fixed

    def collect(self) -> list[Metric]:
        """The metric families, in the order of `FAMILIES`."""
        found: list[Metric] = []
        for name, (text, labels) in FAMILIES.items():
            if name in self._snapshot.counters:
                counter = CounterMetricFamily(name, text, labels=labels)
                for label, value in self._snapshot.counters[name].items():
                    counter.add_metric(_labels(label), value)
                found.append(counter)
            series = self._snapshot.gauges.get(name) or self._fixed.get(name)
            if series is not None:
                gauge = GaugeMetricFamily(name, text, labels=labels)
                for label, value in series.items():
                    gauge.add_metric(_labels(label), value)
                found.append(gauge)
            if name in self._snapshot.histograms:
                histogram = HistogramMetricFamily(name, text, labels=labels)
                for label, bins in self._snapshot.histograms[name].items():
                    histogram.add_metric(_labels(label), _cumulative(bins), bins.total)
                found.append(histogram)
        return found


def exposition(snapshot: Snapshot, fixed: Mapping[str, Series] | None = None) -> bytes:
    """The snapshot, and gauges that do not change, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Snapshots(snapshot, fixed or {}))
    return generate_latest(registry)


def reference_series(reference: Mapping[str, Distribution]) -> dict[str, Series]:
    """The cumulative shares of the reference at the very edges of the histograms they are laid beside."""
    found: dict[str, Series] = {"qf_score_reference_ratio": {}, "qf_input_reference_ratio": {}}
    for name, one in reference.items():
        family, label = (
            ("qf_score_reference_ratio", "") if name == "score" else ("qf_input_reference_ratio", f"{name}\t")
        )
        for edge, share in zip([*map(repr, one.edges), "+Inf"], accumulate(one.shares), strict=True):
            found[family][label + edge] = share
    return {family: series for family, series in found.items() if series}


def _labels(label: str) -> list[str]:
    return label.split("\t") if label else []


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    buckets, total = [], 0
    for edge, count in zip([*map(repr, histogram.edges), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((edge, float(total)))
    return buckets
