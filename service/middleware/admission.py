"""Admits a request before a byte of its body is read: it needs a place, room for its bytes, and tokens.

Memory and CPU are never spent on what was not admitted. What a body may cost grows with its bytes, so its tokens do,
as soon as its length is known: one, and one more for each 16 KiB. Who is answered pays the route's price.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from service.errors import ProblemError
from service.middleware.rate_limit import Throttle
from service.problems import OVERLOADED, QUOTA
from service.web.bodies import Bodies
from service.web.exchange import Call
from service.web.routes import Route

BYTES_PER_TOKEN: Final = 16 * 1024
Parsed = TypeVar("Parsed")


@dataclass(slots=True)
class BodyRoom:
    """The bytes of bodies that a worker holds at once, in total and of one partner: all keys of an account share it."""

    most: int
    most_per_key: int
    in_use: int = 0
    _of_account: Counter[str] = field(default_factory=Counter)

    def hold(self, call: Call, size: int) -> None:
        """Keep room for a body until its request is answered.

        Raises:
            ProblemError: 503 when the worker has none left, 429 when this partner has its share.
        """
        name = call.owner.account
        if self._of_account[name] + size > self.most_per_key:
            detail = f"At most {self.most_per_key} bytes of a partner's bodies are taken at once"
            extra = {"violated-policies": ["body-bytes"]}
            raise ProblemError(replace(QUOTA, detail=detail, extra=extra, headers=((b"retry-after", b"1"),)))
        if self.in_use + size > self.most:
            raise ProblemError(OVERLOADED)
        self.in_use += size
        self._of_account[name] += size
        call.release = lambda: self._release(name, size)

    def _release(self, name: str, size: int) -> None:
        self.in_use -= size
        self._of_account[name] -= size
        if not self._of_account[name]:
            del self._of_account[name]


@dataclass(slots=True)
class Admission:
    """The one way to a request's body."""

    throttle: Throttle
    bodies: Bodies
    room: BodyRoom

    async def read(self, call: Call, limit: int) -> bytes:
        """The body of an admitted request; `call.tokens` says what it has paid so far.

        Raises:
            ProblemError: 429, 503; or as `Bodies.check` and `Bodies.read`.
        """
        self.bodies.check(call, limit)
        declared = call.headers.get(b"content-length")
        size = int(declared) if declared is not None else len(call.body or b"")
        if call.body is None:
            self.throttle.look(call)
            self.room.hold(call, size if declared is not None else limit)
        await self.throttle.charge(call, 1 + size // BYTES_PER_TOKEN)
        try:
            return await self.bodies.read(call, limit)
        finally:
            if call.body_bytes > max(size, BYTES_PER_TOKEN):  # its length was not told, or it broke off
                await self.throttle.charge(call, call.body_bytes // BYTES_PER_TOKEN)

    async def settle(self, call: Call, price: int) -> None:
        """Bring what was paid to the price of an answer.

        Raises:
            ProblemError: 429; then nothing was paid.
        """
        if call.tokens != price:
            await self.throttle.refund(call, call.tokens)
            await self.throttle.charge(call, price)

    async def parsed(self, call: Call, route: Route, parse: Callable[[bytes], Parsed]) -> Parsed:
        """The content of a body at the route's price; a body that is refused stays paid by its bytes."""
        content = parse(await self.read(call, route.max_bytes))
        await self.settle(call, route.price.tokens())
        return content
