"""What was made of a version and proved: Bento and image, each by the digest of its bytes; checks and documents.

They stand as tags and files in MLflow for people to read. Whoever trains can write there, so a host with an audit trail
of versions believes the trail: packing writes a line when it has proved one, and releases write what they let in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from bentos.registry.audit_trail import TrailEntry
from bentos.registry.version import Version

PACKED, PUBLISHED, DEPLOYED, TURNED_BACK = "packed", "published", "deployed", "deployment_rolled_back"
# Texts that are kept with a version; their path is the artefact.
CHECKED, DOCUMENTED, BILLED = "checked", "documented", "billed"
EMBEDDED: Final = "embedded API"  # the note of a release to the API that the embedded stack starts


class Products(BaseModel):
    """A Bento by tag and an image by reference, with their digests; empty where there is none."""

    model_config = ConfigDict(frozen=True)

    bento: str = ""
    bento_digest: str = ""
    image: str = ""
    image_digest: str = ""
    by_trail: bool = False

    @property
    def proved(self) -> str | None:
        """Digest the Bento was proved with, empty if it was not; None where no trail keeps it."""
        return self.bento_digest if self.by_trail else None


def from_tags(version: Version) -> Products:
    """As MLflow has it."""
    names = (
        ("bento", "bento_tag"),
        ("bento_digest", "bento_digest"),
        ("image", "image"),
        ("image_digest", "image_digest"),
    )
    return Products(**{name: version.tags.get(tag, "") for name, tag in names})


def from_trail(entries: Sequence[TrailEntry], version: Version) -> Products:
    """As the audit trail has it: the newest of each."""
    own = [one for one in entries if (one.version, one.digest) == (str(version.number), version.digest)]
    bento = next((one for one in reversed(own) if one.event == PACKED), None)
    image = next((one for one in reversed(own) if one.event == PUBLISHED), None)
    return Products(
        bento=bento.artefact if bento else "",
        bento_digest=bento.content if bento else "",
        image=image.artefact if image else "",
        image_digest=image.content if image else "",
        by_trail=True,
    )


def text_digest(entries: Sequence[TrailEntry], version: Version, event: str, path: str) -> str:
    """SHA-256 of the text that was kept last under `path` with the version; empty if none was."""
    line = (event, str(version.number), version.digest, path)
    own = [one for one in entries if (one.event, one.version, one.digest, one.artefact) == line]
    return own[-1].content if own else ""


def embedded(entries: Sequence[TrailEntry]) -> TrailEntry | None:
    """The last release to the embedded API; None before the first. One of an earlier release names no artefact."""
    return next((one for one in reversed(entries) if (one.event, one.note) == (DEPLOYED, EMBEDDED)), None)


def embedded_before(entries: Sequence[TrailEntry]) -> TrailEntry | None:
    """The release to the embedded API that answered before the last one; never one that a rollback left since.

    A rollback's line names what it left as replaced, a release's names nothing.
    """
    releases = [one for one in entries if (one.event, one.note) == (DEPLOYED, EMBEDDED) and one.artefact]
    behind: set[str] = set()
    for one in releases:
        behind = (behind | {one.replaced}) - {one.version}
    return next((one for one in reversed(releases) if one.version not in behind | {releases[-1].version}), None)
