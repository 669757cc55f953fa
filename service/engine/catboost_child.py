"""Loads a model with CatBoost in a process of its own and tells what it answers.

A damaged `.cbm` may load and answer wrongly, or end the process, so the service never parses one itself: this program
does, given the very bytes whose hash was checked, and the service compares the answers with its own. It runs as
`python catboost_child.py`; standard input is the model's size (8 bytes, little-endian), the model, and rows as npy;
standard output is an npz of `raw`, `classes` and `leaf_values`. It imports nothing of ours, so it starts as fast as
CatBoost.
"""

from __future__ import annotations

import io
import os
import struct
import sys


def main() -> None:
    """Answer the rows on standard input; any failure ends the process with a code that is not 0."""
    # Libraries may print: only the answer belongs on the real standard output.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    (size,) = struct.unpack("<q", sys.stdin.buffer.read(8))
    content = sys.stdin.buffer.read(size)
    rest = io.BytesIO(sys.stdin.buffer.read())

    import numpy as np
    from catboost import CatBoost

    rows = np.load(rest, allow_pickle=False)
    model = CatBoost()
    model.load_model(blob=content)
    raw = model.predict(rows, prediction_type="RawFormulaVal", thread_count=1)
    archive = io.BytesIO()
    np.savez(
        archive,
        raw=np.asarray(raw, np.float64).reshape(len(rows), -1),
        classes=np.array([str(name) for name in model.classes_]),
        leaf_values=np.asarray(model.get_leaf_values(), np.float64),
    )
    with answer:
        answer.write(archive.getvalue())


if __name__ == "__main__":
    main()
