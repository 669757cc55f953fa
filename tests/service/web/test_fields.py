"""The header fields that are read: named in one place, said once, without blanks."""

from __future__ import annotations

import ast

import pytest

from infra.settings import ROOT
from service.errors import ProblemError
from service.web.fields import READ, headers_by_name


def _names(node: ast.AST) -> set[bytes]:
    """Names that an expression looks up in headers."""
    place = ast.unparse(node)
    if "headers" not in place:
        return set()
    constants = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, bytes)]
    return {name for name in constants[:1] if name}


def test_a_header_that_some_code_reads_is_kept() -> None:
    """No other is, so one that is not named would be missing on the wire alone."""
    read: set[bytes] = set()
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("headers.get")
            looked = isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("headers")
            asked = isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]).endswith("headers")
            if called or looked or asked:
                read |= _names(node)
    assert {b"x-api-key", b"content-type", b"host", b"idempotency-key"} <= read <= READ


def test_values_lose_their_blanks_lists_are_joined_and_others_dropped() -> None:
    """As HTTP says."""
    pairs = [(b"x-api-key", b" k \t"), (b"connection", b"te"), (b"connection", b"close"), (b"x-other", b"1")]
    assert headers_by_name(pairs) == {b"x-api-key": b"k", b"connection": b"te, close"}


@pytest.mark.parametrize("name", [b"host", b"x-api-key", b"authorization", b"idempotency-key", b"content-type"])
def test_what_says_one_thing_is_there_once(name: bytes) -> None:
    """Even where both say the same."""
    with pytest.raises(ProblemError) as refused:
        headers_by_name([(name, b"a"), (name, b"a")])
    assert refused.value.problem.status == 400
