"""Golden predictions: inputs and answers written down when the model was packed, to be given again at every start."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.engine.rules import Engine
from service.engine.trees import Float
from service.errors import ModelRefused

GOLDEN_ROWS: Final = 50
PROBABILITY_TOLERANCE: Final = 1e-12


class GoldenRows(BaseModel):
    """Rows of features (null = missing) and what the model says to them; the rows belong to nobody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: list[list[float | None]] = Field(min_length=1)
    raw: list[list[float]]
    probabilities: list[tuple[float, float, float]]
    score: list[int]
    reasons: list[tuple[int, ...]]

    @classmethod
    def made_by(cls, engine: Engine, matrix: Float) -> GoldenRows:
        """The answers of `engine` to the rows of `matrix`."""
        answers = [engine.assess(row) for row in matrix.tolist()]
        return cls(
            rows=[[None if np.isnan(value) else value for value in row] for row in matrix.tolist()],
            raw=engine.raw(matrix).tolist(),
            probabilities=[answer.probabilities for answer in answers],
            score=[answer.score for answer in answers],
            reasons=[answer.numbers for answer in answers],
        )

    @classmethod
    def parse(cls, content: bytes) -> GoldenRows:
        """The golden predictions in `content`; ModelRefused if they are none."""
        try:
            golden = cls.model_validate_json(content)
        except ValidationError as error:
            raise ModelRefused(f"golden.json cannot be read: {error.errors(include_input=False)[0]['msg']}") from None
        counts = {len(golden.rows), len(golden.raw), len(golden.probabilities), len(golden.score), len(golden.reasons)}
        if len(counts) != 1 or len({len(row) for row in golden.rows}) != 1:
            raise ModelRefused("golden.json: rows and answers differ in number")
        return golden

    def content(self) -> bytes:
        """The predictions as the bytes of their file; floats keep every bit."""
        return json.dumps(self.model_dump(), separators=(",", ":")).encode() + b"\n"

    def matrix(self) -> Float:
        """The rows as an array, NaN where a value is missing."""
        return np.array(self.rows, dtype=np.float64)

    def check(self, engine: Engine) -> None:
        """Ask the engine again.

        Raises:
            ModelRefused: an answer differs from the one written down.
        """
        matrix = self.matrix()
        answers = [engine.assess(row) for row in matrix.tolist()]
        off = np.abs(np.array([answer.probabilities for answer in answers]) - np.array(self.probabilities)).max()
        same = (
            bool(off <= PROBABILITY_TOLERANCE)
            and [answer.score for answer in answers] == self.score
            and [answer.numbers for answer in answers] == self.reasons
            and bool(np.abs(engine.raw(matrix) - np.array(self.raw)).max() <= PROBABILITY_TOLERANCE * 1e3)
        )
        if not same:
            raise ModelRefused(f"golden predictions are not given again by the {engine.name} engine")
