"""A request of a connection: its head, and as much of its body as came."""

from __future__ import annotations

from asyncio import Future, get_running_loop
from typing import Final, Protocol

from service.errors import ProblemError
from service.problems import Problem
from service.protocol.heads import Head
from service.web.exchange import Call, Message, nothing_more

HIGH_WATER: Final = 64 * 1024  # bytes of a body that wait for their reader before the connection is read no further


class ReadOn(Protocol):
    """Has a connection read on."""

    def __call__(self, *, expected: bool) -> None:
        """`told`: the caller waits for the word to go on."""


class Inbound:
    """A request that is being received. `refusal` is set where it was refused before anybody saw it."""

    __slots__ = (
        "call",
        "head",
        "refusal",
        "received",
        "complete",
        "answered",
        "queued",
        "_fault",
        "_parts",
        "_waiting",
        "_news",
        "_read_on",
    )

    def __init__(self, call: Call, head: Head | None, read_on: ReadOn, refusal: Problem | None = None) -> None:
        self.call = call
        self.head = head
        self.refusal = refusal
        self.received = 0  # bytes of the body
        self.complete = refusal is not None
        self.answered = self.queued = False
        self._fault: Problem | None = None
        self._parts: list[bytes] = []
        self._waiting = 0
        self._news: Future[None] | None = None
        self._read_on = read_on

    @property
    def expects(self) -> bool:
        """True if the caller waits to be told to send its body."""
        return self.head is not None and self.head.expects and not self.received and not self.complete

    @property
    def keep_alive(self) -> bool:
        """True if another request may follow it."""
        return self.head is not None and self.head.keep_alive

    def lacks_at_most(self, most: int) -> bool:
        """True if no more than so many bytes are known to be missing."""
        length = self.head.length if self.head else 0
        return length is not None and length - self.received <= most

    def add(self, part: bytes) -> bool:
        """A part of the body; True if enough of it waits to be read."""
        self.received += len(part)
        if self.answered:
            return False
        self._parts.append(part)
        self._waiting += len(part)
        self._wake()
        return self._waiting > HIGH_WATER

    def end(self) -> None:
        """The body is whole."""
        self.complete = True
        if not self.queued:
            self.call.body = self._take()
        self._wake()

    def let_go(self) -> None:
        """It was answered: nothing of its body is kept, and nothing keeps it."""
        self.answered = True
        self._parts, self._waiting = [], 0
        self.call.receive, self.call.body = nothing_more, None

    def fail(self, problem: Problem) -> None:
        """The rest of the body will never come."""
        self._fault = problem
        self._wake()

    async def receive(self) -> Message:
        """The next part of the body.

        Raises:
            ProblemError: it will never be whole.
        """
        self._read_on(expected=self.expects)
        while not (self._waiting or self.complete or self._fault):
            self._news = get_running_loop().create_future()
            await self._news
            self._news = None
        if (
            self._fault is not None and not self._waiting
        ):  # what came before it is looked at before it, as if it came apart
            raise ProblemError(self._fault)
        return {"type": "http.request", "body": self._take(), "more_body": not self.complete}

    def _take(self) -> bytes:
        parts, self._parts, self._waiting = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
