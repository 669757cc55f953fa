"""A partner that asks at a steady rate over connections it keeps, and repeats nothing: every failure counts."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections import Counter
from typing import Any, Self


class Load:
    """`rate` requests a second from `clients` threads, each with one connection, for as long as the block lasts."""

    def __init__(
        self, port: int, trust: ssl.SSLContext, key: str, body: bytes, *, rate: float, clients: int = 10
    ) -> None:
        self._port, self._trust, self._body = port, trust, body
        self._headers = {"x-api-key": key, "content-type": "application/json"}
        self._pause = clients / rate
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(place * self._pause / clients,)) for place in range(clients)
        ]
        self.statuses: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.answered: dict[str, str] = {}
        """The version that made each prediction, by its id."""
        self.times: list[float] = []

    @property
    def failed(self) -> dict[str, int]:
        """Everything that was no 200."""
        return {status: count for status, count in self.statuses.items() if status != "200"}

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _client(self, offset: float) -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._trust, timeout=20)
        due = time.monotonic() + offset
        while not self._end.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            begun = time.monotonic()
            try:
                connection.request("POST", "/v1/score", self._body, self._headers)
                answer = connection.getresponse()
                content = answer.read()
                self.statuses[str(answer.status)] += 1
                if answer.status == 200:
                    version, identifier = (_text_of(content, name) for name in (b"version", b"prediction_id"))
                    self.versions[version] += 1
                    self.answered[identifier] = version
            except (OSError, http.client.HTTPException) as error:
                self.statuses[type(error).__name__] += 1
                connection.close()
            self.times.append(time.monotonic() - begun)
        connection.close()


def _text_of(content: bytes, name: bytes) -> str:
    """The first text under a name in a JSON body, which is not parsed: a load must cost little."""
    return content.partition(b'"%s":"' % name)[2].partition(b'"')[0].decode()
