"""One Chromium for every test that looks at a page, and one way to open a page in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from playwright.sync_api import Error

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request, Route

OPTIONS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS: Final = 180_000  # for a page on two busy cores
# What the machine did, not the page: an interface came or went, as each container's does when it starts and stops.
NETWORK_CHANGES: Final = ("net::ERR_NETWORK_CHANGED", "net::ERR_INTERNET_DISCONNECTED")
_LOOK_MS: Final = 100


def network_changed(request: Request) -> bool:
    """Whether a request failed since the machine's network changed."""
    return request.failure in NETWORK_CHANGES


def lost_once(page: Page, pattern: str) -> list[str]:
    """Let a changed network take the first request that fits; the list holds its address once it was taken."""
    losses: list[str] = []

    def cut(route: Route) -> None:
        if losses:
            route.continue_()
        else:
            losses.append(route.request.url)
            route.abort("internetdisconnected")

    page.route(pattern, cut)
    return losses


def opened(page: Page, url: str, sign: str, patience_ms: float = PATIENCE_MS) -> None:
    """`url` in `page`, waited for until `sign`, a selector, is seen.

    When the network of the machine changes, Chromium fails whatever waits for a connection, loopback too. Where a
    module of the page was among it nothing is ever drawn: the page is then loaded again, as a person would.

    Raises:
        playwright.sync_api.Error: the page does not load, or the sign is not seen in `patience_ms`.
    """
    lost: list[str] = []

    def note(request: Request) -> None:
        if network_changed(request):
            lost.append(request.url)

    page.on("requestfailed", note)
    deadline, loaded = time.monotonic() + patience_ms / 1000, False
    try:
        while not loaded or lost or not page.locator(sign).first.is_visible():
            if time.monotonic() > deadline:
                page.locator(sign).first.wait_for(timeout=_LOOK_MS)  # which says what is missing
                break
            if not loaded or lost:
                lost.clear()
                loaded = _loaded(page, url)
            page.wait_for_timeout(_LOOK_MS)
    finally:
        page.remove_listener("requestfailed", note)


def _loaded(page: Page, url: str) -> bool:
    """Whether the document came; what else it needs may be missing."""
    try:
        page.goto("about:blank")  # else an address that differs in its fragment alone is not loaded again
        page.goto(url, timeout=PATIENCE_MS)
    except Error as error:
        if not any(change in error.message for change in NETWORK_CHANGES):
            raise
        return False
    return True
