"""Bins of what was told hold what came, and show a model that does not keep its word."""

from __future__ import annotations

import numpy as np
import pytest

from flows.learning.model_metrics import LabelledAnswers
from flows.learning.reliability import BINS, by_class
from service.contract import CreditClass
from tests.flows.learning.test_certainty import honest


def test_an_honest_model_keeps_its_word_in_each_class() -> None:
    """What was told lies within the interval of what came in nearly every bin, and every row is in one."""
    answers = honest()
    table = by_class(answers)
    assert list(table) == list(CreditClass)
    for bins in table.values():
        assert len(bins) == BINS and sum(each.rows for each in bins) == len(answers.labels)
        assert [each.told for each in bins] == sorted(each.told for each in bins)
        assert sum(each.seen.low <= each.told <= each.seen.high for each in bins) >= BINS - 2


def test_a_boastful_model_is_shown() -> None:
    """Sharper words than deeds: too little told where little, too much where much."""
    answers = honest()
    boast = answers.probabilities**3
    boast /= boast.sum(axis=1, keepdims=True)
    for bins in by_class(LabelledAnswers(answers.labels, boast, answers.customers)).values():
        assert bins[0].told < bins[0].seen.low and bins[-1].told > bins[-1].seen.high


@pytest.mark.parametrize("rows", [1, 7])
def test_few_or_equal_rows_make_fewer_bins(rows: int) -> None:
    """Where all are told the same there is one bin, whatever came."""
    said = np.full((rows, 3), 1 / 3)
    table = by_class(LabelledAnswers(np.zeros(rows, np.int64), said, np.arange(rows)))
    assert [len(bins) for bins in table.values()] == [1, 1, 1]
    assert [bins[0].seen.value for bins in table.values()] == [1.0, 0.0, 0.0]
