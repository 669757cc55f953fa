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
    """Method, path, headers and whether an empty page is a fair answer, for each way of coming uninvited."""
    own = {"Host": f"{port.address}:{port.number}"}
    for host in (own, {"Host": FOREIGN}, {"Host": f"{FOREIGN}:{port.number}"}):
        stranger = host is own
        for path in PATHS:
            yield "GET", path, dict(host), stranger
            yield "OPTIONS", path, {**host, "Origin": ORIGIN, **PREFLIGHT}, True
        for path in CHANGES:
            yield "POST", path, {**host, "Content-Type": "application/json"}, False
            yield "POST", path, {**host, "Content-Type": "application/json", "Origin": ORIGIN}, False
        for path in SOCKETS:
            yield "GET", path, {**host, **UPGRADE, "Origin": ORIGIN}, False


@dataclass(frozen=True)
class Answer:
    """What a port said: status (0: it hung up without a word), who else may read it, and of what kind it is."""

    status: int
    readers: str = ""
    kind: str = ""

    def refuses(self, page: bool) -> bool:
        """Whether it let nobody in: an error, or where `page` is fair the page before its sign-in, without data."""
        turned_away = not self.status or 300 <= self.status < 600
        empty = self.status == 204 or (self.status == 200 and (not self.kind or self.kind.startswith("text/")))
        return (turned_away or (page and empty)) and self.readers != "*" and FOREIGN not in self.readers


def ask(port: Port, method: str, path: str, headers: Mapping[str, str]) -> Answer:
    """One request on a connection of its own.

    Raises:
        http.client.HTTPException: the port speaks, but not HTTP.
    """
    connection = http.client.HTTPConnection(port.address, port.number, timeout=PATIENCE_S)
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, **({"Content-Length": "2"} if method == "POST" else {})}.items():
            connection.putheader(name, value)
        connection.endheaders(b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        return Answer(
            answer.status,
            answer.getheader("Access-Control-Allow-Origin", ""),
            answer.getheader("Content-Type", ""),
        )
    except ConnectionResetError:  # http.client's RemoteDisconnected too: what asks for a token of its own first
        return Answer(0)
    finally:
        connection.close()


def let_in(port: Port) -> list[str]:
    """One line for each way in that is open; a port that does not speak HTTP is one too, since nothing guards it."""
    found = []
    for method, path, headers, page in knocks(port):
        told = f"{port.process} on {port.number}: {method} {path} {headers}"
        try:
            answer = ask(port, method, path, headers)
        except ConnectionRefusedError:
            return found  # it was let go since it was found, as a flow run's own port is: a listener refuses nobody so
        except (http.client.HTTPException, OSError) as error:
            return [f"{told}: {type(error).__name__}"]
        if not answer.refuses(page):
            found.append(f"{told}: {answer}")
    return found
