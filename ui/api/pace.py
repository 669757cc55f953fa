"""A few rows scored while the visitor waits: in parts the key's limits allow, with short waits between them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from service.contract import Applicant, Score
from ui.api.client import ApiReply, Client
from ui.api.errors import LimitReached
from ui.api.limits import Limit, largest_batch, wait_for

_MOST_ROWS: Final = 100
_PATIENCE_S: Final = 15.0


def score_some(
    client: Client,
    rows: Sequence[Applicant],
    limits: tuple[Limit, ...],
    wait: Callable[[float], None] = time.sleep,
) -> ApiReply[list[Score]]:
    """The rows' scores, in order, with the last part's exchange; `LimitReached` where the wait would be long."""
    scores: list[Score] = []
    waited_s = 0.0
    while True:
        part = rows[len(scores) : len(scores) + largest_batch(limits, _MOST_ROWS)]
        pause_s = wait_for(len(part), limits)
        if pause_s:
            waited_s = _patient(waited_s + pause_s, pause_s)
            wait(pause_s)
        try:
            reply = client.score_batch(part)
        except LimitReached as error:
            if not error.limits or waited_s >= _PATIENCE_S:
                raise
            limits, pause_s = error.limits, max(error.retry_after_s, 0.1)
            if len(part) <= largest_batch(limits, _MOST_ROWS):
                if waited_s + pause_s > _PATIENCE_S:
                    raise
                wait(pause_s)
            waited_s += pause_s
            continue
        scores += reply.value
        limits = reply.limits
        if len(scores) == len(rows):
            return ApiReply(scores, reply.exchange, limits)


def _patient(total_s: float, pause_s: float) -> float:
    if total_s > _PATIENCE_S:
        raise LimitReached(status=429, retry_after_s=pause_s)
    return total_s
