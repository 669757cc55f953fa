"""Answers whose files this host no longer keeps, read back as rows from the bucket they were shipped to."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from service.errors import AnswerAway, AnswerNotFound, in_one_line
from service.ledger import records
from service.ledger.bucket import BucketStore, StoreSettings
from service.ledger.records import RecordKind

_FOLLOWERS: Final = 2  # as `segments`
_AT_ONCE: Final = 2  # an object has some megabytes
_GONE: Final = ("NoSuchKey", "NoSuchBucket", "AccessDenied", "403", "404")


@dataclass(frozen=True)
class ShippedAnswer:
    """A row without the bytes of its answer."""

    row: Mapping[str, str]
    body: None = None


class ShippedAnswers:
    """Reads rows of predictions by their place; blocks for as long as the store takes: use a thread."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._store: BucketStore | None = None
        self._few = threading.Semaphore(_AT_ONCE)

    def read(self, place: str, identifier: str, partner: str) -> ShippedAnswer:
        """The row that was recorded at a place.

        Raises:
            AnswerNotFound: the bucket has none for this partner, or may not be read.
            AnswerAway: the store does not answer.
        """
        with self._few:
            try:
                row = self._find(place, identifier)
            except Exception as error:  # pylint: disable=broad-exception-caught  # boto3 and urllib3 throw dozens of kinds
                response = getattr(error, "response", None)
                if isinstance(response, dict) and response.get("Error", {}).get("Code") in _GONE:
                    raise AnswerNotFound("no such prediction") from None
                raise AnswerAway(f"the bucket does not answer ({in_one_line(error)})") from error
        if row is None or row["partner"] != partner:
            raise AnswerNotFound("no such prediction")
        return ShippedAnswer(row)

    def _find(self, place: str, identifier: str) -> dict[str, str] | None:
        if self._store is None:
            self._store = BucketStore(self._settings)
        for key in self._candidates(self._store, place):
            data = self._store.get(key)
            if identifier.encode() in data:
                for row in records.read(data):
                    if row["prediction_id"] == identifier:
                        return row
        return None

    def _candidates(self, store: BucketStore, place: str) -> Iterator[str]:
        """Keys of the objects that may hold the place: of the file that was open when it was given, and what
        followed."""
        day, run, number = place.split("-")
        with suppress(ValueError):  # no day
            first_day = datetime.strptime(day, "%Y%m%d")
            folder = RecordKind.PREDICTION.folder
            days = [f"{folder}/dt={first_day + timedelta(days=later):%Y-%m-%d}/{run}-" for later in (0, 1)]
            keys = [key for prefix in days for key in store.keys(prefix)]
            firsts = [(int(key.rpartition("-")[2].removesuffix(".csv"), 16), key) for key in keys]
            firsts.sort()
            start = sum(first <= int(number, 16) for first, _ in firsts) - 1
            yield from (key for _, key in firsts[max(0, start) : start + _FOLLOWERS + 1])
