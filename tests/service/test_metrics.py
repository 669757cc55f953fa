"""Counts over the workers of a host: added up, inherited, and never mixed between models."""

from __future__ import annotations

from pathlib import Path

from service.metrics import Metrics
from tests.factories import applicant, applicant_columns


def scored(metrics: Metrics, times: int) -> None:
    """Count scores of one applicant."""
    columns, _ = applicant_columns(1)
    for _ in range(times):
        metrics.count_score(applicant(columns, 0), 640, "Standard")


def test_workers_are_added_up_and_a_successor_goes_on(tmp_path: Path) -> None:
    """Whoever is asked adds the others; a restarted worker takes its place and its counts."""
    one, other = Metrics(tmp_path), Metrics(tmp_path)
    scored(one, 3)
    scored(other, 4)
    other.request("/v1/score", 200, 0.01)
    other.close()

    assert one.all_workers().counters["qf_scores"] == {"Standard": 7}
    successor = Metrics(tmp_path)
    successor.request("/v1/score", 200, 0.01)
    assert successor.snapshot().counters["qf_requests"] == {"/v1/score\t200": 2}
    assert successor.snapshot().counters["qf_scores"] == {"Standard": 4}


def test_another_models_bins_never_hide_this_ones(tmp_path: Path) -> None:
    """After a switch from blue to green, blue's last counts lie in other bins: green is told in its own."""
    blue = Metrics(tmp_path, {"score": [250.0, 500.0], "annual_income": [1e4]})
    scored(blue, 5)
    blue.close()
    keep = Metrics(tmp_path)  # takes blue's place, so that green gets one of its own
    green = Metrics(tmp_path, {"score": [300.0, 700.0], "annual_income": [2e4, 5e4]})
    scored(green, 2)

    found = green.all_workers().histograms

    assert found["qf_score"][""].edges == [300.0, 700.0]
    assert sum(found["qf_score"][""].counts) == 2
    assert found["qf_input"]["annual_income"].edges == [2e4, 5e4]
    keep.close()


def test_a_successor_with_another_model_counts_in_its_own_bins(tmp_path: Path) -> None:
    """As many bins elsewhere are other bins: the place is taken over, its distributions are not."""
    before = Metrics(tmp_path, {"score": [250.0, 500.0]})
    scored(before, 5)
    before.request("/v1/score", 200, 0.01)
    before.close()

    after = Metrics(tmp_path, {"score": [300.0, 700.0]})
    scored(after, 1)

    assert after.snapshot().histograms["qf_score"][""].edges == [300.0, 700.0]
    assert after.snapshot().histograms["qf_score"][""].counts == [0, 1, 0]
    assert sum(after.snapshot().histograms["qf_request_duration_seconds"]["/v1/score"].counts) == 1


def test_gauges_of_workers_that_are_gone_are_left_out(tmp_path: Path) -> None:
    """A worker that ended has nothing in flight and is not ready."""
    gone, here = Metrics(tmp_path), Metrics(tmp_path)
    for metrics in (gone, here):
        metrics.gauges["qf_ready"] = {"": 1.0}
    gone.save()
    assert here.all_workers().gauges["qf_ready"] == {"": 2.0}
    gone.close()
    assert here.all_workers().gauges["qf_ready"] == {"": 1.0}
