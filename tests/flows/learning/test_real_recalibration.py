"""Recalibration on the real data: a model of the first two quarters, made honest for the third by 500 outcomes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flows.cleaning.pipeline import clean_rows
from flows.data.raw_reading import read_raw
from flows.learning.calibration import calibrate, expected_error
from flows.learning.fit import Parameters, fit_models, uncalibrated
from flows.learning.known_features import doubled
from flows.learning.recalibration import LEAST_OUTCOMES, Calibrations, SettledRows, fit_power
from flows.learning.rows import Rows, rows_of

pytestmark = [pytest.mark.full, pytest.mark.needs_data, pytest.mark.timeout(1800)]
PARAMETERS = Parameters()


def test_five_hundred_outcomes_of_july_make_august_honest(shared_data: Path) -> None:
    """Calibration error at most 0.04 on customers of whom nothing was learned, in each of three draws of outcomes."""
    rows = rows_of(clean_rows(read_raw(shared_data / "train.csv.gz", labelled=True)).frame)
    third = np.random.default_rng(0).integers(0, 3, rows.customers.max() + 1)[rows.customers]
    first, held, both = (rows.where((rows.months <= 6) & part) for part in (third == 0, third == 1, third < 2))
    model, half = fit_models([doubled(both, 7), doubled(first, 7)], PARAMETERS)
    calibrations = Calibrations(*[calibrate(uncalibrated(half, held.features, PARAMETERS), held)] * 2)

    def settled(part: Rows) -> SettledRows:
        raw = uncalibrated(model, part.features, PARAMETERS)
        return SettledRows(raw, np.zeros(len(raw), np.bool_), part.labels, part.customers)

    july, august = (settled(rows.where((rows.months == month) & (third == 2))) for month in (7, 8))
    told = np.unique(july.customers)[::2]
    august = august.where(~np.isin(august.customers, told))
    before = expected_error(calibrations.probabilities(august.raw, august.known), august.labels)
    after = []
    for seed in range(3):  # one outcome each, of July
        some = july.where(np.isin(july.customers, np.random.default_rng(seed).permutation(told)[:LEAST_OUTCOMES]))
        recalibrated = calibrations.raised(fit_power(some, calibrations))
        after.append(expected_error(recalibrated.probabilities(august.raw, august.known), august.labels))
    print(f"ECE of August {before:.3f}, recalibrated {after}")
    assert np.mean(after) <= 0.04
    assert max(after) < before
