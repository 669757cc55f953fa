"""The private registry asked directly, for what an engine's command line cannot do: is it there, what does it hold,
take a manifest away again.
"""

from __future__ import annotations

import base64
import json
import os
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bentos.errors import PublishFailed

if TYPE_CHECKING:
    import httpx

TIMEOUT_S: Final = 60.0  # a registry whose disk takes a push answers late
MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"  # not an index
)


class ImageRegistry:
    """One repository of a registry, `host[:port]/path`, asked with the login that the engine has."""

    def __init__(self, repository: str) -> None:
        self.host, _, self._path = repository.partition("/")
        local = self.host.split(":")[0] in {"localhost", "127.0.0.1"}  # the only ones engines speak plain HTTP to
        self._url = f"{'http' if local else 'https'}://{self.host}/v2/"

    def check(self) -> None:
        """Say before anything is built what would stop the push.

        Raises:
            PublishFailed: nothing answers, or the login is refused.
        """
        status = self._ask("GET", "").status_code
        if status == HTTPStatus.UNAUTHORIZED and not _kept_elsewhere():
            raise PublishFailed(f"registry {self.host} refuses the login: run `docker login {self.host}`, then again")
        if status != HTTPStatus.OK:
            raise PublishFailed(f"registry {self.host} answers {status}: is REGISTRY the address of a registry?")

    def digest(self, tag: str) -> str:
        """Digest of the manifest under a tag, empty if there is none."""
        return str(self._ask("HEAD", f"{self._path}/manifests/{tag}").headers.get("docker-content-digest", ""))

    def size_mb(self, digest: str) -> float:
        """What a machine that has nothing yet must pull: all layers, compressed, in MB.

        Raises:
            PublishFailed: the registry holds no such manifest.
        """
        answer = self._ask("GET", f"{self._path}/manifests/{digest}")
        if answer.status_code != HTTPStatus.OK:
            raise PublishFailed(f"registry {self.host} does not hold {digest[:19]} that was pushed: push again")
        return float(sum(layer["size"] for layer in answer.json()["layers"])) / 1e6

    def forget(self, digest: str) -> bool:
        """Whether the manifest is gone, and with it every tag on it; its layers go when the registry next cleans up."""
        answer = self._ask("DELETE", f"{self._path}/manifests/{digest}")
        return answer.status_code in {HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND}

    def _ask(self, method: str, path: str) -> httpx.Response:
        import httpx

        headers = {"accept": MANIFESTS, **_login(self.host)}
        try:
            return httpx.request(method, self._url + path, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        except httpx.HTTPError as error:
            raise PublishFailed(f"registry {self.host} does not answer ({type(error).__name__}): start it") from error


def _kept_elsewhere() -> bool:
    """Whether a helper program keeps the engine's logins, so that only the engine can say whether one is good."""
    configuration = _configuration()
    return bool(configuration.get("credsStore") or configuration.get("credHelpers"))


def _login(host: str) -> dict[str, str]:
    """What `docker login` stored for the host; a login that a helper program keeps stays with the engine."""
    try:
        auth = str(_configuration()["auths"][host]["auth"])
        base64.b64decode(auth, validate=True)
    except (ValueError, KeyError, TypeError):
        return {}
    return {"authorization": f"Basic {auth}"}


def _configuration() -> dict[str, Any]:
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
