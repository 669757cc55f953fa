"""What a caller is told about its limits: the RateLimit fields of draft-ietf-httpapi-ratelimit-headers.

`r` is what is left now; `t` the seconds until the policy is whole again, or, in a 429, until this very request would be
admitted, which `Retry-After` says too. Obeying either is enough.
"""

from __future__ import annotations

import math
from functools import lru_cache

from service.access.keystore import ApiKey
from service.access.token_bucket import DAY_S, RateDecision

Headers = tuple[tuple[bytes, bytes], ...]


def limit_headers(key: ApiKey, decision: RateDecision) -> Headers:
    """`RateLimit-Policy`, `RateLimit`, and `Retry-After` where waiting helps."""
    headers: Headers = (
        _policy(key.rate, key.burst, key.daily),
        (
            b"ratelimit",
            b'"burst";r=%d;t=%d, "daily";r=%d;t=%d'
            % (decision.remaining, decision.reset_s, decision.daily_remaining, decision.daily_reset_s),
        ),
    )
    if not decision.allowed and decision.retry_after_s is not None:
        headers += ((b"retry-after", b"%d" % decision.retry_after_s),)
    return headers


@lru_cache(maxsize=1024)
def _policy(rate: float, burst: int, daily: int) -> tuple[bytes, bytes]:
    window = math.ceil(burst / rate)
    return b"ratelimit-policy", b'"burst";q=%d;w=%d, "daily";q=%d;w=%d' % (burst, window, daily, DAY_S)
