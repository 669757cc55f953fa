"""The record of experiments: made of data, seed and protocol alone, and silent on other data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from flows.learning import experiments
from flows.learning.experiments import ExperimentRecord, Variant
from flows.learning.fit import fit_curves_apart
from tests.flows.small_training import QUICK, rows

FEW = {
    experiments.KEPT: Variant(),
    "shallower": Variant({"depth": 2}),
    "apart": Variant(fit=partial(fit_curves_apart, declared_directions=False)),
}


def test_the_same_data_and_seed_give_the_same_record(tmp_path: Path) -> None:
    """Twice the same bytes; read back whole, unless the protocol is another or the file is none."""
    taught = rows(80)
    one, two = (experiments.run(taught, "a" * 64, QUICK, variants=FEW) for _ in range(2))
    assert one == two and [attempt.what for attempt in one.attempts] == list(FEW)
    path = tmp_path / "tried.json"
    assert ExperimentRecord.read(path) is None
    path.write_text(one.model_dump_json())
    assert ExperimentRecord.read(path) == one
    path.write_text(one.model_copy(update={"protocol": 0}).model_dump_json())
    assert ExperimentRecord.read(path) is None


def test_each_variant_stands_beside_the_kept_one() -> None:
    """Paired differences for all but the kept one, figures of unknown and of known customers for each."""
    record = experiments.run(rows(80), "a" * 64, QUICK, variants=FEW)
    kept, other, apart = record.attempts
    assert (kept.against_kept, kept.changes, other.changes) == ({}, {}, {"depth": 2})
    for name in experiments.METRICS:
        gap = other.unknown[name].value - kept.unknown[name].value
        assert abs(other.against_kept[name].value - gap) < 1e-9
    assert apart.changes == {} and apart.unknown != kept.unknown
    assert record.customers == 80 and set(kept.known) == set(experiments.METRICS)
