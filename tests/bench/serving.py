"""Serving, side by side: `python -m tests.bench.serving --model DIR`. Needs `wrk`.

Every round visits every server in shuffled order, so a machine's mood hits all alike; ratios are taken round by round
and their median is quoted with the 10th and 90th percentile. The service runs with everything on: key, limits, strict
validation, exact reasons, metrics, request log and the durable record. The peers do less, see `peers`. Then come
batches, the engines in process, and where the time of one answer goes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bentos.processes import free_port
from service import keys
from service.database import migrations
from service.docs.examples import APPLICANT
from tests.bench.load import Peer, visit
from tests.bench.report import DATABASE, OURS, PORTABLE, absolute, parts, ratios, relative

PEERS: Final = "echo,fastapi_df,fastapi_df_shap,fastapi_list,mlflow"
BATCH_PEER: Final = "fastapi_df"
DATABASE_PEER: Final = "fastapi_df_insert"
CAP: Final = str(32 << 30)


def served(name: str, model: Path, folder: Path, engine: str, database: str | None = None) -> Peer:
    """The service as it is run, not started yet; on files, or as a host of a database."""
    service_dir, port = folder / f"service-{engine}{'-database' if database else ''}", free_port()
    key = keys.issue(service_dir, "bench", rate=1e6, burst=1_000_000, daily=10**12, database=database)
    # Nothing is shipped here: all that a bench answers must fit, or it is refused.
    env = {
        "QF_MODEL_DIR": str(model),
        "QF_SERVICE_DIR": str(service_dir),
        "QF_ENGINE": engine,
        "QF_OUTBOX_MAX_BYTES": CAP,
        "QF_WORKERS": "1",  # beside peers of one process
        **({"QF_DATABASE_URL": database} if database else {}),
    }
    command = [sys.executable, "-m", "bentoml", "serve", "service.service:CreditScorer", "--host", "127.0.0.1"]
    body = json.dumps(APPLICANT).encode()
    return Peer(name, [*command, "-p", str(port)], port, body, env={**env, "BENTOML_DO_NOT_TRACK": "True"}, key=key)


def contender(name: str, model: Path, folder: Path, database: str | None = None) -> Peer:
    """A peer, not started yet."""
    port, env = free_port(), {"QF_MODEL_DIR": str(model), **({"QF_DATABASE_URL": database} if database else {})}
    if name == "mlflow":
        request = _saved(model, folder / "mlflow-model")
        place = ["-m", str(folder / "mlflow-model"), "-p", str(port), "--env-manager", "local", "-w", "1"]
        # MLflow starts `uvicorn` by its name: this environment's must be found first.
        env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return Peer(
            name, [sys.executable, "-m", "mlflow", "models", "serve", *place], port, request, "/invocations", env
        )
    told = [f"tests.bench.peers:{name}", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    return Peer(name, [sys.executable, "-m", "uvicorn", *told], port, json.dumps(APPLICANT).encode(), env=env)


def _saved(model: Path, folder: Path) -> bytes:
    os.environ["QF_MODEL_DIR"] = str(model)
    from tests.bench.peers import save_for_mlflow  # pylint: disable=import-outside-toplevel  # loads CatBoost

    return save_for_mlflow(folder, APPLICANT)


def batches(peer: Peer, rows: int) -> Peer:
    """The same running server, asked for many rows at once."""
    body = json.dumps({"applicants": [APPLICANT] * rows}).encode()
    return replace(peer, body=body, path="/v1/score/batch", found={}, name=f"{peer.name}, {rows} rows")


def measure(visits: list[tuple[Peer, int]], options: argparse.Namespace, folder: Path, until: float) -> None:
    """Rounds over all visits; after the first, none is begun that would end after monotonic second `until`."""
    shuffle, took = random.Random(1).shuffle, 0.0
    for number in range(options.rounds):
        began = time.monotonic()
        if number and began + took > until:
            break
        shuffle(visits)
        for peer, connections in visits:
            peer.found.setdefault(connections, []).append(visit(peer, connections, options.seconds, folder))
        took = time.monotonic() - began
        print(f"round {number + 1} of {options.rounds}: {took:.0f} s", file=sys.stderr)


def compare(options: argparse.Namespace, folder: Path, until: float) -> dict[str, Peer]:
    """Start all, measure, print the tables of single scores and of batches."""
    model = options.model.resolve()
    ours = [served(OURS, model, folder, "auto"), served(PORTABLE, model, folder, "portable")]
    singles = [*ours, *(contender(name, model, folder) for name in options.peers.split(",") if name)]
    if options.database:
        migrations.migrate(options.database)
        ours.append(served(DATABASE, model, folder, "auto", options.database))
        singles += [ours[-1], contender(DATABASE_PEER, model, folder, options.database)]
    counts = [int(text) for text in options.connections.split(",")]
    try:
        for peer in singles:
            peer.start(folder)
        for peer in singles:
            peer.await_answer(folder)
            visit(peer, 8, 1, folder)  # warm
        measure([(peer, count) for peer in singles for count in counts], options, folder, until)
        many = [batches(peer, options.batch) for peer in singles if peer.name in (OURS, BATCH_PEER)]
        for peer in many:
            visit(peer, 1, 1, folder)
        measure([(peer, 1) for peer in many], options, folder, until)
    finally:
        for peer in singles:
            peer.stop()
    for count in counts:
        print(absolute(singles, count, f"One applicant, {count} connections"))
        for one in ours:
            print(relative(one, [peer for peer in singles if peer not in ours], count))
    print(absolute(many, 1, f"{options.batch} applicants a request, ours with reasons"))
    if len(many) > 1:
        middle, low, high = ratios(many[0], many[1], 1, lambda one: one.rps)
        print(f"\nRows a second, ours over {BATCH_PEER}: {middle:.2f} ({low:.2f}–{high:.2f}), target 2.5")
    return {peer.name: peer for peer in (*singles, *many)}


def in_process(model: Path, folder: Path) -> str:
    """Tables of the engines and of the parts of one answer."""
    from tests.bench import engine  # pylint: disable=import-outside-toplevel  # loads CatBoost
    from tests.bench import parts as of_answer  # pylint: disable=import-outside-toplevel

    return "\n".join(
        (
            parts("In process, a row (targets with exact reasons: portable 80, compiled 5)", engine.medians(model)),
            parts(
                "Where the time of one answer goes, CPU in process",
                asyncio.run(of_answer.measure(model, folder / "parts")),
            ),
            parts("A group of 16 answers made durable, wall", of_answer.group_commit_ms(folder), "ms"),
        )
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, required=True, help="packed model")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2, help="of each visit")
    parser.add_argument("--within", type=float, default=1e9, help="seconds after which no further round is begun")
    parser.add_argument("--connections", default="1,16")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--database", help="a fresh PostgreSQL: measured too, beside FastAPI with an INSERT a request")
    parser.add_argument("--batch", type=int, default=1_000, help="rows of a batch")
    parser.add_argument("--out", type=Path, help="JSON of every visit")
    options = parser.parse_args()
    until = time.monotonic() + options.within
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers end with it
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        found = compare(options, Path(scratch), until)
        sys.stdout.flush()
        if options.out:
            content: dict[str, Any] = {
                name: {str(count): [vars(one) for one in visits] for count, visits in peer.found.items()}
                for name, peer in found.items()
            }
            options.out.write_text(json.dumps(content, indent=1), "utf-8")
        print(in_process(options.model.resolve(), Path(scratch)))


if __name__ == "__main__":
    main()
