"""The control sockets of BentoML's supervisor, where nobody else reaches them.

`bentoml serve` watches its workers with circus, which takes commands on a TCP port of the loopback interface: add a
program, run it, no questions asked. Every user of the host could run code as the service. The sockets move into a
folder that only the service's own user may enter.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from bentoml._internal.utils import circus


class PrivateArbiter(circus.Arbiter):
    """BentoML's supervisor, commanded through a folder of mode 0700."""

    def __init__(self, watchers: Any, **options: Any) -> None:
        folder = tempfile.mkdtemp(prefix="supervisor-")
        sockets = {"endpoint": f"ipc://{folder}/control", "pubsub_endpoint": f"ipc://{folder}/events"}
        super().__init__(watchers, **{**options, **sockets})
        self.exit_stack.callback(shutil.rmtree, folder, ignore_errors=True)


def close() -> None:
    """Supervisors that BentoML makes from now on are private. It is asked for when the service is imported."""
    vars(circus)["Arbiter"] = PrivateArbiter
