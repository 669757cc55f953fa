"""Outcomes joined to the predictions that they are about, one to one; what cannot be joined is counted by reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.monitoring.traffic import KNOWN, UNKNOWN
from service.score import policy

CLASSES: Final = tuple(str(one) for one in policy.CLASSES)


@dataclass(frozen=True)
class Settled:
    """Predictions with exactly one outcome, and what had to be set aside, by reason."""

    frame: pd.DataFrame
    quarantined: Mapping[str, int]


def settle(cohort: pd.DataFrame, outcomes: pd.DataFrame, today: date) -> Settled:
    """Join outcomes on the prediction; a repeat counts once, a contradiction not at all.

    Args:
        cohort: with `hash` (of the prediction's id) and `as_of`, the day it describes: what was observed before that
            day is no outcome of it.
        outcomes: with `hash`, `partner`, `observed_class`, `observed_at` (date) and `standing`, as
            `flows.monitoring.traffic` reads them. Only the partner that asked may say what came of it.
        today: outcomes observed later are in the future and set aside.
    """
    observed = days_of(outcomes["observed_at"])
    future = ~(observed <= np.datetime64(today, "ns"))
    invalid = ~outcomes["observed_class"].isin(CLASSES).to_numpy()
    unknown = (outcomes["standing"] == UNKNOWN).to_numpy()
    known = (outcomes["standing"] == KNOWN).to_numpy()
    usable = pd.DataFrame(
        {
            "hash": outcomes["hash"].to_numpy(dtype="uint64"),
            "code": codes_of(outcomes["observed_class"]),
            "observed": observed,
            "sender": outcomes["partner"].astype(object).to_numpy(),
        }
    )[known & ~future & ~invalid]
    once, contradicting, repeated = one_a_key(usable, ["hash"])
    quarantined = {
        "in the future or undated": int(future.sum()),
        "no such class": int((invalid & ~future).sum()),
        "unknown prediction": int((unknown & ~future & ~invalid).sum()),
        "contradicting": contradicting,
        "repeated": repeated,
    }
    frame = cohort.merge(once, on="hash", how="inner")
    early = frame.pop("observed").to_numpy() < days_of(frame["as_of"])
    quarantined["before the prediction"] = int(early.sum())
    frame = frame[~early].reset_index(drop=True)
    frame["partner"] = frame.pop("sender")
    frame["observed_class"] = np.array(CLASSES, dtype=object)[frame.pop("code").to_numpy(dtype=int)]
    return Settled(frame, quarantined)


def one_a_key(outcomes: pd.DataFrame, key: list[str]) -> tuple[pd.DataFrame, int, int]:
    """One row of each key, observed last, none where classes contradict; how many contradict, and how many repeat.

    `outcomes` has the key's columns, `code` (of the class) and `observed` (the day).
    """
    ordered = outcomes.sort_values([*key, "code", "observed"], kind="stable")
    same = ordered.groupby(key, sort=False)["code"]
    conflicting = (same.transform("min") != same.transform("max")).to_numpy()
    once = ordered[~conflicting].drop_duplicates(key, keep="last")
    return once, int(conflicting.sum()), int((~conflicting).sum() - len(once))


def codes_of(classes: pd.Series) -> NDArray[np.int64]:
    """Position of each class in CLASSES, -1 where it is none of them; the few different texts are looked up once."""
    categories = classes.astype("category").cat
    places = [CLASSES.index(text) if text in CLASSES else -1 for text in categories.categories.astype(str)]
    return np.append(places, -1).astype(np.int64)[categories.codes.to_numpy()]


def days_of(texts: pd.Series) -> NDArray[np.datetime64]:
    """Each text as a date, not-a-time where it is none; the few different texts are parsed once each."""
    categories = texts.astype("category").cat
    parsed = pd.to_datetime(pd.Series(categories.categories.astype(str)), format="ISO8601", errors="coerce", utc=True)
    days = np.append(parsed.dt.tz_localize(None).to_numpy("datetime64[ns]"), np.datetime64("NaT"))
    return np.asarray(days[categories.codes.to_numpy()])
