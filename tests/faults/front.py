"""Hosts of the service as partners meet them: behind the shipped proxy, on one database and one Redis."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bentos.deploying.proxy import Proxy, Switch
from bentos.deploying.slots import PROXY_SOURCE
from bentos.processes import free_port
from bentos.settings import DeploySettings
from service import keys
from tests.bentos.hosts import HOME
from tests.faults.served_bento import descendants, kill_tree, serve

PARTNER: Final = "chaos"
START_S: Final = 180
END_S: Final = 60


class Front:
    """So many places for hosts, all of them known to the proxy, whether a host runs there or not."""

    def __init__(self, folder: Path, nginx: str, places: int, environment: Mapping[str, str]) -> None:
        self.ports = [free_port() for _ in range(places)]
        self.folders = [folder / f"host-{place}" for place in range(places)]
        self._database = environment["QF_DATABASE_URL"]
        self._environment = {**environment, "QF_TRUSTED_PROXIES": PROXY_SOURCE, "QF_WORKERS": "1"}
        for place in self.folders:
            place.mkdir()
        self.api_key = self.issue(PARTNER, 1_000_000)
        for place in self.folders[1:]:
            shutil.copy2(self.folders[0] / "pepper", place / "pepper")
        settings = DeploySettings(
            home=HOME,
            state_dir=folder / "state",
            service_dir=self.folders[0],
            port_blue=self.ports[0],
            port_green=free_port(),
            port_proxy=free_port(),
            nginx=nginx,
        )
        self.port, self._shared, self._proxy = settings.port_proxy, settings.shared_dir, Proxy(settings)

    @property
    def trust(self) -> ssl.SSLContext:
        """The proxy's certificate."""
        trust = self._proxy.trust()
        assert isinstance(trust, ssl.SSLContext)
        return trust

    def issue(self, partner: str, burst: int) -> str:
        """A key of a partner that gets no token back in the time of a test."""
        rate, daily = (1e5, 10**9) if burst >= 1_000_000 else (1e-6, burst)
        return keys.issue(
            self.folders[0],
            partner,
            rate=rate,
            burst=burst,
            daily=daily,
            test=partner != PARTNER,
            database=self._database,
        )

    def open(self) -> None:
        """The proxy runs and hands on."""
        hosts = self._shared / "hosts" / "blue"
        hosts.mkdir(parents=True)
        for port in self.ports[1:]:
            (hosts / f"{port}.conf").write_text(f"server 127.0.0.1:{port} max_fails=1 fail_timeout=3s;\n")
        self._proxy.ensure()
        Switch(self._shared).turn("blue")

    def close(self) -> None:
        """The proxy ends."""
        self._proxy.stop()

    def start(self, place: int, bento: Path | None = None, **more: str) -> subprocess.Popen[bytes]:
        """Start a host, with settings of its own; it is ready some seconds later."""
        return serve(self.ports[place], self.folders[place], {**self._environment, **more}, bento)

    def ask(
        self, place: int, method: str, path: str, body: bytes | None = None, key: str = "", **headers: str
    ) -> tuple[int, bytes]:
        """Status and body of a request to one host, past the proxy, as the partner or with another key."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[place], timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(
                method, path, body, {"x-api-key": key or self.api_key, "content-type": "application/json", **sent}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def is_ready(self, place: int) -> bool:
        """Whether a host says so."""
        try:
            return self.ask(place, "GET", "/readyz")[0] == 200
        except OSError:
            return False

    def await_ready(self, place: int) -> None:
        """Until it is."""
        deadline = time.monotonic() + START_S
        while not self.is_ready(place):
            log = self.folders[place] / "server.log"
            assert time.monotonic() < deadline, f"host {place} is not ready: {log.read_text()[-2000:]}"
            time.sleep(0.1)

    def workers(self, process: subprocess.Popen[bytes]) -> list[int]:
        """The processes of a host that answer."""
        return [pid for pid in descendants(process.pid) if b"worker.service" in _command(pid)]

    def leave(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a host to go, and wait until it is gone."""
        process.terminate()
        try:
            process.wait(END_S)
        finally:
            kill_tree(process)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
