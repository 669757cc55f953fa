"""Routes: each is declared once, with all that is true of it, beside the method that answers it.

The declaration holds path, method, scope, price, limits and documentation. Dispatch, the OpenAPI document, the page at
`/docs`, the metrics' label and the generated clients are made from it. What is not declared does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from http import HTTPStatus
from types import FunctionType
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from service.access.keystore import Scope
from service.problems import Problem
from service.web.exchange import JSON, Call, Reply

Json = dict[str, Any]
Handler = Callable[[Call], Awaitable[Reply]]
Method = TypeVar("Method", bound=Callable[..., Awaitable[Reply]])
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")
_SEGMENT: Final = "([A-Za-z0-9_.-]{1,64})"
_ANY: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_WITH_BODY: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


class Price(StrEnum):
    """What an answer costs its key, in the words of the documentation."""

    NOTHING = ""
    TOKEN = "Costs one token."
    ROWS = "Costs a token a row."
    RESULTS = "Costs one token where it has results, else nothing."
    ORDER = "Costs one token, and a token a row as the rows are scored."

    def tokens(self, rows: int = 1) -> int:
        """Tokens that are paid when it is answered."""
        if self is Price.NOTHING:
            return 0
        return rows if self is Price.ROWS else 1


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The JSON that a route takes: its schema, an example, and the most bytes that are read of it."""

    model: type[BaseModel]
    example: Json
    max_bytes: int


@dataclass(frozen=True, slots=True)
class ResponseBody:
    """What a route answers with: a schema, of the contract or its own, an example, and headers beyond the usual."""

    description: str
    schema: type[BaseModel] | Json
    example: Any
    status: int = 200
    media_type: str = JSON.decode()
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Route:  # pylint: disable=too-many-instance-attributes  # it is the one home of what is true of a route
    """One route, declared. `scope` None and `open`: no key at all, for liveness and readiness alone."""

    method: str
    path: str
    scope: Scope | None
    name: str
    """The `operationId`: what a generated client calls its method."""
    summary: str
    tag: str
    answer: ResponseBody
    text: str = ""
    summary_pt: str = ""
    """For the page in Portuguese, of the routes that partners call."""
    price: Price = Price.NOTHING
    takes: RequestBody | None = None
    idempotent: bool = False
    """True if it takes an `Idempotency-Key`."""
    query: tuple[Json, ...] = ()
    """Query parameters, as OpenAPI writes them."""
    example_id: str = ""
    problems: tuple[Problem, ...] = ()
    """Beside those that follow from the key, the body and the path."""
    also: tuple[ResponseBody, ...] = ()
    """Answers that are neither the usual one nor a problem."""
    more_turns: int = 0
    """That an answer takes where it costs its key nothing and the worker more than others, see `service.protocol`."""
    open: bool = False
    hidden: bool = False
    """Not documented: a part of a page."""
    code_samples: bool = False
    """True if the samples of `service.docs` call it."""

    def accepts(self, method: str) -> bool:
        """True if the route answers this method; where GET goes, HEAD goes."""
        return method == self.method or (method == "HEAD" and self.method == "GET")

    @property
    def allow(self) -> bytes:
        """The value of `Allow` in a 405."""
        return b"GET, HEAD" if self.method == "GET" else self.method.encode()

    @property
    def max_bytes(self) -> int:
        """The most bytes of a body that are read."""
        return self.takes.max_bytes if self.takes else 0

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters in the path: none or one."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def description(self) -> str:
        """Price, size and what else is to be known."""
        size = f"At most {_size(self.takes.max_bytes)}." if self.takes else ""
        return " ".join(part for part in (self.price.value, size, self.text) if part)

    @property
    def problem_statuses(self) -> tuple[int, ...]:
        """Statuses of the problems it may answer with: by its key, its body, its path, and its own."""
        statuses = {one.status for one in self.problems}
        if not self.open:
            statuses.update(_ANY)
        if self.takes:
            statuses.update(_WITH_BODY)
        if self.idempotent:
            statuses.add(HTTPStatus.CONFLICT)
        if self.parameters:
            statuses.add(HTTPStatus.NOT_FOUND)
        return tuple(sorted(map(int, statuses)))

    def parameter(self, path: str) -> str:
        """What stands in a path of this route for its parameter."""
        match = _shape(self.path).fullmatch(path)
        if match is None:
            raise ValueError(f"the path is none of {self.path}")
        return match[1]

    def at(self, value: str) -> str:
        """The path with this value for its parameter."""
        return _PARAMETER.sub(value, self.path)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route and what answers it in this worker."""

    route: Route
    handler: Handler


_ANSWERED_BY: Final[dict[object, Route]] = {}


def answers(route: Route) -> Callable[[Method], Method]:
    """Marks a method as what answers a route."""

    def mark(method: Method) -> Method:
        _ANSWERED_BY[method] = route
        return method

    return mark


def declared(*owners: type) -> tuple[Route, ...]:
    """The routes that methods of these classes answer, in their order."""
    return tuple(route for owner in owners for route, _ in _routes_of(owner))


def endpoints_of(*owners: object) -> tuple[Endpoint, ...]:
    """The same, with the methods of these objects."""
    return tuple(Endpoint(route, getattr(owner, name)) for owner in owners for route, name in _routes_of(type(owner)))


def _routes_of(owner: type) -> list[tuple[Route, str]]:
    methods = ((name, one) for name, one in vars(owner).items() if isinstance(one, FunctionType))
    return [(_ANSWERED_BY[one], name) for name, one in methods if one in _ANSWERED_BY]


class Routes:
    """Finds the endpoint of a path: one method a path."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.table = tuple(endpoints)
        self._fixed = {one.route.path: one for one in self.table if not one.route.parameters}
        self._shaped = [(_shape(one.route.path), one) for one in self.table if one.route.parameters]
        if len(self._fixed) + len({shape.pattern for shape, _ in self._shaped}) != len(self.table):
            raise ValueError("a path is declared twice")

    def find(self, path: str) -> Endpoint | None:
        """The endpoint of a path, or None."""
        exact = self._fixed.get(path)
        if exact is not None:
            return exact
        for shape, endpoint in self._shaped:
            if shape.fullmatch(path):
                return endpoint
        return None


@cache
def _shape(path: str) -> re.Pattern[str]:
    literals = _PARAMETER.sub("{}", path).split("{}")
    return re.compile(_SEGMENT.join(map(re.escape, literals)))


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"
