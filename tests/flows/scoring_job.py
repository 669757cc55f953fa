"""A batch job in a process of its own, to be killed or measured: `python -m tests.flows.scoring_job JSON`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from flows.batch.job import ScoringTally, job_of, score
from flows.batch.workers import workers


def main() -> None:
    """Score as told; a JSON line with the seconds since the start for every tally."""
    told = json.loads(sys.argv[1])
    package, started = Path(told["package"]), time.monotonic()

    def say(so_far: ScoringTally) -> None:
        print(json.dumps({"at_s": time.monotonic() - started, **so_far.model_dump()}), flush=True)

    with workers(told.get("scheduler", ""), told.get("processes", 1)) as client:
        job = job_of(told["source"], package, told["chunk_rows"], told.get("reasons", False))
        score(job, package, told["target"], client, say)


if __name__ == "__main__":
    main()
