"""Each step of packaging an image is a task of its own in Prefect, and a failed one takes back what came before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow

from bentos.errors import SmokeFailed
from bentos.packing import container, image
from bentos.packing.bento import Packed
from bentos.packing.golden_requests import GoldenRequests
from bentos.packing.serving import Served
from bentos.packing.smoke import Identity, SmokeReport
from bentos.publish import Publication, Published
from bentos.registry.version import Version
from bentos.settings import BentosSettings
from flows import artifacts, bento_packaging
from flows.bento_packaging import PackagingResult
from tests.bentos.fake_registry import registry
from tests.bentos.fake_service import IDENTITY, KEY, Behaviour, answering
from tests.bentos.test_publish import DIGEST, ENGINE, LOCK


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("offset", "answers", "lost"),
    [
        pytest.param(0, False, 0, id="right"),
        pytest.param(7, False, 0, id="wrong-after-the-pull"),
        pytest.param(0, True, 0, id="right-behind-the-answer"),
        pytest.param(7, True, 0, id="wrong-behind-the-answer"),
        pytest.param(0, True, 2, id="two-lost-connections"),
        pytest.param(7, False, 2, id="two-lost-connections-and-wrong-after-the-pull"),
    ],
)
def test_the_steps_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int, answers: bool, lost: int
) -> None:
    """Image, run, push, pull, run again; a push that was cut off is tried again; golden answers that differ then cost
    the manifest, and the Bento unless the version answers from it."""
    behaviour, asked = Behaviour(), list[str]()
    monkeypatch.setattr(bento_packaging, "push", bento_packaging.push.with_options(retry_delay_seconds=0))

    @contextlib.contextmanager
    def running(_: object, reference: str, __: float) -> Iterator[Served]:
        asked.append(reference)
        behaviour.offset = offset if "@" in reference else 0
        with answering(behaviour) as url:
            yield Served(url=url, key=KEY)

    monkeypatch.setattr(container, "running", running)
    packed = Packed(tag="credit-score:3-a-b", digest="d" * 64, path=tmp_path / "bento", reused=False)
    (lock := packed.path / "src" / "infra" / "locks" / "service.txt").parent.mkdir(parents=True)
    lock.write_text(LOCK)
    pushes = tmp_path / "pushes"
    cut_off = f"$(echo >> {pushes}; [ $(wc -l < {pushes}) -gt {lost} ]; echo $?)"
    told = {"label": image.recipe(packed), "pulled": "image-1", "digest": DIGEST, "push": cut_off, "complaint": ""}
    (program := tmp_path / "engine").write_text(ENGINE.format(log=tmp_path / "log", six="1.17.0", **told))
    program.chmod(0o755)

    @flow(name="image-steps")
    def steps(host: str) -> Published:
        settings = BentosSettings(engine=str(program), registry=host, smoke_requests=2, bentoml_home=tmp_path / "store")
        golden = (GoldenRequests(body={"num_loans": 2}, score=200),)
        work = Publication(packed, Identity(version="3", digest=IDENTITY["digest"]), golden, settings)
        progress = artifacts.Progress("image-steps", "Steps")
        if answers:
            return bento_packaging.publish_while_serving(_outcome(packed), work, "answering: it does", progress)
        return bento_packaging.publish_or_undo(packed, work, progress)

    with registry() as shelf:
        if offset:
            with pytest.raises(SmokeFailed, match="golden applicant scores 207"):
                steps(shelf.host)
        else:
            assert steps(shelf.host).digest == DIGEST
        reference = f"{shelf.host}/credit-score"

    assert asked == [f"{reference}:3-a-b", f"{reference}@{DIGEST}"]
    assert len(pushes.read_text().splitlines()) == lost + 1
    assert shelf.deleted == ([DIGEST] if offset else [])
    assert packed.path.exists() is (answers or not offset)


def _outcome(packed: Packed) -> PackagingResult:
    """A version that was packed and answers; its image is still to come."""
    smoke = SmokeReport(requests=2, golden=1, contract=1, p50_ms=1.0, p99_ms=2.0, engine="portable")
    version = Version(number=3, run_id="r", digest=IDENTITY["digest"], package_sha256="", tags={})
    return PackagingResult(version=version, packed=packed, smoke=smoke, published=Published(summary="to come"))
