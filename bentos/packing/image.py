"""The Bento's image: what `bentoml containerize` installs, laid out anew without the tools that installed it.

BentoML's image holds uv and pip's downloads, knows no health check, and carries the time of its build in every layer.
So a second, thin build takes from it the environment alone, without the packages' own test suites (89 MB), and puts
code and model on top as layers of their own, from archives whose every byte follows from the Bento: same inputs, same
layers, and a new model pushes the model only.
"""

from __future__ import annotations

import hashlib
import io
import re
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from bentos.errors import PublishFailed
from bentos.packing.bento import EPOCH_S, Packed
from bentos.packing.container_engine import ContainerEngine, run
from bentos.settings import BentosSettings
from service.contract import PRODUCT

HOME: Final = PurePosixPath("home/bentoml/bento")
CODE: Final = HOME / "src"
STATE: Final = PurePosixPath("var/lib/credit-score")
"""The folder that outlives a container; declared as its volume, so that a plain run keeps it too."""
MODEL: Final = "src/model"
USER: Final = 1034
"""BentoML's user; by number, so that a cluster can tell that it is not root."""
LABEL_BENTO: Final = "quantumfinance.bento.digest"
LABEL_MODEL: Final = "quantumfinance.model.digest"
LABEL_VERSION: Final = "quantumfinance.model.version"
LABEL_RECIPE: Final = "quantumfinance.image.recipe"
INSTALLED: Final = f"{PRODUCT}-installed"
MAX_UNPACKED_MB: Final = 900
CREATED: Final = re.compile(r"^creation_time: .*$", re.MULTILINE)
HEALTHY: Final = (
    "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 3000, timeout=2); "
    "c.request('GET', '/readyz'); sys.exit(c.getresponse().status != 200)"
)
CONTAINERFILE: Final = f"""\
ARG BENTO
ARG BASE
FROM $BENTO AS bento
USER root
RUN find /app/.venv -type d -name tests -prune -exec rm -r {{}} +
FROM $BASE
ENV LANG=C.UTF-8 LC_ALL=C.UTF-8 PYTHONIOENCODING=UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \\
    BENTO_PATH=/{HOME} BENTOML_HOME=/dev/shm/bentoml TMPDIR=/dev/shm BENTOML_CONTAINERIZED=true \\
    QF_SERVICE_DIR=/{STATE} \\
    BENTOML_DO_NOT_TRACK=True DO_NOT_TRACK=1 VIRTUAL_ENV=/app/.venv PATH=/app/.venv/bin:$PATH
COPY --from=bento /etc/passwd /etc/group /etc/
COPY --from=bento /app /app
ADD code.tar /
ADD model.tar /
WORKDIR /{CODE}
USER {USER}:{USER}
VOLUME /{STATE}
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "{HEALTHY}"]
ENTRYPOINT ["bentoml", "serve", "/{HOME}"]
"""


def build(
    engine: ContainerEngine, packed: Packed, reference: str, labels: Mapping[str, str], settings: BentosSettings
) -> bool:
    """True if the image had to be built; one that stands, made the same way from the same Bento, is used again.

    Raises:
        PublishFailed: it could not be built, or is larger than an image may be; nothing is left of it.
    """
    if engine.label(reference, LABEL_RECIPE) == recipe(packed):
        return False
    installed = _containerize(engine, packed, settings)
    with tempfile.TemporaryDirectory(prefix="image-") as scratch:
        context = Path(scratch)
        (context / "Containerfile").write_text(CONTAINERFILE, encoding="utf-8")
        write_layers(packed.path, context)
        arguments = ["--tag", reference, "--file", str(context / "Containerfile")]
        arguments += ["--build-arg", f"BENTO={installed}", "--build-arg", f"BASE={settings.base_image}"]
        for name, value in sorted({**labels, LABEL_RECIPE: recipe(packed)}.items()):
            arguments += ["--label", f"{name}={value}"]
        run([engine.program, "build", *arguments, str(context)], engine.build_environment())
    _weigh(engine, reference)
    return True


def recipe(packed: Packed) -> str:
    """SHA-256 of what an image is made from: the Bento, and the way it is laid out."""
    return hashlib.sha256(f"{packed.digest}\n{CONTAINERFILE}".encode()).hexdigest()


def labels_of(packed: Packed, version: str, digest: str, revision: str, base_image: str) -> dict[str, str]:
    """The image's labels, OCI's and ours."""
    oci = "org.opencontainers.image"
    return {
        f"{oci}.title": PRODUCT,
        f"{oci}.vendor": "QuantumFinance",
        f"{oci}.version": packed.tag.partition(":")[2],
        f"{oci}.revision": revision,
        f"{oci}.base.name": base_image,
        LABEL_BENTO: packed.digest,
        LABEL_MODEL: digest,
        LABEL_VERSION: version,
    }


def write_layers(bento: Path, folder: Path) -> None:
    """`code.tar` and `model.tar` in `folder`: the Bento's files, owned by root, at one time, in one order."""
    files = sorted(path for path in bento.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    model = [path for path in files if path.relative_to(bento).as_posix().startswith(f"{MODEL}/")]
    _archive(bento, sorted(set(files) - set(model)), folder / "code.tar", state=True)
    _archive(bento, model, folder / "model.tar")


def _archive(bento: Path, files: Iterable[Path], target: Path, *, state: bool = False) -> None:
    """A tar of the files; with `state` the service's folder too, whose owner and mode a new volume takes."""
    contents = {HOME / path.relative_to(bento).as_posix(): path for path in files}
    # Parents too: a folder without an entry would carry the time of the build.
    folders = {parent for place in contents for parent in place.parents if parent.name}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        if state:
            folders |= {STATE, *(parent for parent in STATE.parents if parent.name)}
        for folder in sorted(folders):
            entry = _entry(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            if folder == STATE:
                entry.uid = entry.gid = USER
                entry.mode = 0o700
            archive.addfile(entry)
        for place, path in sorted(contents.items()):
            content = path.read_bytes()
            if path == bento / "bento.yaml":
                content = CREATED.sub("creation_time: '2023-11-14T22:13:20+00:00'", content.decode(), 1).encode()
            entry = _entry(place)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))


def _entry(place: PurePosixPath) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(place.as_posix())
    entry.mtime = EPOCH_S
    return entry


def _containerize(engine: ContainerEngine, packed: Packed, settings: BentosSettings) -> str:
    """Id of BentoML's own image. It stays, under one name, so that the next model finds its packages installed."""
    command = [sys.executable, "-m", "bentoml", "containerize", packed.tag, "--backend", engine.program]
    environment = {**engine.build_environment(), "BENTOML_HOME": str(settings.bento_store)}
    run(
        [*command, "--image-tag", INSTALLED],
        {**environment, "BENTOML_DO_NOT_TRACK": "True", "BENTO_BASE_IMAGE": settings.base_image},
    )
    if not (image_id := engine.image_id(INSTALLED)):
        raise PublishFailed(f"{engine.program} built no image of {packed.tag}: see its own messages with --verbose")
    return image_id


def _weigh(engine: ContainerEngine, reference: str) -> None:
    """Refuse an image that is larger than promised: something slipped in."""
    size_mb = int(engine.call("image", "inspect", "--format", "{{.Size}}", reference)) / 1e6
    if size_mb > MAX_UNPACKED_MB:
        engine.drop(reference)
        raise PublishFailed(f"the image has {size_mb:.0f} MB, at most {MAX_UNPACKED_MB} are promised: look at the lock")
