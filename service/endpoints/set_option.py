"""The option `?prediction_set=true` of routes that answer with scores."""

from __future__ import annotations

from typing import Final

from service.errors import ProblemError
from service.problems import INVALID, Fault
from service.score.prediction_sets import NAME
from service.web.exchange import Call
from service.web.query import option_values

QUERY: Final = {
    "name": NAME,
    "description": "Whether each score tells its `prediction_set`.",
    "schema": {"type": "boolean", "default": False},
}
_VALUES: Final = {"true": True, "false": False}


def wants_sets(call: Call) -> bool:
    """True if scores are to tell their sets.

    Raises:
        ProblemError: the option has another value than true and false, or as `option_values`.
    """
    values = option_values(call.query, NAME) or ["false"]
    if len(values) > 1 or values[0] not in _VALUES:
        fault = Fault("", NAME.replace("_", "-"), f"{NAME} must be true or false, once")
        raise ProblemError(INVALID.saying("1 rule is broken", fault))
    return _VALUES[values[0]]
