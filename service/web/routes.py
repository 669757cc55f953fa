"""The table of routes: path, method, scope and who answers. What is not in it does not exist."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from service.access.keystore import Scope
from service.web.exchange import Call, Reply

Handler = Callable[[Call], Awaitable[Reply]]
_PARAMETER: Final = re.compile(r"\{[a-z_]+\}")
_SEGMENT: Final = "[A-Za-z0-9_.-]{1,64}"


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `scope` None means any good key; `open` means no key at all (liveness and readiness alone)."""

    method: str
    path: str
    scope: Scope | None
    handler: Handler
    open: bool = False

    def takes(self, method: str) -> bool:
        """Whether the route answers this method; where GET goes, HEAD goes."""
        return method == self.method or (method == "HEAD" and self.method == "GET")

    @property
    def allow(self) -> bytes:
        """The value of `Allow` in a 405."""
        return b"GET, HEAD" if self.method == "GET" else self.method.encode()


class Routes:
    """Finds the route of a path: one method a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.table = tuple(routes)
        self._fixed = {route.path: route for route in self.table if "{" not in route.path}
        self._shaped = [(_shape(route.path), route) for route in self.table if "{" in route.path]

    def find(self, path: str) -> Route | None:
        """The route of a path, or None."""
        found = self._fixed.get(path)
        if found is not None:
            return found
        for shape, route in self._shaped:
            if shape.fullmatch(path):
                return route
        return None


def _shape(path: str) -> re.Pattern[str]:
    return re.compile(_SEGMENT.join(re.escape(part) for part in _PARAMETER.split(path)))
