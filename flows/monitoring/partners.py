"""Outcomes by partner: how much one partner's weigh, and whose disagree far beyond the others'.

Outcomes are what partners say came of their customers, and red performance starts a training. So one partner counts for
at most a share of the judged rows, and one whose outcomes stand far off from what the others' say is named and waits
for a person. Partners that lie together, as most of them, pass for a change of the world: no rule of numbers tells the
two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HEARD: Final = 50  # outcomes below which a partner's own gap would say nothing


@dataclass(frozen=True)
class PartnerGap:
    """Realised minus estimated accuracy on one partner's outcomes, with its interval."""

    partner: str
    outcomes: int
    gap: float
    low: float
    high: float


def partners_of(settled: pd.DataFrame) -> NDArray[Any]:
    """The partner that sent each row's outcome (n,); one partner for all if the rows do not tell."""
    if "partner" not in settled:
        return np.full(len(settled), "", dtype=object)
    return settled["partner"].fillna("").astype(str).to_numpy(dtype=object)


def weights(partners: NDArray[Any], share: float, least: int) -> NDArray[np.float64]:
    """Weight of each row (n,), 1 on average: no partner has more than `share` of all.

    Args:
        partners: who sent each row (n,).
        share: at least one half, so that one partner alone can be above it.
        least: rows that a partner counts for in any case. Else a few rows of a second partner would take the word from
            the first, and nothing could be judged.
    """
    names, place, counts = np.unique(partners, return_inverse=True, return_counts=True)
    result = np.ones(len(partners))
    if len(names) > 1:
        largest = int(counts.argmax())
        most = max(share / (1 - share) * (len(partners) - counts[largest]) if share < 1 else np.inf, least)
        result[place == largest] = min(1.0, most / counts[largest])
    return np.asarray(result / result.mean(), dtype=np.float64)


def outliers(gaps: list[PartnerGap], distance: float) -> list[PartnerGap]:
    """The partners whose gap lies farther than `distance` from the middle of all gaps, their interval clear of it.

    The middle is the median of the partners' gaps and of none, which is what the probabilities promise: of two
    partners the one that is nearer to the promise is believed.
    """
    candidates = [one for one in gaps if one.outcomes >= HEARD]
    if len(candidates) < 2:
        return []
    middle = float(np.median([0.0, *(one.gap for one in candidates)]))
    return [one for one in candidates if abs(one.gap - middle) > distance and not one.low <= middle <= one.high]
