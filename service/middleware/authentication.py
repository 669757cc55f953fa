"""Authentication: which requests are let in. Only liveness and readiness need no key; there are three ways to show one.

A partner shows its key in `x-api-key`. A browser opens the documentation with HTTP Basic, key as password;
Prometheus reads the metrics with a bearer key. All refusals read alike. An address that shows wrong keys is answered
429 after the first few, but a good key is good from any address.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Final

from service.access.credentials import id_of
from service.access.keystore import ApiKey, KeyStore, Scope
from service.access.security_log import SecurityEvent, SecurityLog
from service.access.shared_limits import FailureLimiter
from service.addresses import Networks, origin
from service.problems import FORBIDDEN, TOO_MANY_FAILURES, UNAUTHORIZED, Problem
from service.web.exchange import Call

_REALM: Final = b'realm="QuantumFinance"'
_CHALLENGE: Final = {
    Scope.DOCS: b"Basic " + _REALM + b', charset="UTF-8"',
    Scope.METRICS: b"Bearer " + _REALM,
}
_API_KEY: Final = b"ApiKey " + _REALM


@dataclass(slots=True)
class Access:
    """Admits requests by key and scope; what the security log has to know of it is noted there."""

    store: KeyStore
    failures: FailureLimiter
    security: SecurityLog
    proxies: Networks = ()

    def admit(self, call: Call, scope: Scope | None) -> ApiKey | Problem:
        """The key that the request shows. `scope` None: any good key will do.

        A good key is noted in the call even where its scopes refuse, so that the log can tell whose it was.
        """
        secret = _key_in(call.headers, scope)
        key = self.store.verify(secret, self.store.now()) if secret else None
        if key is None:
            return self._refuse(call, scope, secret)
        call.key = key
        address = self.address(call)
        self.security.used(key.id, address, call.route)
        if scope is not None and scope not in key.scopes:
            self.security.note(SecurityEvent.SCOPE_REFUSED, key=key.id, route=call.route, address=address)
            return FORBIDDEN
        return key

    def limited(self, call: Call) -> None:
        """Note that a key met a limit of its own."""
        if call.key is not None:
            address = self.address(call)
            self.security.note(SecurityEvent.LIMIT_HIT, key=call.key.id, route=call.route, address=address)

    def _refuse(self, call: Call, scope: Scope | None, secret: bytes) -> Problem:
        if secret:
            address = self.address(call)
            decision = self.failures.failed(address)
            event = SecurityEvent.KEY_REFUSED if decision.allowed else SecurityEvent.TOO_MANY_REFUSED
            self.security.note(event, key=id_of(secret), route=call.route, address=address)
            if not decision.allowed:
                return TOO_MANY_FAILURES.with_headers((b"retry-after", b"%d" % (decision.retry_after_s or 1)))
        challenges = [_CHALLENGE[scope]] if scope in _CHALLENGE else []
        return replace(UNAUTHORIZED, headers=tuple((b"www-authenticate", text) for text in (*challenges, _API_KEY)))

    def address(self, call: Call) -> str:
        """Where the request comes from: the peer, or the client that one of our proxies names."""
        return origin(call.address, call.headers.get(b"x-forwarded-for", b""), self.proxies)


def _key_in(headers: dict[bytes, bytes], scope: Scope | None) -> bytes:
    """The key in the request, or nothing; Basic and Bearer count on the routes they are for alone."""
    secret = headers.get(b"x-api-key")
    if secret:
        return secret
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if scope is Scope.METRICS and kind.lower() == b"bearer":
        return value.strip()
    if scope is Scope.DOCS and kind.lower() == b"basic":
        try:
            return base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            return b"?"  # a try all the same
    return b""
