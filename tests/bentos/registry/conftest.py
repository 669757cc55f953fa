"""Versions for the registry's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bentos.registry.version import Version
from bentos.registry.versions import Registry
from tests.bentos.registry.fixture_types import Logged


@pytest.fixture
def register(registry: Registry, logged: Logged) -> Callable[..., Version]:
    """Register a challenger from a run of its own, and take it up, as training and registration do."""

    def make(content: bytes = b"model") -> Version:
        run_id, package = logged(content)
        return registry.take_up(registry.register(run_id, package, tags={"trainer": "bob"}).number)

    return make
