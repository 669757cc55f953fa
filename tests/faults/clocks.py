"""Hosts whose clock goes wrong: a library before the C library's that adds to the time of day, and to nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from service.engine.compiled import compilers

_SOURCE: Final = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static int (*ask)(clockid_t, struct timespec *);
static long ahead;

__attribute__((constructor)) static void begin(void) {
    const char *told = getenv("CLOCK_AHEAD_S");
    ask = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    ahead = told ? atol(told) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    if (!ask) begin();
    int code = ask(clock, out);
    if (!code && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) out->tv_sec += ahead;
    return code;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


def wrong_clock(folder: Path) -> Path:
    """The library; skips where no C compiler is, fails where QF_REQUIRE_ALL=1 promises everything."""
    source, target = folder / "clock.c", folder / "clock.so"
    source.write_text(_SOURCE)
    for command in compilers():
        subprocess.run([*command, "-shared", "-fPIC", "-O1", str(source), "-o", str(target), "-ldl"], check=True)
        return target
    reason = "there is no C compiler"
    if os.environ.get("QF_REQUIRE_ALL") == "1":
        raise pytest.fail.Exception(f"{reason}, and QF_REQUIRE_ALL=1 allows no skip")
    raise pytest.skip.Exception(reason)


def ahead(library: Path, seconds: int) -> dict[str, str]:
    """Environment of a process whose clock goes so far ahead, or behind."""
    return {"LD_PRELOAD": str(library), "CLOCK_AHEAD_S": str(seconds)}
