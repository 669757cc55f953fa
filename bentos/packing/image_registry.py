"""A registry asked directly, for what an engine's command line cannot do: is it there, what does it hold, take a
manifest away again, what does a tag name now.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
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
INDEXES: Final = (
    f"application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, {MANIFESTS}"
)
HUB: Final = "registry-1.docker.io"
_HUBS_LOGIN: Final = "https://index.docker.io/v1/"  # the name under which `docker login` keeps the Hub's
_PARAMETER: Final = re.compile(r'(\w+)="([^"]*)"')


class ImageRegistry:
    """One repository of a registry, `host[:port]/path`, asked with the login that the engine has.

    With `abroad` by the proxy that the environment names, as what lies outside of the house may have to be.
    """

    def __init__(self, repository: str, *, abroad: bool = False) -> None:
        self.host, _, self._path = repository.partition("/")
        local = self.host.split(":")[0] in {"localhost", "127.0.0.1"}  # the only ones engines speak plain HTTP to
        self._scheme = "http" if local else "https"
        self._url = f"{self._scheme}://{self.host}/v2/"
        self._by_environment = abroad and not local

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

    def index(self, tag: str) -> str:
        """Digest of what a tag names for every kind of machine: its index, or its manifest where there is no index.

        Raises:
            PublishFailed: nothing answers, the login is refused, or there is no such tag.
        """
        path = f"{self._path}/manifests/{tag}"
        answer = self._ask("HEAD", path, INDEXES)  # not counted as a pull, where pulls are
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise PublishFailed(f"registry {self.host} refuses the login: run `docker login {self.host}`, then again")
        if answer.status_code != HTTPStatus.OK:
            raise PublishFailed(f"registry {self.host} answers {answer.status_code} for {self._path}:{tag}")
        digest = str(answer.headers.get("docker-content-digest", ""))
        return digest or f"sha256:{hashlib.sha256(self._ask('GET', path, INDEXES).content).hexdigest()}"

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
        """True if the manifest is gone, and with it every tag on it; its layers go when the registry next cleans up."""
        answer = self._ask("DELETE", f"{self._path}/manifests/{digest}")
        return answer.status_code in {HTTPStatus.ACCEPTED, HTTPStatus.NOT_FOUND}

    def _ask(self, method: str, path: str, accept: str = MANIFESTS) -> httpx.Response:
        import httpx

        headers = {"accept": accept, **_login(self.host)}
        try:
            with httpx.Client(timeout=TIMEOUT_S, trust_env=self._by_environment) as client:
                answer = client.request(method, self._url + path, headers=headers)
                if answer.status_code == HTTPStatus.UNAUTHORIZED and (token := self._token(client, answer)):
                    answer = client.request(method, self._url + path, headers=headers | {"authorization": token})
                return answer
        except httpx.HTTPError as error:
            advice = "is there a network, or a proxy to name?" if self._by_environment else "start it"
            raise PublishFailed(f"registry {self.host} does not answer ({type(error).__name__}): {advice}") from error

    def _token(self, client: httpx.Client, refused: httpx.Response) -> str:
        """The token for a registry that sends its callers to another server for one; empty if it does not."""
        kind, _, challenge = refused.headers.get("www-authenticate", "").partition(" ")
        parameters = dict(_PARAMETER.findall(challenge))
        realm = parameters.pop("realm", "")
        if kind.lower() != "bearer" or not realm.startswith(f"{self._scheme}://"):  # no login over a plain line
            return ""
        query = {name: parameters[name] for name in ("service", "scope") if name in parameters}
        answer = client.get(realm, params=query, headers=_login(self.host))
        if answer.status_code != HTTPStatus.OK:
            return ""
        try:
            granted = answer.json()
            return f"Bearer {granted.get('token') or granted['access_token']}"
        except (ValueError, KeyError, AttributeError):
            return ""


def _kept_elsewhere() -> bool:
    """True if a helper program keeps the engine's logins, so that only the engine can say whether one is good."""
    configuration = _configuration()
    return bool(configuration.get("credsStore") or configuration.get("credHelpers"))


def _login(host: str) -> dict[str, str]:
    """The login that `docker login` stored for the host; a login that a helper program keeps stays with the engine."""
    try:
        auth = str(_configuration()["auths"][_HUBS_LOGIN if host == HUB else host]["auth"])
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
