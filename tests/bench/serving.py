"""Serving, side by side: `python -m tests.bench.serving --model DIR`. Needs `wrk`.

Every round visits every server in shuffled order, so a machine's mood hits all alike; ratios are taken round by round
and their median is quoted with the 10th and 90th percentile. All get the same distinct applicants in turn, all run at
one priority, each with one worker, and each is asked for right probabilities first. The service runs with everything
on: key, limits, strict validation, exact reasons, metrics, request log and the durable record. The peers do less, see
`peers`. Each run is added to a file, from which `runs` tells the bands between runs. Then come batches, the engines in
process, and where the time of one answer goes.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from bentos.processes import free_port
from infra.settings import ROOT
from service import keys
from service.database import migrations
from service.engine.packed_model import PackedModel
from service.score.features import row
from service.score.policy import probabilities_many
from service.web.decoding import applicant
from tests.bench import runs
from tests.bench.applicants import bodies_of
from tests.bench.load import PYTHON, Client, Load, Peer, visit
from tests.bench.report import DATABASE, OURS, PORTABLE, absolute, parts, ratios, relative

PEERS: Final = "portable,echo,raw_asgi,fastapi_list,fastapi_frame,fastapi_df,fastapi_df_shap,bentoml,litserve,mlflow"
BATCH_PEER: Final = "fastapi_df"
DATABASE_PEER: Final = "fastapi_df_insert"
CAP: Final = str(32 << 30)
CONNECTIONS: Final = "1,16,64,256"
CLIENTS: Final = "new,headers,requests,httpx"
CLIENT_CONNECTIONS: Final = 16
"""At which the other clients of wrk are measured; those of Python have one."""
CHECKED: Final = 5
"""Applicants whose probabilities each server is asked for before it is timed."""
DATA: Final = ROOT.parent / "shared" / "data" / "train.csv.gz"
LOAD_ONE: Final = Load(1)


@dataclass(frozen=True)
class Question:
    """What all are asked: applicants as bodies of JSON, and what the first of them must get."""

    bodies: Sequence[bytes]
    calibrated: Sequence[Sequence[float]]
    """The service's probabilities."""
    plain: Sequence[Sequence[float]]
    """The model's own, which the peers tell."""

    @classmethod
    def of(cls, model: Path, bodies: Sequence[bytes]) -> Question:
        """The question of these bodies to this model, answered in process by the portable engine."""
        packed = PackedModel.load(model, "portable")
        rows = [row(applicant(body)) for body in bodies[:CHECKED]]
        plain = probabilities_many(packed.engine.raw(np.array(rows)), packed.manifest.objective)
        return cls(bodies, [packed.assess(one).probabilities for one in rows], plain.tolist())


def served(name: str, model: Path, folder: Path, question: Question, database: str | None = None) -> Peer:
    """The service as it is run, not started yet; on files, or as a host of a database."""
    engine = "portable" if name == PORTABLE else "auto"
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
    return Peer(
        name,
        _bento("service.service:CreditScorer", port),
        port,
        question.bodies,
        question.calibrated,
        env={**env, "BENTOML_DO_NOT_TRACK": "True"},
        key=key,
    )


def _bento(service: str, port: int) -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "-p", str(port)]


def contender(name: str, model: Path, folder: Path, question: Question, database: str | None = None) -> Peer:
    """A peer, not started yet."""
    port, env = free_port(), {"QF_MODEL_DIR": str(model), **({"QF_DATABASE_URL": database} if database else {})}
    if name == "mlflow":
        return _mlflow(Peer(name, [], port, question.bodies, question.plain, env=env), folder / "mlflow-model")
    commands = {
        "bentoml": _bento("tests.bench.peer_bentoml:Plain", port),
        "litserve": [sys.executable, "-m", "tests.bench.peer_litserve", str(port)],
    }
    told = [f"tests.bench.peers:{name}", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    command = commands.get(name, [sys.executable, "-m", "uvicorn", *told])
    peer = Peer(name, command, port, question.bodies, question.plain, env={**env, "BENTOML_DO_NOT_TRACK": "True"})
    return replace(peer, wanted=question.bodies[:CHECKED], said=bytes) if name == "echo" else peer


def _mlflow(peer: Peer, folder: Path) -> Peer:
    """The model saved as MLflow does and served by it. It takes features and tells classes, no probabilities."""
    os.environ["QF_MODEL_DIR"] = peer.env["QF_MODEL_DIR"]
    peers = importlib.import_module("tests.bench.peers")  # loads CatBoost
    peers.save_for_mlflow(folder)
    place = ["-m", str(folder), "-p", str(peer.port), "--env-manager", "local", "-w", "1"]
    return replace(
        peer,
        command=[sys.executable, "-m", "mlflow", "models", "serve", *place],
        bodies=[peers.mlflow_body(body) for body in peer.bodies],
        path="/invocations",
        wanted=[peers.mlflow_prediction(one) for one in peer.wanted],
        said=lambda answer: json.loads(answer)["predictions"][0],
        # MLflow starts `uvicorn` by its name: this environment's must be found first.
        env={**peer.env, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )


def loads_of(connections: str, clients: str) -> list[Load]:
    """The loads that are asked for: kept connections of each count, and each other client once."""
    kept = [Load(int(text)) for text in connections.split(",")]
    others = [Client(text) for text in clients.split(",") if text]
    return [*kept, *(Load(1 if one in PYTHON else CLIENT_CONNECTIONS, one) for one in others)]


def batches(peer: Peer, rows: int) -> Peer:
    """The same running server, asked for many rows at once."""
    all_of_them = [peer.bodies[place % len(peer.bodies)] for place in range(rows)]
    body = b'{"applicants":[' + b",".join(all_of_them) + b"]}"
    name = f"{peer.name}, {rows} rows"
    return replace(peer, bodies=[body], wanted=(), path="/v1/score/batch", found={}, name=name)


def measure(visits: list[tuple[Peer, Load]], options: argparse.Namespace, folder: Path, until: float) -> None:
    """Rounds over all visits; after the first, none is begun that would end after monotonic second `until`."""
    shuffle, took = random.Random(1).shuffle, 0.0
    for number in range(options.rounds):
        began = time.monotonic()
        if number and began + took > until:
            break
        shuffle(visits)
        for peer, load in visits:
            peer.found.setdefault(load, []).append(visit(peer, load, options.seconds, folder))
        took = time.monotonic() - began
        print(f"round {number + 1} of {options.rounds}: {took:.0f} s", file=sys.stderr)


def compare(options: argparse.Namespace, folder: Path, until: float) -> dict[str, Peer]:
    """Start all, measure, print the tables of single scores and of batches."""
    model = options.model.resolve()
    question = Question.of(model, bodies_of(options.applicants, options.data))
    names = [name for name in options.peers.split(",") if name]
    ours = [served(name, model, folder, question) for name in (OURS, *(PORTABLE for one in names if one == "portable"))]
    singles = [*ours, *(contender(name, model, folder, question) for name in names if name != "portable")]
    if options.database:
        migrations.migrate(options.database)
        ours.append(served(DATABASE, model, folder, question, options.database))
        singles += [ours[-1], contender(DATABASE_PEER, model, folder, question, options.database)]
    loads = loads_of(options.connections, options.clients)
    try:
        for peer in singles:
            peer.start(folder)
        for peer in singles:
            peer.await_answer(folder)
            peer.check()
            visit(peer, Load(8), 1, folder)  # warm
        measure([(peer, load) for peer in singles for load in loads], options, folder, until)
        many = [batches(peer, options.batch) for peer in singles if peer.name in (OURS, BATCH_PEER)]
        for peer in many:
            visit(peer, LOAD_ONE, 1, folder)
        measure([(peer, LOAD_ONE) for peer in many], options, folder, until)
    finally:
        for peer in singles:
            peer.stop()
    for load in loads:
        print(absolute(singles, load, f"One applicant, {load}"))
        for one in ours:
            print(relative(one, [peer for peer in singles if peer not in ours], load))
    print(absolute(many, LOAD_ONE, f"{options.batch} applicants a request, ours with reasons"))
    if len(many) > 1:
        middle, low, high = ratios(many[0], many[1], LOAD_ONE, lambda one: one.rps)
        print(f"\nRows a second, ours over {BATCH_PEER}: {middle:.2f} ({low:.2f}–{high:.2f}), target 3")
    runs.add(options.runs, runs.Run.of(singles, many, loads, data=options.data.name if options.data else "sample"))
    print(runs.bands(runs.read(options.runs)))
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
    parser.add_argument("--connections", default=CONNECTIONS, help="counts of kept connections")
    parser.add_argument("--clients", default=CLIENTS, help="other ways to ask")
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--applicants", type=int, default=1_000, help="distinct ones, asked in turn")
    parser.add_argument(
        "--data", type=Path, default=DATA if DATA.exists() else None, help="Kaggle's file; else a sample"
    )
    parser.add_argument("--database", help="a fresh PostgreSQL: measured too, beside FastAPI with an INSERT a request")
    parser.add_argument("--batch", type=int, default=1_000, help="rows of a batch")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / ".local" / "bench-serving.jsonl", help="where each run is added"
    )
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
                name: {str(load): [vars(one) for one in visits] for load, visits in peer.found.items()}
                for name, peer in found.items()
            }
            options.out.write_text(json.dumps(content, indent=1), "utf-8")
        print(in_process(options.model.resolve(), Path(scratch)))


if __name__ == "__main__":
    main()
