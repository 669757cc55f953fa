"""Where a score stands among the reference customers, from the distribution that the manifest holds."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from service.contract import SCORE_MAX


def share_below(score: float, manifest: Mapping[str, Any]) -> float | None:
    """The share of reference customers with a lower score, by straight lines within the bins; None where unknown."""
    distribution = (manifest.get("distributions") or {}).get("score") or {}
    edges, shares = distribution.get("edges"), distribution.get("shares")
    if not edges or not shares or len(shares) != len(edges) + 1:
        return None
    below = 0.0
    for (low, high), share in zip(pairwise([0.0, *edges, float(SCORE_MAX)]), shares, strict=True):
        if score >= high:
            below += share
        elif score > low:
            below += share * (score - low) / (high - low)
    return min(1.0, float(below) / float(sum(shares)))
