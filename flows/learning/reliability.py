"""Reliability: by class, whether what was told came true, with its uncertainty.

Rows are put into bins of about as many each by the probability that they were told; a model that keeps its word has as
many of the class in each bin as it told. Bins of equal width would leave the sure ones nearly empty. DVC's plot
(`dvc_stage`) keeps equal widths, so that two revisions are compared bin by bin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.learning.model_metrics import BootstrapDraws, LabelledAnswers, figure
from service.score import policy
from service.score.manifest_parts import Estimate, Reliability, ReliabilityBin

BINS: Final = 10
DRAWS: Final = 500


def by_class(answers: LabelledAnswers) -> Reliability:
    """Bins of each class, the least probability first; the bootstrap draws customers."""
    draws = BootstrapDraws.of(answers.customers, DRAWS)
    return {
        name: tuple(_bins(answers.probabilities[:, place], answers.labels == place, draws))
        for place, name in enumerate(policy.CLASSES)
    }


def _bins(
    probabilities: NDArray[np.float64], outcomes: NDArray[np.bool_], draws: BootstrapDraws
) -> Iterator[ReliabilityBin]:
    edges = np.unique(np.quantile(probabilities, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, probabilities, side="right")
    inside = place[:, None] == np.unique(place)
    rows, hits = (draws.totals(part.astype(np.float64)) for part in (inside, inside & outcomes[:, None]))
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = hits / rows
    for column, chosen in enumerate(inside.T):
        yield ReliabilityBin(
            rows=int(chosen.sum()),
            told=float(probabilities[chosen].mean()),
            seen=Estimate(**figure(shares[:, column]).model_dump()),
        )
