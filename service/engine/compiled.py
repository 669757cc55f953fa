"""The compiled engine: `kernel.c`, built when a model is packed where a C compiler is, used where it is sound.

It is an accelerator and nothing depends on it. A model may be packed without a kernel where none can be built, but one
that was built and does not load or answers one row differently is a fault of the code and fails the packing. Where it
is served, a kernel of another platform or one that is not sound on that processor is left alone and the portable
engine answers (`service.engine.packed_model` decides).
One row goes through `PyDLL`, which keeps the interpreter's lock for the few microseconds; many rows through `CDLL`,
which lets other threads run.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.engine.layout import ABI, ANSWER, KERNEL_CONSTANTS, KernelLayout, KernelModel, fits
from service.engine.rules import Arrays, Assessment, Rules
from service.engine.trees import Float, LeafTable
from service.score.policy import CLASSES
from service.score.reasons import FAMILIES

SOURCE: Final = Path(__file__).with_name("kernel.c")
BUILT: Final = SOURCE.with_suffix(".so")
"""Lies there in images that pack (infra/Dockerfile.flows); like any kernel it is compared before it is packed."""
BUILD_TIMEOUT_S: Final = 120.0
# -ffp-contract=off: a fused multiply-add would differ from CatBoost and from Python in the last bit.
FLAGS: Final = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-s", "-ffp-contract=off", "-Wno-psabi", "-Wl,--build-id=none")
CONSTANTS: Final = tuple(f"-D{name}={value}" for name, value in KERNEL_CONSTANTS.items())
CLONES: Final = "-DQF_CLONES"
# A C library older than any image's, so that the kernel loads wherever the image runs; no checks at run time.
_ZIG_FLAGS: Final = ("-target", f"{platform.machine()}-linux-gnu.2.28", "-fno-sanitize=undefined")

_make: Final = partial(tuple.__new__, Assessment)


class KernelUnusable(Exception):
    """The compiled engine cannot be used here; the text says why. The portable engine can."""


def platform_tag() -> str:
    """What a kernel built here runs on, such as linux-x86_64."""
    return f"{sys.platform}-{platform.machine()}"


class KernelAbsent(KernelUnusable):
    """There is no kernel and could be none: no compiler, or a model beyond its limits. Nothing is wrong with the
    code."""


@lru_cache
def build(compiler: str | None = None) -> bytes:
    """The shared library of `kernel.c` as bytes: the one built with an image, or made by `compiler` or `compilers`.

    Raises:
        KernelAbsent: there is no C compiler, or it took too long.
        KernelUnusable: every compiler here refuses the source.
    """
    if compiler is None and BUILT.exists():
        return BUILT.read_bytes()
    failure: KernelUnusable = KernelAbsent(
        "there is no C compiler here: cc, what CC names, or the locked wheel of infra/locks/compiler.txt"
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "kernel.so"
        own = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}  # its home may be read-only
        for command in compilers(compiler):
            # Variants by processor need a linker that knows them; without, the plain build is a little slower.
            for extra in ((CLONES,), ()):
                invocation = [*command, *FLAGS, *CONSTANTS, *extra, str(SOURCE), "-o", str(target), "-lm"]
                try:
                    process = subprocess.run(
                        invocation, env=own, capture_output=True, timeout=BUILD_TIMEOUT_S, check=False, text=True
                    )
                except subprocess.TimeoutExpired:
                    failure = KernelAbsent(f"the C compiler took more than {BUILD_TIMEOUT_S:g} s")
                    continue
                if process.returncode == 0:
                    return target.read_bytes()
                reason = (process.stderr.strip().splitlines() or ["no message"])[0]
                failure = KernelUnusable(f"the C compiler refuses the kernel: {reason:.200}")
    raise failure


def compilers(choice: str | None = None) -> list[list[str]]:
    """Commands that compile C here, in the order they are tried: `choice` or what CC names, or the
    machine's own and the wheel `ziglang`, which serves where a machine has none (infra/locks/compiler.txt)."""
    choice = choice or os.environ.get("CC")
    program = shutil.which(choice or "cc")
    commands = [[program]] if program else []
    if choice is None and find_spec("ziglang") is not None:
        commands.append([sys.executable, "-m", "ziglang", "cc", *_ZIG_FLAGS])
    return commands


class _Library(NamedTuple):
    """The same shared library twice: keeping and letting go of the interpreter's lock."""

    holding: ctypes.PyDLL
    releasing: ctypes.CDLL


def _open(content: bytes) -> _Library:
    """Load a shared library from bytes, so that what runs is what was hashed."""
    try:
        if hasattr(os, "memfd_create"):
            # Never closed: the loader knows libraries by path, and a number used again would name the old one.
            handle = os.memfd_create("quantumfinance-kernel")
            os.write(handle, content)
            path = f"/proc/self/fd/{handle}"
            return _Library(ctypes.PyDLL(path), ctypes.CDLL(path))
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "kernel.so"
            target.write_bytes(content)
            return _Library(ctypes.PyDLL(str(target)), ctypes.CDLL(str(target)))
    except OSError as error:
        raise KernelUnusable("the kernel does not load here") from error


_Slot = tuple[Callable[[bytes], None], Callable[[], tuple[Any, ...]]]
"""A place for one answer: what asks the kernel to write it, given a row, and what reads it."""

_NUMBERS: Final = 4  # places for the families that cost points, filled or not
_unpack: Final = struct.Struct(f"3di2b2x{_NUMBERS}h{len(FAMILIES)}d").unpack_from
_SCORING_FIELDS: Final = ("probability", "score", "band", "best", "number")
_BLOCK_ROWS: Final = 2_048
_VERDICTS: Final = tuple((band, best, band is not best) for band in CLASSES for best in CLASSES)


class Compiled:
    """Evaluates a leaf table with the kernel."""

    name = "compiled"

    def __init__(self, table: LeafTable, rules: Rules, library: bytes) -> None:
        if not fits(table):
            raise KernelAbsent("the model is larger than the kernel's limits")
        opened = _open(library)
        sizes = {"qf_abi": ABI, "qf_model_size": ctypes.sizeof(KernelModel), "qf_answer_size": ANSWER.itemsize}
        for name, expected in sizes.items():
            if getattr(opened.releasing, name)() != expected:
                raise KernelUnusable("the kernel was built from another version of the code")
        self._layout = KernelLayout(table, rules)
        self._features = table.ensemble.features
        self._outputs = table.ensemble.outputs
        self._model = ctypes.addressof(self._layout.model)
        self._releasing = opened.releasing
        self._one = opened.holding.qf_assess
        self._one.restype = None
        self._pack = struct.Struct(f"{self._features}d").pack
        self._free: list[_Slot] = []

    def assess(self, values: list[float]) -> Assessment:
        """The answer to one row of features."""
        try:
            slot = self._free.pop()  # list.pop and append are atomic: every call has a place of its own
        except IndexError:
            slot = self._slot()
        ask, answer = slot
        ask(self._pack(*values))
        poor, standard, good, points, verdict, count, *rest = answer()
        self._free.append(slot)
        band, best, borderline = _VERDICTS[verdict]
        return _make(
            ((poor, standard, good), points, band, best, borderline, tuple(rest[:count]), tuple(rest[_NUMBERS:]))
        )

    def _slot(self) -> _Slot:
        memory = ctypes.create_string_buffer(ANSWER.itemsize)
        # References made once: an address with a declared type would be converted at every call.
        return partial(self._one, ctypes.byref(self._layout.model), ctypes.byref(memory)), partial(_unpack, memory)

    def _call(self, name: str, matrix: Float, out: NDArray[Any], *extra: int) -> None:
        rows = np.ascontiguousarray(matrix, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self._features:
            raise ValueError(f"rows of {self._features} features are needed, shape is {rows.shape}")
        numbers = [ctypes.c_int32(value) for value in extra]
        getattr(self._releasing, name)(
            ctypes.c_void_p(self._model),
            ctypes.c_void_p(rows.ctypes.data),
            ctypes.c_int64(len(rows)),
            *numbers,
            ctypes.c_void_p(out.ctypes.data),
        )

    def raw(self, matrix: Float) -> Float:
        """Raw values, shape (n, outputs), equal to CatBoost's RawFormulaVal to the last bit."""
        out = np.empty((len(matrix), self._outputs))
        self._call("qf_raw", matrix, out)
        return out

    def contributions(self, matrix: Float) -> Float:
        """Exact SHAP values of the margin by family, shape (n, families)."""
        out = np.empty((len(matrix), len(FAMILIES)))
        self._call("qf_contributions", matrix, out)
        return out

    def assess_many(self, matrix: Float, reasons: bool) -> Arrays:
        """The answers to many rows; other threads run meanwhile.

        The kernel writes a block at a time into memory that is used again, from where the answers are copied: fresh
        pages for all of them cost as much a row as the trees do.
        """
        rows = np.ascontiguousarray(matrix, np.float64)
        block = np.empty(min(len(rows), _BLOCK_ROWS), ANSWER)
        out = {name: np.empty((len(rows), *ANSWER[name].shape), ANSWER[name].base) for name in _SCORING_FIELDS}
        relative = np.empty((len(rows) if reasons else 0, len(FAMILIES)))
        for start in range(0, len(rows), _BLOCK_ROWS):
            part = rows[start : start + _BLOCK_ROWS]
            answers, stop = block[: len(part)], start + len(part)
            self._call("qf_assess_many", part, answers, int(reasons))
            for name, column in out.items():
                column[start:stop] = answers[name]
            if reasons:
                relative[start:stop] = answers["lost"][:, : len(FAMILIES)]
        return Arrays(
            out["probability"],
            out["score"],
            out["band"],
            out["best"],
            out["band"] != out["best"],
            out["number"],
            relative,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m service.engine.compiled", description="The kernel of this host.")
    parser.add_argument("file", type=Path, help="where an image that packs keeps it")
    parser.parse_args().file.write_bytes(build())
