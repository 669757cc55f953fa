"""`make acceptance`: the running stack asked as its users ask it; one line a promise, exit 1 at the first that
fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from inspect import isgeneratorfunction
from typing import Final

import httpx

from tests.acceptance.promises import PROMISES, Promise
from tests.acceptance.running_stack import RunningStack, Skipped

LINE: Final = 400
LIMIT_S: Final = 720.0  # printed, not failed on: another program may have the processor


class Questions:
    """Promises asked in turn, of one stack. A generator is a promise that takes time of its own: what it begins goes on
    while others are asked, and at its turn it must have been kept."""

    def __init__(self, stack: RunningStack, cleanups: ExitStack) -> None:
        self._stack, self._cleanups = stack, cleanups
        self._waits: dict[Promise, tuple[Iterator[None], float]] = {}

    def ask(self, chosen: Sequence[Promise]) -> bool:
        """Whether all are kept; one line each, and none after the first that is broken."""
        slow = [promise for promise in chosen if isgeneratorfunction(promise)]
        return all(map(self._told, (*chosen[:1], *slow, *chosen[1:])))

    def _told(self, promise: Promise) -> bool:
        title, at = (promise.__doc__ or promise.__name__).strip().splitlines()[0], time.monotonic()
        since = self._waits[promise][1] if promise in self._waits else at
        try:
            over = self._step(promise)
        except Skipped as reason:
            print(f"not asked {title} {reason}", flush=True)
        except Exception as error:  # pylint: disable=broad-exception-caught  # whatever it is, it is not kept
            print(f"BROKEN {title} {_one_line(error)} ({time.monotonic() - at:.0f} s)", flush=True)
            return False
        else:
            beside = f", begun {at - since:.0f} s before" if since < at else ""
            if over:
                print(f"kept   {title} ({time.monotonic() - at:.0f} s{beside})", flush=True)
        return True

    def _step(self, promise: Promise) -> bool:
        """Ask; a generator is begun the first time and brought to its end the second. Whether it was asked whole."""
        if promise in self._waits:
            for _ in self._waits[promise][0]:
                pass
            return True
        answer = promise(self._stack)
        if answer is None:
            return True
        self._waits[promise] = self._cleanups.enter_context(closing(answer)), time.monotonic()
        next(answer)
        return False


def _one_line(error: Exception) -> str:
    """What went wrong, and where where nobody answered; a browser's own words are many lines."""
    place = f" at {error.request.url}" if isinstance(error, httpx.RequestError) else ""
    return f"{type(error).__name__}{place}: {' '.join(str(error).split())[:LINE]}"


def main() -> int:
    """Every promise in turn, or those that are named."""
    names = [promise.__name__ for promise in PROMISES]
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("promises", nargs="*", metavar="PROMISE", help=f"one of {', '.join(names)}; else all")
    wanted = parser.parse_args().promises
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"no promise is called {', '.join(unknown)}")
    try:
        stack = RunningStack()
    except (KeyError, OSError):
        print("acceptance: no stack runs here; `make demo` first", file=sys.stderr)
        return 1
    start = time.monotonic()
    chosen = [promise for promise in PROMISES if not wanted or promise.__name__ in wanted]
    with ExitStack() as cleanups:
        if not Questions(stack, cleanups).ask(chosen):
            return 1
    took = time.monotonic() - start
    late = f", later than the {LIMIT_S:.0f} s it is meant to take" if took > LIMIT_S else ""
    print(f"every promise is kept ({took:.0f} s{late})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
