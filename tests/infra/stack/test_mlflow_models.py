"""What MLflow's server says about versions, and what the Bento store holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from infra.errors import StackError
from infra.stack.credentials import OPERATOR
from infra.stack.mlflow_models import MODEL, Models, RegisteredVersion, packed
from tests.conftest import LOGINS


@pytest.fixture(name="models")
def _models(mlflow_server: str) -> Iterator[Models]:
    with closing(Models(mlflow_server, (OPERATOR, LOGINS.mlflow))) as models:
        yield models


def test_versions_are_found_by_alias_and_by_their_data(mlflow_server: str, models: Models) -> None:
    """The champion goes before the challenger; another digest of data is another model."""
    from mlflow import MlflowClient

    client = MlflowClient(mlflow_server)
    made = not any(one.name == MODEL for one in client.search_registered_models())
    if made:
        assert models.under("champion") is None
        client.create_registered_model(MODEL)
    run = client.create_run(client.create_experiment("infra-champion"))
    tags = {"data_sha256": "infra-probe", "digest": "d"}
    version = client.create_model_version(MODEL, f"{run.info.artifact_uri}/model", run.info.run_id, tags=tags)
    before = models.under("challenger")
    client.set_registered_model_alias(MODEL, "challenger", str(version.version))

    found = models.trained_on("infra-probe")

    assert found == RegisteredVersion(int(version.version), tags)
    assert models.trained_on("other data") is None
    client.delete_registered_model_alias(MODEL, "challenger")
    if before:
        client.set_registered_model_alias(MODEL, "challenger", str(before.number))


def test_a_server_that_is_gone_is_one_line() -> None:
    """No answer names the address and `make status`."""
    gone = "MLflow does not answer at http://127.0.0.1:9.*make status"
    with (
        closing(Models("http://127.0.0.1:9", (OPERATOR, LOGINS.mlflow))) as models,
        pytest.raises(StackError, match=gone),
    ):
        models.under("champion")


@pytest.mark.parametrize(
    ("manifest", "same"),
    [
        ('{"version": "3", "digest": "abc"}', True),
        ('{"version": 3, "digest": "abc"}', True),
        ('{"version": "4", "digest": "abc"}', False),
        ('{"version": "3", "digest": "xyz"}', False),
        ("{", False),
        (None, False),
    ],
    ids=["same", "number", "other version", "other bytes", "damaged", "absent"],
)
def test_a_packed_version_is_known_by_number_and_digest(manifest: str | None, same: bool, tmp_path: Path) -> None:
    """Only a Bento with that version and those bytes counts as packed."""
    folder = tmp_path / "bentos" / "credit-score" / "v3" / "src" / "model"
    folder.mkdir(parents=True)
    if manifest is not None:
        (folder / "model_metadata.json").write_text(manifest)

    assert packed(RegisteredVersion(3, {"digest": "abc"}), "credit-score:v3", tmp_path) is same
