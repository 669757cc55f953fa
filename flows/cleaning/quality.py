"""What preparing did to the data, in figures a person can check: `quality.json` and the same as tables.

Only counts, shares and file hashes stand here; no customer's value, no time, so the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from flows.cleaning.cleaning_rules import MEANING, CleaningRule
from flows.cleaning.gates import Measure
from flows.cleaning.parsing import FILL_TOLERANCE, Fills, text
from flows.cleaning.pipeline import IDENTITY_COLUMN, CleanResult
from flows.cleaning.raw_table import NUMERIC
from service.contract import DESCRIBING_FIELDS

REPEATS_IN: Final = ("Monthly_Inhand_Salary", "Changed_Credit_Limit", "Amount_invested_monthly", "Monthly_Balance")
# A continuous amount that this many customers share was written by a hand. Genuine limits, the coarsest of the four
# with two decimals, are shared by up to 0.25 % of the real customers.
SUSPECT_SHARE: Final = 0.005
SUSPECT_CUSTOMERS: Final = 25
_GAPS_SHOWN: Final = 6
_BAR_CELLS: Final = 40


class Violation(BaseModel):
    """A rule of the raw schema, and how many rows break it."""

    model_config = ConfigDict(frozen=True)

    column: str
    rule: str
    rows: int
    share: float


class Side(BaseModel):
    """Size of one side of the split."""

    model_config = ConfigDict(frozen=True)

    rows: int
    customers: int
    out_of_time_rows: int


class Quality(BaseModel):
    """Everything `prepare` reports about one raw file."""

    model_config = ConfigDict(frozen=True)

    raw_sha256: str
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_served: int = Field(description="Rows that tell a score's needs by themselves: what the split holds.")
    customers: int = Field(description="Customers with at least one clean row.")
    months: list[int]
    out_of_time_months: list[int]
    split: dict[str, Side]
    labels: dict[str, float]
    quarantine: dict[str, int] = Field(description="Reason to rows.")
    rules: dict[str, dict[str, int]] = Field(description="Rule of the cleaning to column to cells.")
    balance_identity: dict[str, int]
    missing: dict[str, float] = Field(description="Share of clean rows in which the column is still unknown.")
    further_fills: dict[str, list[float]] = Field(description="Constants found to be fills, beside the known ones.")
    violations: list[Violation] = Field(description="Broken rules of the raw schema.")
    missing_raw: dict[str, float] = Field(description="Share of raw cells that say nothing believable, by column.")
    gates: list[Measure] = Field(
        description="Every figure that a gate bounds; overridden breaches with name and reason."
    )


def suspect_repeats(raw: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Constants that so many customers share that a copy's maker must have written them, by raw column."""
    customers = text(raw["Customer_ID"])
    enough = max(SUSPECT_CUSTOMERS, SUSPECT_SHARE * customers.nunique())
    result: dict[str, tuple[float, ...]] = {}
    for name in REPEATS_IN:
        values = pd.to_numeric(text(raw[name]).str.strip("_"), errors="coerce")
        values = values[values.between(NUMERIC[name].low, NUMERIC[name].high)]
        sharing = customers[values.index].groupby(values).nunique()
        new = [
            float(value)
            for value in sharing.index[sharing >= enough]
            if not np.isclose(value, NUMERIC[name].fills, rtol=0, atol=FILL_TOLERANCE).any()
        ]
        if new:
            result[name] = tuple(new)
    return result


def summarise(
    result: CleanResult,
    *,
    raw_sha256: str,
    served: pd.DataFrame,
    test: pd.Series,
    out_of_time: tuple[int, ...],
    violations: pd.DataFrame,
    fills: Fills,
    gates: Sequence[Measure],
) -> Quality:
    """The report of one preparation; `served` are the rows as the API would see them, `test` marks test customers'."""
    frame = result.frame
    late = served["month"].isin(out_of_time)
    sides = {
        name: Side(
            rows=int(side.sum()),
            customers=served["customer_id"][side].nunique(),
            out_of_time_rows=int((side & late).sum()),
        )
        for name, side in (("train", ~test), ("test", test))
    }
    return Quality(
        raw_sha256=raw_sha256,
        rows_in=len(frame) + len(result.quarantine),
        rows_out=len(frame),
        rows_quarantined=len(result.quarantine),
        rows_served=len(served),
        customers=frame["customer_id"].nunique(),
        months=sorted(int(month) for month in frame["month"].unique()),
        out_of_time_months=list(out_of_time),
        split=sides,
        labels=_shares(frame["label"]),
        quarantine=_counts(result.quarantine["reason"]),
        rules=result.counts.nested(),
        balance_identity=_counts(frame[IDENTITY_COLUMN]),
        missing={name: round(float(frame[name].isna().mean()), 6) for name in DESCRIBING_FIELDS},
        further_fills={name: list(values) for name, values in fills.items()},
        violations=[
            Violation(column=column, rule=rule, rows=int(rows), share=round(float(share), 6))
            for column, rule, rows, share in violations.itertuples(index=False, name=None)
        ],
        missing_raw={one.column: one.value for one in gates if one.gate == "missing_cells"},
        gates=list(gates),
    )


def as_markdown(quality: Quality) -> str:
    """The report as tables for people: terminal, artifact or file."""
    shares = f"{quality.rows_quarantined / max(quality.rows_in, 1):.2%}"
    lines = [
        "# Data quality",
        "",
        f"Raw file {quality.raw_sha256[:12]}: {quality.rows_in:,} rows in = {quality.rows_out:,} clean + "
        f"{quality.rows_quarantined:,} in quarantine ({shares}); {quality.customers:,} customers, "
        f"months {quality.months[0]} to {quality.months[-1]}."
        if quality.months
        else "No clean row.",
        "",
        f"As the API would see them, each by itself, {quality.rows_served:,} of the clean rows tell what a score needs"
        ": these are learned from and judged on; quarantine.parquet has the others too.",
        "",
        *_picture(quality),
    ]
    split = [
        (name, f"{side.rows:,}", f"{side.customers:,}", f"{side.out_of_time_rows:,}")
        for name, side in quality.split.items()
    ]
    lines += _table("Split by customer, rows as served", ("side", "rows", "customers", "rows out of time"), split)
    broken = [(v.column, v.rule, f"{v.rows:,}", f"{v.share:.2%}") for v in quality.violations]
    lines += _table("Violated rules of the raw schema", ("column", "rule", "rows", "share"), broken)
    done = [
        (rule, column, f"{count:,}", MEANING[CleaningRule(rule)])
        for rule, columns in quality.rules.items()
        if rule != CleaningRule.QUARANTINED
        for column, count in columns.items()
    ]
    lines += _table("What cleaning did", ("rule", "column", "cells", "meaning"), done)
    aside = [(reason, f"{count:,}") for reason, count in quality.quarantine.items()]
    lines += _table("Quarantine", ("reason", "rows"), aside)
    return "\n".join(lines)


def _picture(quality: Quality) -> list[str]:
    """What a person sees in ten seconds: rows kept, labels, the gaps, and whether the gates hold."""
    broken = [one for one in quality.gates if not one.passed]
    gates_line = f"{len(quality.gates) - len(broken):,} hold, {len(broken):,} overridden"
    worst = sorted(quality.missing_raw.items(), key=lambda one: -one[1])[:_GAPS_SHOWN]
    bars = [
        ("rows kept", quality.rows_out / max(quality.rows_in, 1)),
        *((f"label {name}", share) for name, share in quality.labels.items()),
        *((f"missing {name}", share) for name, share in worst),
    ]
    width = max(len(name) for name, _ in bars)
    lines = [f"{name.ljust(width)} {_bar(share)} {share:6.1%}" for name, share in bars]
    lines.append(f"{'gates'.ljust(width)} {gates_line}")
    lines += [f"{'  overridden'.ljust(width)} {one.sentence()}: {one.overridden_by}, {one.reason}" for one in broken]
    return ["```text", *lines, "```", ""]


def _bar(share: float) -> str:
    filled = round(share * _BAR_CELLS)
    return "█" * filled + "░" * (_BAR_CELLS - filled)


def _table(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A markdown table padded so that it reads well in a terminal too."""
    if not rows:
        return [f"## {title}", "", "none", ""]
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    body = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (header, tuple("-" * width for width in widths), *rows)
    ]
    return [f"## {title}", "", *body, ""]


def _counts(cells: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in sorted(cells.value_counts().items())}


def _shares(cells: pd.Series) -> dict[str, float]:
    return {str(name): round(float(share), 6) for name, share in sorted(cells.value_counts(normalize=True).items())}
