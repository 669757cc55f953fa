"""What a user would write instead of this service, on the same model and contract.

`uvicorn tests.bench.peers:<name>` with QF_MODEL_DIR; those of BentoML and LitServe are in `peer_bentoml` and
`peer_litserve`. No key, no limit, no log, no metrics in any of them: they do less.
"""

# pylint: disable=invalid-name

from __future__ import annotations

import json
import os
import queue
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
import psycopg
from catboost import CatBoostClassifier, Pool
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict

from service.contract import REFERENCE_FIELDS, Applicant, CreditClass
from service.engine.check import output_order
from service.engine.rules import MARGINS
from service.score import features, policy
from service.score.manifest import MODEL_FILE, Manifest

PACKAGE = Path(os.environ.get("QF_MODEL_DIR", "model"))
MODEL = CatBoostClassifier()
MODEL.load_model(str(PACKAGE / MODEL_FILE))
OBJECTIVE = Manifest.read(PACKAGE).objective
ORDER = output_order([str(name) for name in MODEL.classes_], OBJECTIVE)


class Form(Applicant):
    """The contract as FastAPI reads it: from Python objects, so without strict types."""

    model_config = ConfigDict(strict=False)


class Forms(BaseModel):
    """Many of them."""

    applicants: list[Form]


class Answer(BaseModel):
    """A plain answer."""

    score: int
    predicted_class: CreditClass
    probabilities: dict[str, float]
    reasons: list[str] = []


class Answers(BaseModel):
    """Many plain answers."""

    scores: list[Answer]


def _plain(raw: Any, reasons: list[str] | None = None) -> dict[str, Any]:
    """`raw` as `predict_proba` has it: three classes, or better than Poor and better than Standard."""
    found = [float(raw[place]) for place in ORDER]
    if OBJECTIVE == "MultiLogloss":
        above, good = found[0], min(found)
        found = [1 - above, above - good, good]
    names = [str(name) for name in policy.CLASSES]
    return {
        "score": round(1000 * (found[2] + 0.5 * found[1])),
        "predicted_class": policy.CLASSES[found.index(max(found))],
        "probabilities": dict(zip(names, found, strict=True)),
        "reasons": reasons or [],
    }


def _answer(raw: Any, reasons: list[str] | None = None) -> Answer:
    return Answer(**_plain(raw, reasons))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame["loan_types"] = ["|".join(kinds) for kinds in frame["loan_types"]]
    matrix = features.matrix({name: frame[name].to_numpy() for name in frame.columns})
    return pd.DataFrame(matrix, columns=list(features.FEATURE_NAMES))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """The floor: gives the body back."""
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


fastapi_df = FastAPI()


@fastapi_df.post("/v1/score")
def _score_df(applicant: Form) -> Answer:
    return _answer(MODEL.predict_proba(_frame([applicant.model_dump()]))[0])


@fastapi_df.post("/v1/score/batch")
def _batch_df(batch: Forms) -> Answers:
    rows = MODEL.predict_proba(_frame([one.model_dump() for one in batch.applicants]))
    return Answers(scores=[_answer(row) for row in rows])


fastapi_df_insert = FastAPI()
FREE: queue.SimpleQueue[psycopg.Connection[Any]] = queue.SimpleQueue()
"""Connections that no request holds; FastAPI answers in threads."""


def _link() -> psycopg.Connection[Any]:
    try:
        return FREE.get_nowait()
    except queue.Empty:
        link = psycopg.connect(os.environ["QF_DATABASE_URL"], autocommit=True)
        link.execute("CREATE TABLE IF NOT EXISTS peer_prediction (at timestamptz, applicant text, answer text)")
        return link


@fastapi_df_insert.post("/v1/score")
def _score_insert(applicant: Form) -> Answer:
    answer = _score_df(applicant)
    row = (applicant.model_dump_json(), answer.model_dump_json())
    link = _link()
    link.execute("INSERT INTO peer_prediction VALUES (now(), %s, %s)", row)
    FREE.put(link)
    return answer


fastapi_df_shap = FastAPI()


@fastapi_df_shap.post("/v1/score")
def _score_shap(applicant: Form) -> Answer:
    frame = _frame([applicant.model_dump()])
    values = MODEL.get_feature_importance(Pool(frame), type="ShapValues")[0]
    margin = (np.array(MARGINS[OBJECTIVE]) @ values[ORDER])[:-1]
    worst = [features.FEATURE_NAMES[place] for place in np.argsort(margin)[:4] if margin[place] < 0]
    return _answer(MODEL.predict_proba(frame)[0], worst)


fastapi_frame = FastAPI()


def single(applicant: Form) -> Answer:
    """One frame, made of the finished features: what most people write."""
    frame = pd.DataFrame([features.row(applicant)], columns=list(features.FEATURE_NAMES))
    return _answer(MODEL.predict_proba(frame)[0])


@fastapi_frame.post("/v1/score")
def _score_frame(applicant: Form) -> Answer:
    return single(applicant)


fastapi_list = FastAPI()


@fastapi_list.post("/v1/score")
async def _score_list(applicant: Form) -> Answer:
    return _answer(MODEL.predict_proba([features.row(applicant)], thread_count=1)[0])


_Row: Final[Any] = msgspec.defstruct(
    "_Row",
    [(name, field.annotation) for name, field in Applicant.model_fields.items() if name not in REFERENCE_FIELDS]
    + [(name, None, None) for name in REFERENCE_FIELDS],
    forbid_unknown_fields=True,
    kw_only=True,
)
_decoded: Final = msgspec.json.Decoder(_Row).decode


async def raw_asgi(scope: Any, receive: Any, send: Any) -> None:
    """As fast as it goes with CatBoost on one thread: msgspec, no framework, types but no ranges."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    try:
        applicant = _decoded(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        status, answer = 422, {"detail": str(error)}
    else:
        status, answer = 200, _plain(MODEL.predict_proba([features.row(applicant)], thread_count=1)[0])
    content = msgspec.json.encode(answer)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def save_for_mlflow(folder: Path) -> None:
    """The model in MLflow's own CatBoost flavour."""
    import mlflow.catboost  # pylint: disable=import-outside-toplevel

    # Named, since MLflow would otherwise load the model in a process of its own to find out: a minute.
    mlflow.catboost.save_model(MODEL, str(folder), pip_requirements=["catboost"])


def mlflow_body(applicant: bytes) -> bytes:
    """A request to `mlflow models serve` for this applicant: his features, since it serves the bare model."""
    frame = _frame([Applicant.model_validate_json(applicant).model_dump()])
    return json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split", index=False))}).encode()


def mlflow_prediction(found: Sequence[float]) -> list[Any]:
    """What MLflow's flavour says where these are the model's probabilities: a class, or yes and no to each border."""
    poor, _, good = found
    if OBJECTIVE == "MultiLogloss":
        return [int(poor < 0.5), int(good > 0.5)]
    return [str(policy.CLASSES[list(found).index(max(found))])]
