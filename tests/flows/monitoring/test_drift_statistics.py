"""The drift statistics against hand calculations and their own false-alarm rates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flows.monitoring import drift_statistics

COUNTS = arrays(float, 5, elements=st.integers(0, 1_000).map(float)).filter(lambda counts: counts.sum() > 0)


def test_psi_equals_the_sum_written_out():
    """Two cells of 30/70 and 50/50 give the textbook sum to the last digits."""
    expected = (0.5 - 0.3) * math.log(0.5 / 0.3) + (0.5 - 0.7) * math.log(0.5 / 0.7)
    assert drift_statistics.psi(np.array([30.0, 70.0]), np.array([50.0, 50.0])) == pytest.approx(expected, abs=1e-12)


def test_psi_decile_equals_a_hand_count():
    """A reference of 1 to 100 and a current shifted by ten count 20, 10, ... and 0 in its decile bins."""
    reference = np.arange(1.0, 101.0)
    edges = np.quantile(reference, np.arange(1, 10) / 10)
    before = [np.sum(reference <= edges[0])]
    before += [np.sum((reference > low) & (reference <= high)) for low, high in zip(edges, edges[1:])]
    before += [np.sum(reference > edges[-1])]
    current = reference + 10
    after = [np.sum(current <= edges[0])]
    after += [np.sum((current > low) & (current <= high)) for low, high in zip(edges, edges[1:])]
    after += [np.sum(current > edges[-1])]
    lifted = [max(count, 0.5) for count in after]
    expected = sum(
        (c / sum(lifted) - r / sum(before)) * math.log((c / sum(lifted)) / (r / sum(before)))
        for r, c in zip(before, lifted)
    )
    assert drift_statistics.psi_decile(reference, current) == pytest.approx(expected, abs=1e-12)


def test_kullback_leibler_and_jensen_shannon_equal_their_formulas():
    """Cells of 40/60 against 70/30, in nats."""
    r, c = np.array([40.0, 60.0]), np.array([70.0, 30.0])
    kl = 0.7 * math.log(0.7 / 0.4) + 0.3 * math.log(0.3 / 0.6)
    middle = (0.55, 0.45)
    js = math.sqrt(
        (0.4 * math.log(0.4 / middle[0]) + 0.6 * math.log(0.6 / middle[1])) / 2
        + (0.7 * math.log(0.7 / middle[0]) + 0.3 * math.log(0.3 / middle[1])) / 2
    )
    assert drift_statistics.kullback_leibler(r, c) == pytest.approx(kl, abs=1e-12)
    assert drift_statistics.jensen_shannon(r, c) == pytest.approx(js, abs=1e-12)


def test_homogeneity_equals_the_chi_square_written_out():
    """A 2 x 2 table of 30/70 and 50/50: chi-square 8.33, Cramer's V its root over 200 rows."""
    test = drift_statistics.homogeneity(np.array([30.0, 70.0]), np.array([50.0, 50.0]))
    chi_square = 2 * (10**2 / 40) + 2 * (10**2 / 60)
    assert test.statistic == pytest.approx(math.sqrt(chi_square / 200), abs=1e-12)
    assert test.p_value == pytest.approx(math.erfc(math.sqrt(chi_square / 2)), abs=1e-12)


def test_wasserstein_ignores_what_outliers_do():
    """An outlier a thousand times the range changes the clipped distance by nothing."""
    reference = np.linspace(0, 1, 1_000)
    wild = np.append(reference[:-1], 1e9)
    assert drift_statistics.wasserstein_clipped(reference, wild) < 1e-3


def test_benjamini_hochberg_equals_the_step_up_rule():
    """Four p-values adjusted by hand: p * n / rank, made monotone from the largest down."""
    assert drift_statistics.benjamini_hochberg([0.01, 0.04, 0.03, 0.5]) == pytest.approx(
        [0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5], abs=1e-12
    )
    assert drift_statistics.benjamini_hochberg([]) == []


@given(COUNTS, COUNTS)
def test_distances_are_zero_for_equal_samples_and_never_negative(reference, current):
    """Every distance is 0 between a sample and itself, and PSI is symmetric in sign."""
    assert drift_statistics.psi(reference, reference) == pytest.approx(0, abs=1e-12)
    assert drift_statistics.jensen_shannon(reference, reference) == pytest.approx(0, abs=1e-7)
    assert drift_statistics.psi(reference, current) >= 0
    assert drift_statistics.kullback_leibler(reference, current) >= -1e-12
    assert 0 <= drift_statistics.jensen_shannon(reference, current) <= math.sqrt(math.log(2)) + 1e-12


def test_homogeneity_raises_false_alarms_as_often_as_it_says():
    """At 5 % and no drift, 2,000 draws of eight categories alarm in 3 to 7 % of cases."""
    rng = np.random.default_rng(1)
    shares = np.array([0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.04])
    alarms = [
        drift_statistics.homogeneity(rng.multinomial(5_000, shares) * 1.0, rng.multinomial(5_000, shares) * 1.0).p_value
        < 0.05
        for _ in range(2_000)
    ]
    assert 0.03 <= np.mean(alarms) <= 0.07


def test_category_counts_align_what_only_one_side_has():
    """Categories of either side get a cell on both."""
    levels, before, after = drift_statistics.category_counts(["a", "b", "b"], ["c", "b"])
    assert (levels, before.tolist(), after.tolist()) == (["a", "b", "c"], [1, 2, 0], [0, 1, 1])
