"""Options in a query: read within a bound, since nothing is paid for them yet."""

from __future__ import annotations

import pytest

from service.errors import ProblemError
from service.web.query import MOST_BYTES, option_values


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", []),
        (b"lang", [""]),
        (b"lang=", [""]),
        (b"lang=pt", ["pt"]),
        (b"a=1&lang=%70t&lang=en&b", ["pt", "en"]),
        (b"a=" + b"x" * (MOST_BYTES - 10) + b"&lang=p", ["p"]),
    ],
)
def test_an_option_is_found_among_others(query: bytes, values: list[str]) -> None:
    """Also without a value, and more than once."""
    assert option_values(query, "lang") == values


@pytest.mark.parametrize("query", [b"a=1&" * 4000, b"a=" + b"%41" * 5000])
def test_a_query_is_bounded(query: bytes) -> None:
    """However it is made to cost."""
    with pytest.raises(ProblemError) as refused:
        option_values(query, "lang")
    assert refused.value.problem.status == 422
