"""The visitor of a page and what they may see: by Streamlit's own sign-in, by the proxy's user, or nobody in
particular.

Without sign-in the page is a demo: it says so, it listens on this machine alone (`.streamlit/config.toml`), and the
staff's pages are for whoever sits at it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from ui.settings import Visitors

ANONYMOUS: Final = "visitor"
_FORWARDED: Final = "X-Forwarded-For"


@dataclass(frozen=True)
class Visitor:
    """One visitor: a name to count by, whether they signed in, and whether they are staff."""

    name: str
    known: bool
    staff: bool


def must_sign_in(settings: Visitors) -> bool:
    """True if the visitor has to sign in before the page shows anything."""
    return settings.sign_in and not user().get("is_logged_in")


def current_visitor(settings: Visitors) -> Visitor:
    """The visitor of this run."""
    if settings.sign_in:
        return _visitor(str(user().get("email") or user().get("sub") or ""), settings)
    if settings.header:
        return _visitor(header(settings.header), settings)
    # A proxy on this machine makes everybody come from here: whom it forwards is not at this machine.
    here = _is_here(address()) and not header(_FORWARDED)
    return Visitor(address() or ANONYMOUS, known=False, staff=here)


def header(name: str) -> str:
    """The value of this header, which the proxy in front of the page sets."""
    return str(st.context.headers.get(name) or "")


def _visitor(name: str, settings: Visitors) -> Visitor:
    """A named visitor; one whom the proxy names nobody sees no staff page."""
    if not name:
        return Visitor(address() or ANONYMOUS, known=False, staff=False)
    return Visitor(name, known=True, staff=name.casefold() in settings.staff)


def address() -> str | None:
    """The address of the browser's connection."""
    return st.context.ip_address


def user() -> Mapping[str, Any]:
    """Who signed in, as the company's sign-in names them."""
    return st.user.to_dict()


def _is_here(host: str | None) -> bool:
    """True if the browser runs on this machine: Streamlit names no address then, or a loopback one."""
    try:
        return host is None or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
