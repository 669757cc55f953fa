"""The proxy and its switch: nginx out of `infra/proxy/nginx.conf.template`, started here or by somebody else.

The switch is a file that nginx looks at once a request, so it turns at once, wholly, and without a reload. The watch
log is written only while somebody watches, so it needs no rotation.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from bentos.deploying.slots import PROXY_SOURCE, Slot
from bentos.errors import DeployRefused
from bentos.processes import HOST, await_ready, last_line, last_line_of, port_taken
from bentos.settings import DeploySettings
from service import files

TEMPLATE: Final = Path("infra/proxy/nginx.conf.template")
START_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.05
CERTIFICATE_DAYS: Final = 365


class Switch:
    """The switch between the slots: `green` exists or not; `open` says that one of them does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "switch"

    def active(self) -> Slot | None:
        """The slot in front of partners; None before the first deployment."""
        if not (self._folder / "open").exists():
            return None
        return "green" if (self._folder / "green").exists() else "blue"

    def turn(self, slot: Slot) -> None:
        """Let this slot answer every request that comes from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if slot == "green":
            (self._folder / "green").touch()
        else:
            (self._folder / "green").unlink(missing_ok=True)
        (self._folder / "open").touch()
        files.sync_folder(self._folder)

    def close(self) -> None:
        """No slot answers: the proxy says 503."""
        (self._folder / "open").unlink(missing_ok=True)


class LoggedRequest(BaseModel):
    """One request as the proxy saw it: when (seconds since 1970), what, and how long the slot took."""

    model_config = ConfigDict(frozen=True)

    at: float
    method: str
    uri: str
    status: int
    s: str
    slot: str = Field(validation_alias=AliasChoices("slot", "colour"))  # as the proxy's log names it

    @property
    def score_ms(self) -> float | None:
        """Milliseconds of an answered single score; None for anything else, whose duration says little."""
        if (self.method, self.uri, self.status) != ("POST", "/v1/score", 200):
            return None
        return float(self.s.rpartition(",")[2]) * 1000


class WatchLog:
    """What the proxy sees while it is watched."""

    def __init__(self, folder: Path) -> None:
        self._sign, self._log = folder / "watch", folder / "watch.log"
        self._offset = 0

    def begin(self) -> None:
        """From now on every request is written down."""
        self.end()
        self._offset = 0
        self._sign.touch()

    def read(self) -> Iterator[LoggedRequest]:
        """Requests that were answered since the last look."""
        if not self._log.exists():
            return
        with self._log.open("rb") as file:
            file.seek(self._offset)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._offset += len(whole) + 1
            for line in whole.splitlines():
                yield LoggedRequest.model_validate(json.loads(line))

    def end(self) -> None:
        """Nothing is written any more, and what was is thrown away: nginx appends, so its file may be cut."""
        self._sign.unlink(missing_ok=True)
        if self._log.exists():
            os.truncate(self._log, 0)


class Proxy:
    """nginx of this project, or one that somebody else runs with the same template."""

    def __init__(self, settings: DeploySettings) -> None:
        self._settings = settings
        self._folder = settings.shared_dir
        self._run = self._folder / "run"
        self._config = self._run / "nginx.conf"

    @property
    def own(self) -> bool:
        """True if this project starts it."""
        return not self._settings.proxy_url

    def ensure(self) -> None:
        """The proxy runs, with the configuration the settings ask for.

        Raises:
            DeployRefused: there is no nginx, its port is taken, or it refuses its configuration.
        """
        if not self.own:
            if not self._folder.is_dir():
                raise DeployRefused(f"there is no folder {self._folder.name} shared with the proxy: set QF_PROXY_DIR")
            return
        program = shutil.which(self._settings.nginx) or shutil.which(self._settings.nginx, path="/usr/sbin:/sbin")
        if program is None:
            raise DeployRefused(
                "there is no proxy: nginx is not installed; install it, or set QF_NGINX or QF_PROXY_URL"
            )
        self._run.mkdir(parents=True, exist_ok=True)
        self._certificate()
        config, running = self._rendered(), self._pid() is not None
        changed = not self._config.exists() or self._config.read_text() != config
        if running and not changed:
            return
        if not running and port_taken(self._settings.port_proxy):
            raise DeployRefused(
                f"port {self._settings.port_proxy} for the proxy is taken by another program: "
                "stop it, or set QF_PORT_PROXY"
            )
        self._config.write_text(config)
        self._call(program, *(["-s", "reload"] if running else []))
        self._await()

    def stop(self) -> None:
        """It answers what it has begun, then ends."""
        program = shutil.which(self._settings.nginx) or shutil.which(self._settings.nginx, path="/usr/sbin:/sbin")
        if not self.own or program is None or self._pid() is None:
            return
        self._call(program, "-s", "quit")
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._pid() is not None and time.monotonic() < deadline:
            time.sleep(0.05)

    def trust(self) -> ssl.SSLContext | bool:
        """TLS settings for a client on this machine: it trusts the proxy's certificate for any name."""
        certificate = self._folder / "tls" / "server.crt"
        if not certificate.exists():
            return True
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        return context

    def _pid(self) -> int | None:
        try:
            pid = int((self._run / "nginx.pid").read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def _rendered(self) -> str:
        settings = self._settings
        template = settings.home / TEMPLATE
        if not template.is_file():
            raise DeployRefused(
                f"{TEMPLATE} is not in {settings.home.resolve().name}: set QF_HOME to the project's root"
            )
        text = template.read_text(encoding="utf-8")
        for name, value in {
            "DIR": str(self._folder),
            "RUN": str(self._run),
            "LISTEN": f"{settings.proxy_bind}:{settings.port_proxy}",
            "BLUE": f"{HOST}:{settings.port_blue}",
            "GREEN": f"{HOST}:{settings.port_green}",
            "SOURCE": PROXY_SOURCE,
        }.items():
            text = text.replace(f"${{QF_PROXY_{name}}}", value)
        return text

    def _call(self, program: str, *arguments: str) -> None:
        # Started by root it would answer as another user, who may not read the state folder: it stays who it is.
        who = ["-g", "user root;"] if os.geteuid() == 0 else []
        log = self._run / "error.log"
        with log.open("ab") as output:
            since = output.tell()
            command = [program, "-p", str(self._run), "-c", str(self._config), "-e", "stderr", *who, *arguments]
            process = subprocess.run(command, stdout=output, stderr=output, timeout=START_TIMEOUT_S, check=False)
        if process.returncode != 0:
            raise DeployRefused(f"nginx refuses: {last_line_of(log, since)}")

    def _await(self) -> None:
        def listening() -> bool:
            return self._pid() is not None and port_taken(self._settings.port_proxy)

        if await_ready(listening, lambda: True, START_TIMEOUT_S, POLL_S) != "ready":
            raise DeployRefused(f"nginx does not come up: {last_line_of(self._run / 'error.log')}")

    def _certificate(self) -> None:
        """A certificate for this machine alone, unless one lies there."""
        folder = self._folder / "tls"
        if (folder / "server.crt").exists() and (folder / "server.key").exists():
            return
        openssl = shutil.which("openssl")
        if openssl is None:
            raise DeployRefused(
                "the proxy needs tls/server.crt and tls/server.key in its folder (no openssl to make one)"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt")]
        command += ["-days", str(CERTIFICATE_DAYS), "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if process.returncode != 0:
            raise DeployRefused(f"openssl makes no certificate: {last_line(process.stderr)}")
        (folder / "server.key").chmod(0o600)
