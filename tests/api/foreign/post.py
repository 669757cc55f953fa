"""Posts a file with one of Python's clients and prints the status: `post.py CLIENT URL KEY FILE [CERTIFICATE]`."""

from __future__ import annotations

import http.client
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import requests


def _trust(certificate: str) -> ssl.SSLContext | None:
    if not certificate:
        return None
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def by_urllib(url: str, headers: dict[str, str], body: bytes, certificate: str) -> int:
    """The standard library, as most people call it."""
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, context=_trust(certificate)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def by_http_client(url: str, headers: dict[str, str], body: bytes, certificate: str) -> int:
    """The standard library, one floor down."""
    parts = urlsplit(url)
    assert parts.hostname
    context = _trust(certificate)
    connection = (
        http.client.HTTPSConnection(parts.hostname, parts.port, context=context)
        if context
        else http.client.HTTPConnection(parts.hostname, parts.port)
    )
    connection.request("POST", parts.path, body, headers)
    return connection.getresponse().status


def by_requests(url: str, headers: dict[str, str], body: bytes, certificate: str) -> int:
    """requests, which sends head and body apart."""
    return int(requests.post(url, body, headers=headers, verify=certificate or True, timeout=60).status_code)


def by_httpx(url: str, headers: dict[str, str], body: bytes, certificate: str) -> int:
    """httpx."""
    return httpx.post(url, content=body, headers=headers, verify=_trust(certificate) or True, timeout=60).status_code


if __name__ == "__main__":
    client, address, key, file, *more = sys.argv[1:]
    sent = {"x-api-key": key, "content-type": "application/json"}
    ask = {"urllib": by_urllib, "http.client": by_http_client, "requests": by_requests, "httpx": by_httpx}[client]
    print(ask(address, sent, Path(file).read_bytes(), more[0] if more else ""))
