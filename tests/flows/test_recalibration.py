"""From outcomes of a new quarter to a challenger of the same trees, on real stores, MLflow and Prefect."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bentos.registry.decision import Decision
from bentos.registry.version import Version
from bentos.registry.versions import CHALLENGER, CHAMPION, Registry
from bentos.settings import BentosSettings
from flows.learning.known_features import known_in
from flows.monitoring.quarter_outcomes import first_day, quarter_of, read_outcomes
from flows.predictions.columns import contract_columns
from service.score.manifest import MODEL_FILE, REFERENCE_FILE, Manifest
from service.score.policy import CLASSES
from tests.flows.prepared_data import prepared_frame
from tests.flows.training_place import training_place
from tests.signing import approval, trust

HOME = Path(__file__).resolve().parents[2]
TODAY = datetime.now(UTC).date()
NOW = quarter_of(TODAY)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]


def answered(rows: int, seed: int, version: str = "1", as_of: date = TODAY) -> pd.DataFrame:
    """Stored answers of generated applicants, a third of them known customers, with their true class beside."""
    frame = prepared_frame(rows // 8 + 1, seed).head(rows)
    fields = [column.name for column in contract_columns()]
    before = (as_of - timedelta(days=31)).isoformat()
    known = np.arange(rows) % 3 == 0
    return frame[fields].assign(
        prediction_id=[f"{as_of:%Y%m%d}-{version}-{seed}-{row}" for row in range(rows)],
        as_of=as_of.isoformat(),
        customer_ref=frame["customer_id"],
        model_version=version,
        model_digest="d" * 64,
        previous_classes=np.where(known, frame["label"].astype(str) + f"@{before}", ""),
        label=frame["label"].astype(str),
    )


def came(frame: pd.DataFrame, observed_at: date = TODAY, flipped: float = 0.0) -> pd.DataFrame:
    """Outcomes of the answers; a share of them is any class, so that no model can be as sure as before."""
    rng = np.random.default_rng(0)
    chance = rng.choice([str(name) for name in CLASSES], len(frame))
    observed = np.where(rng.random(len(frame)) < flipped, chance, frame["label"])
    return pd.DataFrame(
        {"prediction_id": frame["prediction_id"], "observed_class": observed, "observed_at": observed_at.isoformat()}
    )


def put(client: Any, kind: str, frame: pd.DataFrame, day: date = TODAY) -> None:
    """Store rows as the service would."""
    key = f"{kind}/dt={day.isoformat()}/{uuid.uuid4().hex}.csv"
    client.put_object(
        Bucket="predictions", Key=key, Body=frame.drop(columns="label", errors="ignore").to_csv(index=False)
    )


def test_outcomes_are_read_by_quarter_whichever_version_answered(store: Any) -> None:
    """Each answer once: repeats, contradictions, early ones and answers that the bucket never saw are set aside."""
    last = first_day(NOW) - timedelta(days=5)
    one, two, earlier = answered(60, 1, "1"), answered(40, 2, "2"), answered(24, 3, "1", last)
    for frame, day in ((one, TODAY), (two, TODAY), (earlier, last)):
        put(store, "predictions", frame, day)
        put(store, "outcomes", came(frame))
    put(store, "outcomes", came(one.head(10)))
    contrary = came(two.head(4)).assign(observed_class=lambda told: told["observed_class"].map(_other))
    put(store, "outcomes", contrary)
    put(store, "outcomes", came(answered(7, 9)))  # of a test key, say: its answers never reach the bucket
    late = answered(5, 4)
    put(store, "predictions", late)
    put(store, "outcomes", came(late, TODAY - timedelta(days=1)))

    found, aside = read_outcomes(store, "", TODAY)

    assert {name: len(each.frame) for name, each in found.items()} == {quarter_of(last): 24, NOW: 96}
    assert set(found[NOW].frame["model_version"]) == {"1", "2"}
    assert {reason: count for reason, count in aside.items() if count} == {
        "repeated": 10,
        "contradicting": 8,
        "unknown prediction": 7,
        "before the prediction": 5,
    }
    wanted = pd.concat([one, two]).set_index("prediction_id")["label"]
    labels = pd.Series(found[NOW].labels, index=found[NOW].frame["prediction_id"])
    assert [str(CLASSES[label]) for label in labels] == list(wanted[labels.index])
    features = found[NOW].features()
    known = found[NOW].frame["previous_classes"].fillna("") != ""
    assert np.array_equal(known_in(features), known) and known.any() and not known.all()
    assert list(read_outcomes(store, quarter_of(last), TODAY)[0]) == [quarter_of(last)]


def _other(name: str) -> str:
    return {"Poor": "Good", "Good": "Standard", "Standard": "Poor"}[name]


@pytest.fixture(scope="module", name="registry")
def fixture_registry(
    mlflow_server: str, prefect_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A registry whose champion was trained on generated data."""
    from flows.learning.fit import Parameters
    from flows.training import training
    from flows.training_form import TrainingForm

    folder = tmp_path_factory.mktemp("recalibration")
    with training_place(folder, mlflow_server, prefect_server):
        registry = Registry.connect(BentosSettings())
        recipe = Parameters(iterations=30, depth=4, folds=2)
        number = training(TrainingForm(data_dir=str(folder / "data"), learning=recipe, trainer="bob"))
        trust(BentosSettings(state_dir=folder / "state").reviewers_file)
        promote(registry, number, 0)
        yield registry


def promote(registry: Registry, number: int, expected: int) -> None:
    """Approve the version as its reviewer would."""
    version = registry.version(number)
    fields = {"version": number, "digest": version.digest, "verdict": "approve", "reviewer": "ana", "trainer": "bob"}
    decision = Decision.model_validate(fields | {"champion": expected, "at": datetime(2026, 11, 23, tzinfo=UTC)})
    registry.promote(approval(decision, version), expected=expected)


def test_no_and_too_few_outcomes_are_a_result(registry: Registry, store: Any) -> None:
    """How many are missing, and nothing is registered."""
    from flows.recalibration import RecalibrationForm, recalibration

    nothing = recalibration()
    frame = answered(120, 5)
    put(store, "predictions", frame)
    put(store, "outcomes", came(frame))
    few = recalibration()
    other = recalibration(RecalibrationForm(quarter="2020-Q1"))

    assert (nothing.version, nothing.missing, nothing.outcomes) == (0, 500, 0)
    assert (few.version, few.missing, few.outcomes) == (0, 380, 120) and "380 are missing" in few.text
    assert (other.version, other.missing) == (0, 500)
    assert registry.find(CHALLENGER) is None


def test_a_challenger_of_the_same_trees_is_registered_and_checked(
    registry: Registry, store: Any, tmp_path: Path
) -> None:
    """Only its calibration differs; the checks compare it on the new outcomes; a second time nothing is new."""
    from flows.recalibration import RecalibrationForm, recalibration
    from flows.reproduce import NotReproduced, reproduce
    from flows.review.against_champion import checks_of

    champion = registry.by_alias(CHAMPION)
    frame = answered(900, 7)
    put(store, "predictions", frame)
    put(store, "outcomes", came(frame, flipped=0.25))

    result = recalibration(RecalibrationForm(trainer="bob"))

    made = registry.by_alias(CHALLENGER)
    assert (result.version, result.quarter, result.outcomes, made.trainer) == (made.number, NOW, 900, "bob")
    assert made.digest == champion.digest and made.package_sha256 != champion.package_sha256
    before, after = _only_the_calibration_differs(
        *(registry.download(one.number, one.digest, tmp_path / f"{one.number}") for one in (champion, made))
    )
    checks = {check.code: check for check in checks_of(registry, made, champion)}
    assert not [code for code, check in checks.items() if "not measured" in check.explanation]
    assert checks["macro_f1"].value == 0.0 and checks["log_loss"].value is not None and checks["log_loss"].value < 0
    run, now = registry.run_metrics(made.run_id), NOW.lower().replace("-", "_")
    assert run[f"{now}.ece"] < run[f"{now}_before.ece"]
    assert run[f"{now}.accuracy"] == run[f"{now}_before.accuracy"]
    assert "## Recalibrated" in after.model_card
    with pytest.raises(NotReproduced, match=f"recalibrated version {champion.number}"):
        reproduce(registry, made.run_id, home=HOME)

    _and_again(registry, store, made, before, tmp_path)


def _only_the_calibration_differs(first: Path, second: Path) -> tuple[Manifest, Manifest]:
    """Both manifests of packages with the same trees, of which the second is less sure."""
    before, after = Manifest.read(first), Manifest.read(second)
    assert (first / MODEL_FILE).read_bytes() == (second / MODEL_FILE).read_bytes()
    differing = {name for name, value in after.model_dump().items() if value != before.model_dump()[name]}
    assert {"calibration", "calibration_known", "parameters", "golden_sha256"} <= differing
    assert not differing & {"features", "reference", "importance", "ranges", "data", "objective"}
    power = after.parameters["recalibration_power"]
    assert isinstance(power, float) and power < 1.0  # a quarter of the outcomes are chance: the model was too sure
    shares = [
        pd.read_parquet(place / REFERENCE_FILE)["risk_grade"].value_counts(normalize=True) for place in (first, second)
    ]
    assert (shares[0] - shares[1]).abs().max() < 0.02
    return before, after


def _and_again(registry: Registry, store: Any, made: Version, trained: Manifest, place: Path) -> None:
    """Once approved: nothing new from the same outcomes; from more, the number is fitted on what training left."""
    from flows.recalibration import RecalibrationForm, recalibration
    from flows.review.against_champion import checks_of

    promote(registry, made.number, registry.by_alias(CHAMPION).number)
    assert "Nothing new" in recalibration().text
    more = answered(400, 8)
    put(store, "predictions", more)
    put(store, "outcomes", came(more, flipped=0.25))
    again = registry.version(recalibration(RecalibrationForm(trainer="bob")).version)
    once, twice = (
        Manifest.read(registry.download(one.number, one.digest, place / f"again-{one.number}")).parameters
        for one in (made, again)
    )
    assert twice["recalibration_power"] == pytest.approx(once["recalibration_power"], abs=0.15)
    assert twice["calibration_sharpness"] == trained.parameters["calibration_sharpness"]
    stale = {check.code: check for check in checks_of(registry, made, registry.by_alias(CHAMPION))}
    assert "not measured" in stale["macro_f1"].explanation
