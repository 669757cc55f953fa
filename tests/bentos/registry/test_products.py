"""What packing proved is taken from the audit trail: tags of MLflow can be written by whoever trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bentos import deploy
from bentos.registry.audit_trail import Trail
from bentos.registry.products import Products
from bentos.registry.versions import Registry
from bentos.settings import BentosSettings

OURS, THEIRS = "credit-score:1-a-b", "credit-score:1-a-c"


def test_tags_of_another_bento_or_image_change_nothing(
    registry: Registry, settings: BentosSettings, logged: Callable[..., tuple[str, Path]]
) -> None:
    """Each is told once, however often it is proved; the newest counts; a host without a trail has the tags alone."""
    version = registry.take_up(registry.register(*logged(), tags={"trainer": "bob"}).number)
    assert registry.products(version) == Products(by_trail=True) and registry.products(version).proved == ""
    for _ in range(2):
        registry.packed(version, OURS, "d" * 64, actor="packaging")
        registry.published(version, f"r.test:5000/{OURS}", "sha256:e", actor="packaging")
    assert [one.event for one in Trail(settings.trail_file).entries()] == ["registered", "packed", "published"]
    theirs = {
        "bento_tag": THEIRS,
        "bento_digest": "f" * 64,
        "image": f"r.test:5000/{THEIRS}",
        "image_digest": "sha256:f",
    }
    registry.record(version, theirs)
    written = registry.version(version.number)

    made = registry.products(written)

    assert deploy.release_of(written, "bento", made).reference == OURS
    assert deploy.release_of(written, "image", made).reference == "r.test:5000/credit-score@sha256:e"
    assert made.proved == made.bento_digest == "d" * 64
    registry.packed(version, THEIRS, "a" * 64, actor="packaging")
    assert registry.products(version).bento == THEIRS

    settings.trail_file.unlink()
    elsewhere = registry.products(written)
    assert (elsewhere.bento, elsewhere.proved) == (THEIRS, None)
