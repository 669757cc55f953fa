"""The proof before a switch: golden answers, then the same requests to the new one and to the one that serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bentos.deploying.probe import asking
from bentos.deploying.slots import Release
from bentos.deploying.watch import shadow
from bentos.errors import SmokeFailed
from bentos.packing.golden_requests import LONG_AGO, GoldenRequests
from bentos.packing.smoke import Identity, prove
from bentos.settings import DeploySettings


def unwatched(golden: Sequence[GoldenRequests]) -> list[GoldenRequests]:
    """The golden requests with an `as_of` outside every window, so that drift never takes them for applicants.

    Known customers tell their own, of the same year: their classes are so many months older.
    """
    return [one.model_copy(update={"body": {"as_of": LONG_AGO.isoformat(), **one.body}}) for one in golden]


def prove_beside(
    url: str,
    serving: str,
    release: Release,
    golden: Sequence[GoldenRequests],
    key: str,
    *,
    settings: DeploySettings,
    say: Callable[[str], None],
) -> float:
    """The p99 in milliseconds of what serves, once the release at `url` has proved itself; 0 if nothing serves.

    Args:
        url: where the release answers, away from partners.
        serving: where the version answers that serves; empty if none does.
        release: what must answer there.
        golden: applicants and the answers that the approved model gave.
        key: one that both accept.
        settings: how much is asked, and how much slower it may be.
        say: told each step.

    Raises:
        SmokeFailed: a wrong answer, or one that is too slow.
    """
    identity = Identity(version=release.version, digest=release.digest)
    report = prove(url, key, identity, golden, requests=settings.golden_requests)
    say(f"version {release.version} gives {report.requests} golden answers, p99 {report.p99_ms} ms")
    with asking(url, golden, key) as fresh:
        if not serving:
            shadow(fresh, None, settings.shadow_requests)
            say(f"{settings.shadow_requests} shadow requests right; nothing serves to compare with")
            return 0.0
        with asking(serving, golden, key) as current:
            comparison = shadow(fresh, current, settings.shadow_requests)
    times = f"p99 {comparison.new_ms} ms, of the one that serves {comparison.old_ms} ms"
    summary = f"{comparison.requests} shadow requests: {times}"
    allowed = max(comparison.old_ms * settings.shadow_p99_ratio, settings.p99_floor_ms)
    if comparison.new_ms > allowed:
        raise SmokeFailed(f"{summary}; at most {allowed:.0f} ms are allowed")
    say(summary)
    return comparison.old_ms
