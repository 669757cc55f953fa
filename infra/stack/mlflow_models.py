"""What MLflow knows about the versions of the model, asked over HTTP: importing its client takes eight seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from infra.errors import StackError
from service.contract import PRODUCT
from service.score.manifest import MANIFEST_FILE

MODEL: Final = PRODUCT
UNKNOWN: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})


@dataclass(frozen=True)
class RegisteredVersion:
    """One registered version."""

    number: int
    tags: dict[str, str]


class Models:
    """The versions of one MLflow server."""

    def __init__(self, url: str, login: tuple[str, str]) -> None:
        self._url = url
        self._http = httpx.Client(base_url=f"{url}/api/2.0/mlflow", auth=login, timeout=30, trust_env=False)

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def under(self, alias: str) -> RegisteredVersion | None:
        """The version an alias points to, if any.

        Raises:
            StackError: MLflow does not answer.
        """
        try:
            answer = self._http.get("/registered-models/alias", params={"name": MODEL, "alias": alias})
        except httpx.TransportError as error:
            raise StackError(f"MLflow does not answer at {self._url}: {error}; see `make status`") from error
        content: dict[str, Any] = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if answer.is_error:
            if content.get("error_code") in UNKNOWN:
                return None
            raise StackError(
                f"MLflow answers {answer.status_code} to a question for alias {alias}: {answer.text[:200]}"
            )
        version = content["model_version"]
        tags = {str(tag["key"]): str(tag["value"]) for tag in version.get("tags", [])}
        return RegisteredVersion(int(version["version"]), tags)

    def trained_on(self, data_sha256: str) -> RegisteredVersion | None:
        """The champion, else the challenger, if it was trained on data of that digest."""
        for alias in ("champion", "challenger"):
            version = self.under(alias)
            if version and version.tags.get("data_sha256") == data_sha256:
                return version
        return None


def packed(version: RegisteredVersion, bento: str, home: Path) -> bool:
    """True if a Bento of the store holds that very version."""
    manifest = home / "bentos" / Path(*bento.split(":", 1)) / "src" / "model" / MANIFEST_FILE
    try:
        manifest_content = json.loads(manifest.read_text())
    except (OSError, ValueError):
        return False
    return str(manifest_content.get("version")) == str(version.number) and manifest_content.get(
        "digest"
    ) == version.tags.get("digest")
