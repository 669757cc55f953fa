"""What can go wrong between an approved version and a running image, named by what the caller must do.

    BentosError
    ├── VersionMissing      register or approve a version first
    ├── PromotionLost       somebody else moved the champion: look again, then decide again
    ├── AliasMoved          MLflow and the audit trail name two champions: find out who moved the alias, put it back
    ├── ApprovalMissing     let a person approve the version first
    │   └── OverrideEnded   it was approved for a time that is over: decide again, or approve another version
    ├── ArtefactDamaged     the stored package is not what was registered: do not use it
    ├── TrailBroken         the audit trail was altered: find out by whom before anything moves
    ├── PackFailed          the Bento could not be built from what was given
    ├── SmokeFailed         the Bento was built but does not answer as it must: nothing was published
    ├── NoPortFree          end programs that listen on this host, then try again
    ├── PublishFailed       engine or registry refused: mend it and run again, every step is safe to repeat
    └── DeployRefused       nothing was switched: mend what it names and deploy again
        └── TakenBack       it was switched, did badly and was taken back: find out why before the next try

Every message is one line that says what was found and what to do.
"""

from __future__ import annotations


class BentosError(Exception):
    """Root of everything this package raises on purpose."""


class VersionMissing(BentosError):
    """No such version, or no version under the alias."""


class PromotionLost(BentosError):
    """The champion is not the one the decision was made against."""


class AliasMoved(BentosError):
    """The alias of the champion is not where the audit trail's last move put it."""


class ApprovalMissing(BentosError):
    """The version carries no approving verdict."""


class OverrideEnded(ApprovalMissing):
    """The override that let the version out has ended."""


class ArtefactDamaged(BentosError):
    """The stored package is missing, incomplete or has other bytes than were registered."""


class TrailBroken(BentosError):
    """A line of the audit trail was changed, removed or inserted."""


class PackFailed(BentosError):
    """The Bento could not be built."""


class SmokeFailed(BentosError):
    """The built Bento does not start or does not answer as it must."""


class NoPortFree(BentosError):
    """No port of this host is left to give to a program."""


class PublishFailed(BentosError):
    """The image could not be built, pushed or proved."""


class DeployRefused(BentosError):
    """A deployment or rollback was not done; the slot that served still serves."""


class TakenBack(DeployRefused):
    """The new slot did badly in front of partners; the old one serves again."""
