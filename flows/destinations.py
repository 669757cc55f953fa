"""Where a notification block sends: its name stands in a form, its address in a block, and neither may point inwards.

A worker reaches what a form's author does not: the loopback of its machine, the cluster's services, a cloud's metadata
(169.254.169.254). So every host that a block names must have public addresses alone, or lie in `QF_NOTIFY_NETWORKS`.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, SecretStr

from service.addresses import Networks, among
from service.jobs.webhooks import public

_HOST_FIELDS: Final = frozenset({"host", "hostname", "server", "smtp", "smtp_server"})
"""Fields of blocks, and parameters in Apprise's addresses, that name a host by itself."""


class DestinationRefused(ValueError):
    """The block may not be called; the text says why and repeats nothing of its address, which may hold a secret."""


def require_outside(block: BaseModel, allowed: Networks) -> None:
    """Make sure that every host which the block names is public or allowed.

    Raises:
        DestinationRefused: one is neither, or cannot be told before the block is called.
        OSError: a name has no address.
    """
    for host in set(_hosts(block)):
        for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
            address = str(entry[4][0]).partition("%")[0]
            if not among(address, allowed) and not public(ip_address(address)):
                raise DestinationRefused("its address lies within the network and not in QF_NOTIFY_NETWORKS")
    if not allowed and hasattr(block, "allow_private_urls"):
        # The block's own check: it connects to the very address that it looked at, whatever the name means then.
        block.allow_private_urls = False


def _hosts(block: BaseModel) -> Iterator[str]:
    for name in type(block).model_fields:
        value: Any = getattr(block, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str) or not text:
            continue
        if name in _HOST_FIELDS:
            yield text
        elif "://" in text and name.endswith("url"):
            yield from _hosts_in(text)


def _hosts_in(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise DestinationRefused("its address is none") from error
    if not host or "{{" in parts.netloc:
        raise DestinationRefused("its address must name a host outright")
    yield host
    yield from (value for name, value in parse_qsl(parts.query) if name.lower() in _HOST_FIELDS)
