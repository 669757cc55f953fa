"""What the fixtures of the registry's tests hand over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bentos.registry.decision import Decision

Logged = Callable[..., tuple[str, Path]]
Decide = Callable[..., Decision]
