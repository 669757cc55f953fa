"""`make acceptance`: the running stack asked as its users ask it; one line a promise, exit 1 at the first that
fails."""

from __future__ import annotations

import sys
import time

from tests.acceptance.promises import PROMISES
from tests.acceptance.running_stack import RunningStack, Skipped


def main() -> int:
    """Every promise in turn."""
    try:
        stack = RunningStack()
    except (KeyError, OSError):
        print("acceptance: no stack runs here; `make demo` first", file=sys.stderr)
        return 1
    begun = time.monotonic()
    chosen = [promise for promise in PROMISES if len(sys.argv) < 2 or promise.__name__ in sys.argv[1:]]
    for promise in chosen:
        title, at = (promise.__doc__ or promise.__name__).strip().splitlines()[0], time.monotonic()
        try:
            promise(stack)
        except Skipped as reason:
            print(f"not asked {title} {reason}", flush=True)
            continue
        except Exception as error:  # pylint: disable=broad-exception-caught  # whatever it is, the promise is not kept
            print(f"BROKEN {title} {type(error).__name__}: {error} ({time.monotonic() - at:.0f} s)", flush=True)
            return 1
        print(f"kept   {title} ({time.monotonic() - at:.0f} s)", flush=True)
    print(f"every promise is kept ({time.monotonic() - begun:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
