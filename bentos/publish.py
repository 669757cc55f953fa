"""From a proved Bento to an image in the private registry, known by its digest.

The container is proved before it is pushed, and what the registry gives back by digest must be the very image that was
proved. A push that dies leaves no tag behind, since a registry takes the manifest last. `python -m bentos.publish`
(`make image`) does the same for the champion's Bento from a shell.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos import pack
from bentos.engine import Engine, run
from bentos.errors import BentosError, PublishFailed, SmokeFailed
from bentos.golden import Golden, golden_applicants
from bentos.pack import Packed
from bentos.registry import CHAMPION, Registry
from bentos.serving import Served, free_port
from bentos.settings import BentosSettings
from bentos.smoke import Identity, prove

LABEL_BENTO: Final = "quantumfinance.bento.digest"
LABEL_MODEL: Final = "quantumfinance.model.digest"
LABEL_VERSION: Final = "quantumfinance.model.version"
PUSHED: Final = re.compile(r"digest: (sha256:[0-9a-f]{64})")
GOLDEN_ROWS: Final = 50
CONTAINER_STATE: Final = ("BENTOML_HOME=/tmp/bentoml", "QF_SERVICE_DIR=/tmp/state", "BENTOML_DO_NOT_TRACK=True")


class Published(BaseModel):
    """An image in the registry; reference and digest are empty if none was made, and `summary` says why."""

    model_config = ConfigDict(frozen=True)

    reference: str = ""
    digest: str = ""
    summary: str


def publish(packed: Packed, identity: Identity, golden: Sequence[Golden], settings: BentosSettings) -> Published:
    """The Bento's image, built, proved, pushed and proved to be what the registry gives back.

    Raises:
        PublishFailed: engine or registry refused; nothing was published.
        SmokeFailed: the container does not answer as the approved model; nothing was published.
    """
    engine = Engine(settings.engine)
    if absence := engine.absence():
        return Published(summary=f"skipped: {absence}; the Bento can be served without")
    if not settings.registry:
        return Published(summary="skipped: REGISTRY is not set, so there is nowhere to push")
    reference = f"{settings.registry.rstrip('/')}/{packed.tag}"
    built = _build(engine, packed, reference, identity, settings)
    try:
        with _container(engine, reference, settings.smoke_timeout_s) as running:
            report = prove(running.url, running.key, identity, golden, requests=settings.smoke_requests)
        digest = _push(engine, reference)
        _prove_pushed(engine, reference, digest)
    except BentosError:
        if built:
            engine.call("image", "rm", "--force", reference)
        raise
    return Published(
        reference=reference,
        digest=digest,
        summary=f"{reference}@{digest}, {report.requests} answers right in the container, p99 {report.p99_ms} ms",
    )


def _build(engine: Engine, packed: Packed, reference: str, identity: Identity, settings: BentosSettings) -> bool:
    """Whether the image had to be built; one that stands with the Bento's digest as its label is used again."""
    if engine.image_id(reference):
        label = engine.call("image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL_BENTO}"}}}}', reference)
        if label.strip() == packed.digest:
            return False
    command = [sys.executable, "-m", "bentoml", "containerize", packed.tag, "--backend", engine.program]
    command += ["--image-tag", reference]
    for label, value in (
        (LABEL_BENTO, packed.digest),
        (LABEL_MODEL, identity.digest),
        (LABEL_VERSION, identity.version),
    ):
        command += ["--opt", f"label={label}={value}"]
    environment = {**engine.build_environment(), "BENTOML_HOME": str(settings.bento_store)}
    run(command, {**environment, "BENTOML_DO_NOT_TRACK": "True", "BENTO_BASE_IMAGE": settings.base_image})
    if not engine.image_id(reference):
        raise PublishFailed(f"{engine.program} built no image {reference}: see its own messages with --verbose")
    return True


@contextmanager
def _container(engine: Engine, reference: str, timeout_s: float) -> Iterator[Served]:
    """The image running as it shall run in production: read-only, no capabilities, not root."""
    port = free_port()
    arguments = ["run", "--detach", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    arguments += ["--security-opt", "no-new-privileges", "--publish", f"127.0.0.1:{port}:3000"]
    for pair in CONTAINER_STATE:
        arguments += ["--env", pair]
    container = engine.call(*arguments, reference).strip()
    try:
        _wait_ready(f"http://127.0.0.1:{port}", timeout_s)
        # As the service's own program: `service` lies in the Bento's src folder, wherever the image puts it.
        issue = "import runpy, sys; sys.argv = ['keys', 'issue', 'smoke', '--rate', '100000', '--burst', '100000', "
        issue += "'--daily', '1000000']; runpy.run_module('service.keys', run_name='__main__')"
        key = engine.call("exec", "--workdir", "/home/bentoml/bento/src", container, "python", "-c", issue).strip()
        yield Served(url=f"http://127.0.0.1:{port}", key=key)
    finally:
        engine.call("rm", "--force", container)


def _wait_ready(url: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < deadline:
        try:
            with opener.open(f"{url}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SmokeFailed(f"the container is not ready after {timeout_s:g} s")


def _push(engine: Engine, reference: str) -> str:
    found = PUSHED.search(engine.call("push", reference))
    if not found:
        raise PublishFailed(f"the push of {reference} named no digest: push again")
    return found.group(1)


def _prove_pushed(engine: Engine, reference: str, digest: str) -> None:
    by_digest = f"{reference.rpartition(':')[0]}@{digest}"
    engine.call("pull", by_digest)
    if engine.image_id(by_digest) != engine.image_id(reference):
        raise PublishFailed(
            f"the registry gives back another image for {digest[:19]} than was proved: do not deploy it"
        )


def publish_champion(settings: BentosSettings) -> Published:
    """The champion packed (or found again) and published."""
    registry = Registry.connect(settings)
    version = registry.by_alias(CHAMPION)
    decision = registry.approved(version)
    with tempfile.TemporaryDirectory(prefix="publish-") as scratch:
        package = registry.download(version.number, version.digest, Path(scratch) / "package")
        pack.finish(package, version.number, decision)
        packed = pack.pack(
            package,
            version=version.number,
            digest=version.digest,
            home=settings.home,
            store=settings.bento_store,
            base_image=settings.base_image,
        )
        identity = Identity(version=str(version.number), digest=version.digest)
        published = publish(packed, identity, golden_applicants(package, GOLDEN_ROWS), settings)
    if published.digest:
        registry.record(version, {"image": published.reference, "image_digest": published.digest})
    return published


def main() -> int:
    """Publish the champion; exit code 1 if no image was pushed."""
    try:
        published = publish_champion(BentosSettings())
    except BentosError as error:
        print(error, file=sys.stderr)
        return 1
    print(published.summary, file=sys.stdout if published.digest else sys.stderr)
    return 0 if published.digest else 1


if __name__ == "__main__":
    sys.exit(main())
