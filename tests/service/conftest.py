"""A small real packed model, trained once a session on generated applicants."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engine.packed_model import PackedModel
from tests.factories import pack_small_model


@pytest.fixture(name="packed_model", scope="session")
def _packed_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a packed model; do not write into it."""
    directory = tmp_path_factory.mktemp("packed") / "model"
    pack_small_model(directory)
    return directory


@pytest.fixture(name="loaded_model", scope="session")
def _loaded_model(packed_model: Path) -> PackedModel:
    """The packed model, loaded with the engine a service would choose."""
    return PackedModel.load(packed_model)
