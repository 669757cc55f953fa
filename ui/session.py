"""What one visitor's run needs, built once at the top: texts, formats, settings, the client; and what is remembered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import httpx
import streamlit as st
from pydantic import SecretStr

from ui.api.allowance import Allowance
from ui.api.client import ApiReply, Client
from ui.api.errors import ApiError
from ui.api.exchange import Exchange
from ui.api.limits import Limit
from ui.errors import SettingsMissing
from ui.settings import UiSettings, read_settings
from ui.texts.formats import Formats, zone_of
from ui.texts.wording import Texts, choose_language, texts
from ui.visitors import ANONYMOUS, Visitor, current_visitor

TRANSPORT: Final = "transport"  # a test puts an httpx transport here
LANGUAGE: Final = "language"
_EXCHANGE: Final = "last_exchange"
_LIMITS: Final = "last_limits"
_TEST_LIMITS: Final = "last_test_limits"
_STAFF: Final = "staff"
_MANIFEST: Final = "manifest"


@dataclass(frozen=True)
class PageContext:
    """Everything a view works with."""

    texts: Texts
    formats: Formats
    settings: UiSettings
    client: Client
    visitor: Visitor = Visitor(ANONYMOUS, known=False, staff=False)
    test_client: Client | None = None  # with the test key, where the secrets name one

    @property
    def for_staff(self) -> bool:
        """True if staff's pages are shown: to staff, with a key of scope `staff`, where the secrets name the reports.

        The API is asked once a session, and only where there is something to show; what it does not say is no.
        """
        if self.settings.reports is None or not self.visitor.staff:
            return False
        if _STAFF not in st.session_state:
            try:
                st.session_state[_STAFF] = "staff" in self.client.scopes()
            except ApiError:
                return False
        return bool(st.session_state[_STAFF])

    def manifest(self, digest: str = "") -> dict[str, Any]:
        """What the API says of its model, asked once a model and session; empty where it does not say."""
        manifest: dict[str, Any] | None = st.session_state.get(_MANIFEST)
        if manifest is None or (digest and manifest.get("digest") != digest):
            try:
                reply = self.client.model()
            except ApiError:
                return {}
            manifest = reply.value
            st.session_state.setdefault(_LIMITS, reply.limits)
            st.session_state[_MANIFEST] = manifest
        return manifest

    def remember(self, reply: ApiReply[Any], *, test_key: bool = False) -> None:
        """Keeps what was just sent and got, for the developers' page; each key has limits of its own."""
        st.session_state[_EXCHANGE] = reply.exchange
        st.session_state[_TEST_LIMITS if test_key else _LIMITS] = reply.limits

    def remember_error(self, error: ApiError) -> None:
        """Keeps a refused request too: that is when a developer looks."""
        if error.exchange is not None:
            st.session_state[_EXCHANGE] = error.exchange


def last_exchange() -> Exchange | None:
    """The request made last in this session, if any."""
    exchange: Exchange | None = st.session_state.get(_EXCHANGE)
    return exchange


def last_limits(*, test_key: bool = False) -> tuple[Limit, ...]:
    """The limits of the page's key, or of its test key, as the last answer told them."""
    limits: tuple[Limit, ...] = st.session_state.get(_TEST_LIMITS if test_key else _LIMITS, ())
    return limits


def language() -> str:
    """The language chosen by the visitor, else by the browser."""
    choice = st.session_state.get(LANGUAGE)
    return str(choice) if choice else choose_language(st.context.locale)


def secrets() -> dict[str, Any]:
    """Streamlit's secrets, or `SettingsMissing`. The parser's own message may quote the file: it is not repeated."""
    try:
        return dict(st.secrets.to_dict())
    except FileNotFoundError as error:
        raise SettingsMissing("secrets.toml", "missing") from error
    except Exception:  # pylint: disable=broad-exception-caught  # toml's error quotes the line, which may be the key
        raise SettingsMissing("secrets.toml", "malformed") from None


def page_context() -> PageContext:
    """The context of this run; `SettingsMissing` where a secret is absent or senseless."""
    settings = read_settings(secrets())
    transport: httpx.BaseTransport | None = st.session_state.get(TRANSPORT)
    formats = Formats(language(), settings.currency, zone_of(st.context.timezone))
    visitor = current_visitor(settings.visitors)
    spend = partial(_allowance(settings.visitors.tokens_a_minute).spend, visitor.name)

    def client_with(key: SecretStr) -> Client:
        with_key = replace(settings, key=key)
        client = Client(with_key, transport) if transport is not None else _client(with_key, _mark(with_key))
        return client.paid_by(spend)

    test_client = client_with(settings.test_key) if settings.test_key is not None else None
    return PageContext(texts(language()), formats, settings, client_with(settings.key), visitor, test_client)


@st.cache_resource(show_spinner=False)
def _allowance(tokens_a_minute: float) -> Allowance:
    """What the visitors of this server have spent."""
    return Allowance(tokens_a_minute)


@st.cache_resource(show_spinner=False, max_entries=4)
def _client(_settings: UiSettings, mark: str) -> Client:  # pylint: disable=unused-argument  # the cache's key
    """One client, so one pool of connections, for all visitors; a changed endpoint or key makes a new one."""
    return Client(_settings)


def _mark(settings: UiSettings) -> str:
    return hashlib.sha256(f"{settings.endpoint}\n{settings.key.get_secret_value()}".encode()).hexdigest()
