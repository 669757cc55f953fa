"""A partner's program in Python: `python -m tests.bench.python_client requests|httpx URL BODIES SECONDS KEY`.

One session, one request after another, a body a line of the file in turn; says what `wrk` says, for `tests.bench.load`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import requests

WARM: Final = 10
Ask = Callable[[bytes], bool]


def asking(library: str, url: str, headers: dict[str, str]) -> Ask:
    """Sends a body and reads the answer whole; whether that was a 200."""
    if library == "requests":
        session = requests.Session()
        session.headers.update(headers)
        return lambda body: session.post(url, data=body, timeout=30).status_code == httpx.codes.OK
    client = httpx.Client(headers=headers, timeout=30)
    return lambda body: client.post(url, content=body).status_code == httpx.codes.OK


def main() -> None:
    """Ask for so many seconds and say what it took."""
    library, url, path, seconds, key = sys.argv[1:]
    ask = asking(library, url, {"content-type": "application/json", "x-api-key": key})
    bodies = cycle(Path(path).read_bytes().splitlines())
    for _ in range(WARM):
        ask(next(bodies))
    took, bad, began = [], 0, time.perf_counter()
    while (now := time.perf_counter()) - began < float(seconds):
        bad += not ask(next(bodies))
        took.append(time.perf_counter() - now)
    whole = (time.perf_counter() - began) * 1e6
    middle, late = np.quantile(took, [0.5, 0.99]) * 1e6
    print(f"FOUND {len(took)} {whole:.0f} {middle:.1f} {late:.1f} {bad}")


if __name__ == "__main__":
    main()
