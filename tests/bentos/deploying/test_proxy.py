"""The proxy in front of both slots keeps its promises, whatever stands behind it."""

from __future__ import annotations

import socket
import ssl
import time

import httpx
import pytest

from bentos.deploying.proxy import Proxy, Switch
from bentos.processes import HOST
from tests.bentos.hosts import StandInHost


def test_the_proxy_keeps_its_promises(settled: StandInHost) -> None:
    """TLS only, HSTS, sizes, no metrics, headers in time; each refusal in the shape of all others."""
    trust, port = Proxy(settled.settings).trust(), settled.settings.port_proxy
    assert isinstance(trust, ssl.SSLContext)
    with httpx.Client(base_url=settled.settings.public_url, verify=trust) as client:
        right = client.get("/v1/model")
        refused = [
            client.get("/metrics"),
            client.get("/v1/model", headers={"x-large": "x" * 17_000}),
            client.post("/v1/score", content=b" " * (2**21 + 1)),
            httpx.get(f"http://{HOST}:{port}/livez"),
            client.get("/v1/" + "x" * 17_000),
        ]

    assert right.status_code == 200
    assert right.headers["strict-transport-security"] == "max-age=31536000"
    assert [answer.status_code for answer in refused] == [404, 431, 413, 400, 431]
    for answer in refused:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code
        assert answer.json()["instance"].startswith("urn:request:")
    for head in (b"HTTP/1.1\r\nhost: h\r\ntransfer-encoding: gzip, chunked", b"HTTP/2.0\r\nhost: h"):
        with socket.create_connection((HOST, port)) as raw, trust.wrap_socket(raw) as odd:
            odd.sendall(b"POST /v1/score " + head + b"\r\n\r\n")
            said = odd.recv(1000)
            assert said.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in said  # as its body says
    with socket.create_connection((HOST, port)) as raw, trust.wrap_socket(raw) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\nhost: h\r\nx-slow: ")
        slow.settimeout(15)
        assert slow.recv(100) == b""


def test_who_drips_behind_a_refusal_is_cut_off(settled: StandInHost) -> None:
    """A body that is too large, sent a byte at a time without an end: the answer is there at once, the connection soon
    gone."""
    trust = Proxy(settled.settings).trust()
    assert isinstance(trust, ssl.SSLContext)
    with socket.create_connection((HOST, settled.settings.port_proxy)) as raw, trust.wrap_socket(raw) as drip:
        drip.sendall(b"POST /v1/score HTTP/1.1\r\nhost: h\r\ncontent-length: 90000000\r\n\r\n")
        assert drip.recv(1000).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(OSError):  # closed, or reset where the last bytes met no reader
            for _ in range(40):  # in twenty seconds: nginx by itself would take thirty
                time.sleep(0.5)
                drip.sendall(b"a")


def test_no_slot_is_never_guessed(settled: StandInHost) -> None:
    """Without the sign that a slot is up, or with a slot gone, the answer is 503 and says when to ask again."""
    switch, trust = Switch(settled.settings.shared_dir), Proxy(settled.settings).trust()
    answers = []
    try:
        for spoil in (switch.close, lambda: switch.turn("green")):
            spoil()
            answers.append(httpx.get(f"{settled.settings.public_url}/v1/model", verify=trust))
    finally:
        switch.turn("blue")

    for answer in answers:
        assert (answer.status_code, answer.json()["status"], answer.headers["retry-after"]) == (503, 503, "1")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
