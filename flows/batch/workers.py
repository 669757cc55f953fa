"""The workers that score a job's pieces: Dask's workers of this host, or those of a scheduler."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from distributed import Client, LocalCluster

from flows.batch.errors import BatchRefused

JOIN_TIMEOUT_S: Final = 60


@contextmanager
def workers(scheduler: str, processes: int, patience_s: float = JOIN_TIMEOUT_S) -> Iterator[Client]:
    """Workers of the Dask scheduler at an address, or `processes` of this host if it is empty.

    Raises:
        BatchRefused: no scheduler answers there, or it has no workers; or those of this host have no folder of theirs.
    """
    if not scheduler:
        with _own_cluster(processes, own_folder()) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=patience_s)
        client.wait_for_workers(1, timeout=patience_s)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise BatchRefused(f"no Dask scheduler with a worker answers at {scheduler}: QF_DASK_SCHEDULER") from error
    with client:
        yield client


def own_folder() -> Path:
    """Where workers of this host put aside what does not fit into memory; Dask clears away what killed ones left there.

    That is pickles, which run when they are read, and Dask's own choice is a folder that is everybody's.

    Raises:
        BatchRefused: somebody else could write there.
    """
    place = Path(tempfile.gettempdir(), f"scoring-workers-{os.getuid()}")
    with suppress(FileExistsError):
        place.mkdir(mode=0o700)
    status = place.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise BatchRefused(f"{place} is not this user's alone: remove it, or set TMPDIR to another folder")
    return place


def _own_cluster(processes: int, folder: Path) -> LocalCluster:
    return LocalCluster(
        n_workers=processes,
        threads_per_worker=1,
        security=True,  # encrypted even here: who may talk to a scheduler may run code, other users of this host too
        local_directory=str(folder),
        dashboard_address="127.0.0.1:0",
        silence_logs=40,
    )
