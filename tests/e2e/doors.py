"""Knocking at every port that the processes of a stack listen on, as a foreign page and as a stranger would."""

from __future__ import annotations

import http.client
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psutil

FOREIGN = "evil.example"
ORIGIN = f"https://{FOREIGN}"
PATHS = (
    *("/", "/api/", "/api/admin/version", "/api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/users/list"),
    *("/v1/model", "/docs", "/openapi.json", "/metrics", "/debug/pprof/", "/minio/v2/metrics/cluster", "/data"),
)
CHANGES = (
    "/api/deployments/",
    "/api/flow_runs/",
    "/api/2.0/mlflow/runs/create",
    "/v1/score",
    "/data",
    "/_stcore/upload",
)
SOCKETS = ("/_stcore/stream", "/api/events/in", "/api/logs/out")
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
UPGRADE = {
    **{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
    **{"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "streamlit, prefect"},
}
PATIENCE_S = 30


@dataclass(frozen=True)
class Port:
    """Where a process listens."""

    process: str
    address: str
    number: int


def listening(processes: Iterable[psutil.Process]) -> list[Port]:
    """Every TCP port that one of the processes listens on."""
    found = {}
    for process in processes:
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                found[connection.laddr.port] = Port(
                    " ".join(process.cmdline()[:4]), connection.laddr.ip, connection.laddr.port
                )
    return list(found.values())


def knocks(port: Port) -> Iterator[tuple[str, str, dict[str, str], bool]]:
    """Method, path, headers and whether a page's empty shell is a fair answer, for each way of coming uninvited."""
    own = {"Host": f"{port.address}:{port.number}"}
    for host in (own, {"Host": FOREIGN}, {"Host": f"{FOREIGN}:{port.number}"}):
        stranger = host is own
        for path in PATHS:
            yield "GET", path, dict(host), stranger and path == "/"
            yield "OPTIONS", path, {**host, "Origin": ORIGIN, **PREFLIGHT}, True
        for path in CHANGES:
            yield "POST", path, {**host, "Content-Type": "application/json"}, False
            yield "POST", path, {**host, "Content-Type": "application/json", "Origin": ORIGIN}, False
        for path in SOCKETS:
            yield "GET", path, {**host, **UPGRADE, "Origin": ORIGIN}, False


def ask(port: Port, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status and the origin that may read the answer."""
    connection = http.client.HTTPConnection(port.address, port.number, timeout=PATIENCE_S)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, **({"Content-Length": "2"} if method == "POST" else {})}.items():
            connection.putheader(name, value)
        connection.endheaders(b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Access-Control-Allow-Origin", "")
    finally:
        connection.close()


def let_in(port: Port) -> list[str]:
    """One line for each way in that is open; a port that does not speak HTTP is one too, since nothing guards it."""
    found = []
    for method, path, headers, shell in knocks(port):
        told = f"{port.process} on {port.number}: {method} {path} {headers}"
        try:
            status, readers = ask(port, method, path, headers)
        except (http.client.HTTPException, OSError) as error:
            return [f"{told}: {type(error).__name__}"]
        refused = 400 <= status < 600 or (shell and status in (200, 204))
        if not refused or readers == "*" or FOREIGN in readers:
            found.append(f"{told}: {status}, readable by {readers or 'no other page'}")
    return found
