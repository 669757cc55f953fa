"""What can go wrong between the page and the API.

ApiError                 the API did not give the answer asked for
├── NoConnection     nobody answers at the endpoint
├── KeyRefused       401: the key is unknown, revoked or expired
├── NotAllowed       403: the key lacks the scope
├── NotFound         404
├── TooLarge         413: more than the API takes at once
├── Invalid          400, 415, 422: a rule of the contract, with the fields at fault
├── LimitReached     429: wait, then it goes on
├── OrderCancelled   somebody with the partner's keys cancelled the order at the API
├── Unavailable      502, 503, 504: the API is starting, stopping or overloaded
└── Unexpected       anything else
"""

from __future__ import annotations

from dataclasses import dataclass

from ui.api.exchange import Exchange
from ui.api.limits import Limit
from ui.errors import UiError


@dataclass(frozen=True)
class FieldFault:
    """One rule of the contract that a field broke: where (JSON pointer, split) and which (the rule's code)."""

    path: tuple[str, ...]
    code: str

    @property
    def field(self) -> str:
        """The applicant's field at fault, or "" where the fault is in the body as a whole."""
        names = [step for step in self.path if not step.isdigit() and step != "applicants"]
        return names[0] if names else ""


class ApiError(UiError):
    """The API did not give the answer; the text is `problem.<code>` in the texts."""

    code = "unexpected"

    def __init__(self, *, status: int = 0, request_id: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(f"{self.code} (HTTP {status})" if status else self.code)
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.exchange: Exchange | None = None
        self.limits: tuple[Limit, ...] = ()


class NoConnection(ApiError):
    """Nobody answers at the endpoint, or not in time."""

    code = "no_connection"


class KeyRejected(ApiError):
    """The key is unknown, revoked or expired."""

    code = "key_refused"


class NotAllowed(ApiError):
    """The key lacks the scope for this."""

    code = "not_allowed"


class NotFound(ApiError):
    """No such route or prediction."""

    code = "not_found"


class TooLarge(ApiError):
    """More than the API takes at once."""

    code = "too_large"


class Invalid(ApiError):
    """The API refused the input; `faults` names the fields."""

    code = "invalid"

    def __init__(self, faults: tuple[FieldFault, ...] = (), *, status: int = 422, request_id: str = "") -> None:
        super().__init__(status=status, request_id=request_id)
        self.faults = faults


class LimitReached(ApiError):
    """The key's rate or quota is used up; `retry_after_s` says how long to wait."""

    code = "limit_reached"


class OrderCancelled(ApiError):
    """An order was cancelled at the API: its other rows are never scored."""

    code = "order_cancelled"


class Unavailable(ApiError):
    """The API is starting, stopping or overloaded."""

    code = "unavailable"


class Unexpected(ApiError):
    """An answer nobody planned for."""

    code = "unexpected"
