"""Tells a partner's server that a job ended: one signed POST, to public addresses alone.

Signed as standardwebhooks.com says: `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64 of
HMAC-SHA-256 over "id.timestamp.body">`, under the partner's secret, which is derived from the pepper. The name is
resolved once, every address it has must be allowed, and that very address is connected to: what a name means later
does not matter, nor does a redirect, which is not followed.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from service.addresses import Networks, among

TRIES_AFTER_S: Final = (0.0, 5.0, 60.0, 600.0, 3600.0)
TIMEOUT_S: Final = 10.0
_TRANSLATED: Final = ip_network("64:ff9b::/96")  # NAT64: an IPv4 address in other clothes
_UNICAST: Final = ip_network("2000::/3")
"""All that IANA gives the internet; outside lie a network's own NAT64 (RFC 8215) and IPv4 in older clothes."""
_WITHIN: Final = tuple(map(ip_network, ("192.0.0.0/24", "168.63.129.16/32", "3fff::/20")))
"""What passes for public and is not: protocols' own (192.0.0.192 is a cloud's metadata; Pythons before 3.11.10 take
most of it for public, CVE-2024-4032), Azure's host as each of its machines sees it, and documentation (RFC 9637)."""

_RULE: Final = "must be an https address of a public host"


class WebhookRefused(ValueError):
    """The address may not be called; the text says why and repeats nothing of it."""


def checked(url: str, allowed: Networks) -> SplitResult:
    """The address in its parts.

    Raises:
        WebhookRefused: no https (http only towards allowed networks), no host, or with a user.
    """
    if not url.isascii() or any(character <= " " for character in url):
        raise WebhookRefused(_RULE)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as it is looked up: no name has an empty label, or one of more than 63 letters
    except ValueError:
        raise WebhookRefused(_RULE) from None
    plain = parts.scheme == "http" and bool(allowed)
    if not (parts.scheme == "https" or plain) or not host or port == 0 or "@" in parts.netloc:
        raise WebhookRefused(_RULE)
    return parts


def resolved(parts: SplitResult, allowed: Networks) -> tuple[str, int]:
    """An address of the host, and the port.

    Raises:
        WebhookRefused: one of its addresses is neither public nor allowed.
        OSError: it has none.
    """
    port = parts.port or (443 if parts.scheme == "https" else 80)
    entries = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [str(one[4][0]) for one in entries]
    for address in addresses:
        inside = among(address, allowed)
        if not inside and (parts.scheme == "http" or not public(ip_address(address.partition("%")[0]))):
            raise WebhookRefused(_RULE)
    return addresses[0], port


def public(address: IPv4Address | IPv6Address) -> bool:
    """True if an address belongs to the internet: no loopback, private, link-local or metadata address in any form."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return public(inner)
        if address in _TRANSLATED:
            return public(IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _WITHIN)


def signature(secret: bytes, identifier: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    message = f"{identifier}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, message, "sha256")).decode()


def deliver(url: str, body: bytes, secret: bytes, identifier: str, allowed: Networks, traceparent: str = "") -> None:
    """Send one message; blocks.

    Raises:
        WebhookRefused: the address may not be called.
        OSError: it was not taken (no answer, or none of 2xx).
    """
    parts = checked(url, allowed)
    address, port = resolved(parts, allowed)
    now = int(time.time())
    headers = {
        "content-type": "application/json",
        "user-agent": "quantumfinance-webhook",
        "webhook-id": identifier,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(secret, identifier, now, body),
        "host": parts.netloc,
        **({"traceparent": traceparent} if traceparent else {}),
    }
    connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=TIMEOUT_S)
    try:
        line = socket.create_connection((address, port), timeout=TIMEOUT_S)
        with _cut_off_after(TIMEOUT_S, line):
            if parts.scheme == "https":
                line = ssl.create_default_context().wrap_socket(line, server_hostname=parts.hostname)
            connection.sock = line
            connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
            status = connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(f"no answer of HTTP ({type(error).__name__})") from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise OSError(f"answered {status}")


@contextmanager
def _cut_off_after(seconds: float, line: socket.socket) -> Iterator[None]:
    """End the connection if the block takes longer: a socket's own time limit begins anew with each byte it gets."""
    with socket.socket(fileno=os.dup(line.fileno())) as wire:  # `line` may be wrapped meanwhile
        timer = threading.Timer(seconds, _shut, (wire,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(wire: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        wire.shutdown(socket.SHUT_RDWR)
