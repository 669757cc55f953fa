"""Domain objects for tests: generated applicants, and a small real model packed from them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.packing import model_package
from service import files
from service.contract import Applicant, Basis, CreditMix, MinimumPayment, PaymentBehaviour
from service.score import features
from service.score.manifest import Draft, Manifest
from service.score.manifest_parts import Data
from service.score.policy import CLASSES, Objective

Columns = dict[str, Any]
SHELF = "TEST_MODELS"
"""Variable that names the folder where a test run's models are kept, from its first worker to its last."""
SET_THRESHOLDS: dict[Basis, tuple[float, float, float]] = {
    Basis.APPLICANT: (0.2, 0.3, 0.25),
    Basis.KNOWN_CUSTOMER: (0.4, 0.45, 0.4),
}


def applicant_columns(rows: int, seed: int = 0) -> tuple[Columns, NDArray[np.int64]]:
    """Generated applicants as columns, and their classes 0 (Poor) to 2 (Good); one latent quality drives both."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=rows)
    income = np.exp(10.5 + 0.3 * quality + rng.normal(0, 0.5, rows)).round(2).clip(0, 1e7)
    salary = (income / 12 * rng.normal(0.99, 0.05, rows)).round(2)
    loans = np.clip(3 - quality + rng.normal(0, 1.5, rows), 0, 9).round()
    kinds = [list(rng.choice(features.LOAN_KINDS, int(count))) for count in loans]

    def falling(middle: float, slope: float, spread: float, high: float) -> NDArray[np.float64]:
        return np.clip(middle - slope * quality + rng.normal(0, spread, rows), 0, high)

    columns: Columns = {
        "annual_income": income,
        "monthly_inhand_salary": _holed(salary, 0.15, rng),
        "num_bank_accounts": falling(5, 1.5, 1.5, 11).round(),
        "num_credit_cards": falling(5.5, 1, 1.5, 11).round(),
        "num_loans": loans,
        "loan_types": np.array(
            ["|".join(names) if told else "" for names, told in zip(kinds, rng.random(rows) > 0.05)]
        ),
        "interest_rate": falling(14, 5, 4, 34).round(),
        "delay_from_due_date": falling(20, 8, 8, 67).round(),
        "num_delayed_payments": _holed(falling(13, 4, 3, 28).round(), 0.07, rng),
        "num_credit_inquiries": _holed(falling(6, 2, 2, 17).round(), 0.02, rng),
        "changed_credit_limit": _holed(rng.normal(10, 6, rows).round(2), 0.02, rng),
        "credit_mix": _banded(quality + rng.normal(0, 0.7, rows), list(CreditMix), 0.2, rng),
        "outstanding_debt": falling(1400, 600, 500, 5000).round(2),
        "credit_utilization_ratio": rng.uniform(20, 50, rows).round(2),
        "credit_history_months": _holed(
            np.clip(220 + 70 * quality + rng.normal(0, 50, rows), 1, 404).round(), 0.09, rng
        ),
        "payment_of_min_amount": _banded(quality + rng.normal(0, 1, rows), list(MinimumPayment), 0.12, rng),
        "total_emi_per_month": (loans * salary * 0.0077).round(2),
        "amount_invested_monthly": _holed((salary * rng.uniform(0.01, 0.13, rows)).round(2), 0.05, rng),
        "payment_behaviour": _banded(rng.normal(size=rows), list(PaymentBehaviour), 0.08, rng),
        "monthly_balance": _holed((250 + salary * 0.05 + 30 * quality).round(2), 0.01, rng),
    }
    # Some lists are untold: the contract allows an empty one beside any number of loans.
    return columns, np.digitize(quality + rng.normal(0, 0.5, rows), [-0.6, 0.7])


def _holed(values: NDArray[np.float64], share: float, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.where(rng.random(len(values)) < share, np.nan, values)


def _banded(latent: NDArray[np.float64], levels: list[Any], share: float, rng: np.random.Generator) -> NDArray[Any]:
    """Levels by quantile of a latent value, some unknown."""
    edges = np.quantile(latent, np.linspace(0, 1, len(levels) + 1)[1:-1])
    found = np.array([str(level) for level in levels], dtype=object)[np.digitize(latent, edges)]
    found[rng.random(len(latent)) < share] = None
    return found


def applicant(columns: Columns, row: int, **overrides: Any) -> Applicant:
    """One of the generated applicants as the contract has it."""
    values: dict[str, Any] = {"loan_types": [kind for kind in columns["loan_types"][row].split("|") if kind]}
    for name, column in columns.items():
        if name == "loan_types":
            continue
        value = column[row]
        if value is None or value != value:  # pylint: disable=comparison-with-itself  # NaN
            values[name] = None
        else:
            values[name] = int(value) if name.startswith("num_") or name.endswith("_months") else value
    return Applicant.model_validate(values | overrides, strict=False)


def pack_small_model(
    directory: Path,
    objective: Objective = "MultiClass",
    *,
    rows: int = 3000,
    trees: int = 60,
    seed: int = 0,
    version: str = "1",
    compile_kernel: bool = True,
) -> Manifest:
    """A small real model of generated applicants, packed into `directory`.

    In a test run it is trained once for all who ask with the same arguments, in any of pytest's workers, and copied.
    """
    asked = (objective, rows, trees, seed, version, compile_kernel)
    if SHELF not in os.environ:
        return _trained(directory, *asked)
    kept = Path(os.environ[SHELF]) / "-".join(map(str, asked))
    with files.locked(kept.with_name(f"{kept.name}.lock")):
        if not kept.exists():
            draft = Path(tempfile.mkdtemp(dir=kept.parent)) / "model"
            _trained(draft, *asked)
            draft.rename(kept)
    shutil.copytree(kept, directory, dirs_exist_ok=True)
    return Manifest.read(directory)


def _trained(  # pylint: disable=too-many-arguments,too-many-positional-arguments  # as `pack_small_model`
    directory: Path, objective: Objective, rows: int, trees: int, seed: int, version: str, compile_kernel: bool
) -> Manifest:
    from catboost import CatBoostClassifier

    columns, classes = applicant_columns(rows, seed)
    labels: Any = np.array([str(name) for name in CLASSES])[classes]
    if objective == "MultiLogloss":
        labels = np.column_stack([classes > 0, classes > 1]).astype(np.int64)
    model = CatBoostClassifier(
        iterations=trees,
        depth=6,
        learning_rate=0.15,
        loss_function=objective,
        thread_count=2,
        random_seed=seed,
        allow_writing_files=False,
        verbose=False,
    )
    model.fit(features.matrix(columns), labels)
    draft = Draft(
        objective=objective,
        data=Data(source="generated", rows=rows, customers=rows),
        set_thresholds=SET_THRESHOLDS,
        model_card="# A small model of generated applicants\n",
    )
    model_package.assemble(directory, model, draft, columns, classes == 2)
    return model_package.complete(directory, version=version, compile_kernel=compile_kernel)
