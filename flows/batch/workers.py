"""Who scores a job's pieces: Dask's workers of this host, or those of a scheduler."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from distributed import Client, LocalCluster

from flows.batch.errors import BatchRefused

JOIN_TIMEOUT_S: Final = 60


@contextmanager
def workers(scheduler: str, processes: int, patience_s: float = JOIN_TIMEOUT_S) -> Iterator[Client]:
    """Workers of the Dask scheduler at an address, or `processes` of this host if it is empty.

    Raises:
        BatchRefused: no scheduler answers there, or it has no workers.
    """
    if not scheduler:
        with tempfile.TemporaryDirectory(prefix="scoring-workers-") as own, _own_cluster(processes, own) as cluster:
            with Client(cluster) as client:
                yield client
        return
    try:
        client = Client(scheduler, timeout=patience_s)
        client.wait_for_workers(1, timeout=patience_s)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise BatchRefused(f"no Dask scheduler with a worker answers at {scheduler}: QF_DASK_SCHEDULER") from error
    with client:
        yield client


def _own_cluster(processes: int, folder: str) -> LocalCluster:
    return LocalCluster(
        n_workers=processes,
        threads_per_worker=1,
        security=True,  # encrypted even here: who may talk to a scheduler may run code, other users of this host too
        local_directory=folder,  # what workers put aside are pickles, and elsewhere the folder is everybody's
        dashboard_address="127.0.0.1:0",
        silence_logs=40,
    )
