"""A real registry of images, into which they are put by hand, as a push does."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import bcrypt
import httpx

from bentos.processes import free_port

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
USER, PASSWORD = "ana", "pass word"


@contextmanager
def serving(program: str, state: Path, *, private: bool) -> Iterator[Registry]:
    """The registry whose program this is, open or behind a password; `state` is the DOCKER_CONFIG that knows it."""
    port = free_port()
    state.mkdir()
    auth = ""
    if private:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (state / "htpasswd").write_text(f"{USER}:{hashed}\n")
        auth = f"auth: {{htpasswd: {{realm: test, path: {state / 'htpasswd'}}}}}\n"
    (state / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {state / 'images'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', secret: test}}\n{auth}"
    )
    login = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
    (state / "config.json").write_text(json.dumps({"auths": {f"127.0.0.1:{port}": login}}))
    with subprocess.Popen(
        [program, "serve", str(state / "registry.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        running = Registry(f"127.0.0.1:{port}")
        try:
            running.wait()
            yield running
        finally:
            running.close()
            process.terminate()


class Registry:
    """The registry at a host."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._client = httpx.Client(base_url=f"http://{host}/v2/", auth=(USER, PASSWORD), trust_env=False)

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self._client.get("").raise_for_status()
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the registry does not start"
                time.sleep(0.05)

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def put(self, name: str, tag: str, mark: str) -> str:
        """Digest of the index of an image for two kinds of machines."""
        manifests = []
        for architecture in ("amd64", "arm64"):
            config = json.dumps({"architecture": architecture, "os": "linux", "mark": mark}).encode()
            upload = httpx.URL(self._client.post(f"{name}/blobs/uploads/").headers["location"])
            self._client.put(upload.copy_merge_params({"digest": sha(config)}), content=config).raise_for_status()
            blob = {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": sha(config),
                "size": len(config),
            }
            own = {"schemaVersion": 2, "mediaType": MANIFEST, "config": blob, "layers": []}
            content = self._manifest(name, "", own)
            where = {"platform": {"os": "linux", "architecture": architecture}}
            manifests.append({"mediaType": MANIFEST, "digest": sha(content), "size": len(content), **where})
        return sha(self._manifest(name, tag, {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))

    def _manifest(self, name: str, tag: str, manifest: dict[str, object]) -> bytes:
        content = json.dumps(manifest).encode()
        headers = {"content-type": str(manifest["mediaType"])}
        done = self._client.put(f"{name}/manifests/{tag or sha(content)}", content=content, headers=headers)
        done.raise_for_status()
        return content


def sha(content: bytes) -> str:
    """A content's digest, as registries write it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
