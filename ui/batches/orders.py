"""A large batch as orders of `POST /v1/jobs`: the API scores them in its own time, this thread only asks how far it is.

Each order's id is on disk as soon as the API has told it, so a page reloaded or a server restarted follows the same
order on and needs the file no more. Results are fetched by the thousand and kept as those of a small batch are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from service.contract import MAX_BATCH_ROWS, MAX_JOB_ROWS, Applicant, JobState
from ui.api.client import body_of
from ui.api.errors import KeyRejected, LimitReached, NoConnection, OrderCancelled, Unavailable
from ui.api.limits import Limit
from ui.batches.jobs import BackgroundJob, JobStore, Order, UploadJob

_ORDER_BYTES: Final = 7 << 20  # the API takes 8 MiB
_LOOK_S: Final = 1.0  # between two questions; one that brings results costs a token
_ATTEMPTS: Final = 8


class OrderedJob(BackgroundJob):
    """One batch of more rows than a request takes. Without `applicants` it only follows what was ordered before."""

    def _row_count(self) -> int:
        return len(self._store.numbers())

    def _run(self) -> None:
        orders = self._store.orders()
        if self._applicants:
            for start, stop in cut(self._applicants)[len(orders) :]:
                state = self._persistent(partial(self._order, start, stop))
                orders.append(Order(start, stop - start, state.id))
                self._store.keep_orders(orders)
        for order in orders:
            self._follow(order)

    def _follow(self, order: Order) -> None:
        """Asks until every result of an order is here."""
        while (fetched := self._fetched(order)) < order.rows:
            state = self._persistent(partial(self._look, order, fetched))
            count = len(state.results or ())
            if count:
                self._keep(order.start + fetched, state)
            elif state.status == "failed":
                raise KeyRejected  # the one reason for which an order fails: its key is valid no more
            elif state.status == "cancelled":
                raise OrderCancelled
            if count < MAX_BATCH_ROWS and fetched + count < order.rows:
                self._wait(_LOOK_S)

    def _order(self, start: int, stop: int) -> JobState:
        return self._client.order(self._applicants[start:stop]).value

    def _look(self, order: Order, offset: int) -> JobState:
        return self._client.job(order.id, offset, sets=self._sets).value

    def _fetched(self, order: Order) -> int:
        places = range(order.start, order.start + order.rows)
        return next((place for place in places if place not in self._done), order.start + order.rows) - order.start

    def _keep(self, start: int, state: JobState) -> None:
        results = state.results or []
        rows = {"scores": [one.model_dump(mode="json") for one in results]}
        self._store.keep(start, json.dumps(rows, separators=(",", ":")).encode())
        with self._lock:
            self._done.update(range(start, start + len(results)))

    def _persistent(self, ask: Callable[[], JobState]) -> JobState:
        """An answer, asked for again while the trouble passes by itself: a limit always does."""
        failed = 0
        while True:
            try:
                return ask()
            except LimitReached as error:
                self._limits = error.limits
                self._pause(max(error.retry_after_s, _LOOK_S))
            except (Unavailable, NoConnection) as error:
                failed += 1
                if failed == _ATTEMPTS:
                    raise
                self._pause(max(error.retry_after_s, 2.0**failed / 4))


def by_limits(rows: int, store: JobStore, limits: Sequence[Limit]) -> type[BackgroundJob]:
    """How a batch goes to the API: in parts what the limits let through at once, which is there within seconds; as
    orders, which outlive this server, what would have to wait. What was begun is gone on with as it was begun."""
    if store.orders():
        return OrderedJob
    at_once = rows <= MAX_JOB_ROWS and bool(limits) and all(limit.remaining >= rows for limit in limits)
    return UploadJob if rows <= MAX_BATCH_ROWS or at_once or store.places() else OrderedJob


def cut(applicants: Sequence[Applicant]) -> list[tuple[int, int]]:
    """The rows of each order, as (start, stop): no more rows and bytes than the API takes of one."""
    ranges, start, size = [], 0, 0
    for place, applicant in enumerate(applicants):
        own = len(body_of([applicant]))
        if place > start and (place - start == MAX_JOB_ROWS or size + own > _ORDER_BYTES):
            ranges.append((start, place))
            start, size = place, 0
        size += own
    return [*ranges, (start, len(applicants))]
