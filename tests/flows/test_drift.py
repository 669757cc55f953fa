"""The drift flow on the real store and a real Prefect server: verdict, reports, artifacts, one alert, no repeat."""

from datetime import UTC, date, datetime, timedelta

import boto3
import numpy as np
import pandas as pd
import pytest

from flows import drift as drift_module
from flows import monitor, performance
from flows.monitor import Check, State
from flows.verdicts import History, ModelInWindow, Moment, WindowVerdict
from flows.windows import DriftSettings

TODAY = datetime.now(UTC).date()
MODEL = ModelInWindow(name="credit-score", version="3", digest="d" * 64)
SETTINGS = DriftSettings(maturity_days=0, minimum_rows=500, retrain=False)
CANARY = "CANARY-7731"


def answers(rows: int, seed: int) -> pd.DataFrame:
    """Applicants within the contract, honest probabilities and true labels."""
    rng = np.random.default_rng(seed)
    columns = monitor.contract_columns()
    frame = {}
    for column in columns:
        if column.kind == "number":
            frame[column.name] = np.abs(rng.normal(20, 4, rows))
        elif column.kind == "category":
            frame[column.name] = rng.choice(column.levels, rows)
        else:
            frame[column.name] = rng.choice(["", "auto", "auto|personal"], rows)
    shares = rng.dirichlet((2, 3, 2), rows)
    classes = np.array(performance.CLASSES)
    label = classes[(shares.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)]
    predicted = classes[shares.argmax(axis=1)]
    probabilities = dict(zip(performance.PROBABILITIES, shares.T, strict=True))
    return pd.DataFrame(frame | probabilities).assign(
        prediction_id=[f"p{seed}-{i}" for i in range(rows)],
        as_of=TODAY.isoformat(),
        model_version=MODEL.version,
        model_digest=MODEL.digest,
        partner=CANARY,
        customer_ref=CANARY,
        score=(1000 * (shares[:, 2] + shares[:, 1] / 2)).round(),
        band=predicted,
        predicted_class=predicted,
        reasons="DEBT",
        label=label,
    )


def put(client, kind: str, name: str, frame: pd.DataFrame) -> None:
    """Store the rows as the service would."""
    key = f"{kind}/dt={TODAY.isoformat()}/{name}.csv"
    client.put_object(Bucket="predictions", Key=key, Body=frame.to_csv(index=False).encode())


@pytest.fixture(name="client")
def fixture_client(object_store, monkeypatch):
    """An S3 client of the real gateway with empty buckets, and the reference as the registry would give it."""
    for name, value in object_store.variables.items():
        monkeypatch.setenv(name, value)
    store = boto3.client("s3")
    reference = drift_module.Reference(MODEL, answers(4_000, 1).drop(columns="reasons"), ("annual_income",))
    monkeypatch.setattr(drift_module, "load_reference", lambda version, digest: reference)
    yield store
    for bucket in ("predictions", "reports"):
        for item in store.list_objects_v2(Bucket=bucket).get("Contents", []):
            store.delete_object(Bucket=bucket, Key=item["Key"])


@pytest.fixture(name="events")
def fixture_events(monkeypatch) -> list[dict]:
    """Every event the flow emits."""
    emitted: list[dict] = []
    monkeypatch.setattr(drift_module, "emit_event", lambda **event: emitted.append(event))
    return emitted


@pytest.fixture(name="current")
def fixture_current(client):
    """The verdict that staff pages read."""
    return lambda: WindowVerdict.model_validate_json(
        client.get_object(Bucket="reports", Key="current.json")["Body"].read()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_quiet_window_is_green_and_leaves_reports(client, events, current):
    """Green, no alert, the interactive report and the summary in bucket `reports`, nobody's reference in any of it."""
    put(client, "predictions", "w-1", answers(1_000, 2).drop(columns="label"))
    assert drift_module.drift(SETTINGS) is State.GREEN
    made = current()
    assert (made.state, made.rows, made.compared_rows) == (State.GREEN, 1_000, 1_000)
    assert {column.name for column in made.columns} >= {"annual_income", "score", "predicted_class"}
    assert events == []
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="reports")["Contents"]]
    assert {key.rsplit("/", 1)[-1] for key in keys} == {
        "report.html",
        "report.json",
        "summary.json",
        "trend.png",
        "current.json",
        "history.json",
    }
    for key in keys:
        assert CANARY.encode() not in client.get_object(Bucket="reports", Key=key)["Body"].read()


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_a_red_window_alerts_once_and_a_second_run_changes_nothing(client, events, current):
    """Incomes that double are red with the column named; the same window again gives the same verdict and no alert."""
    moved = answers(1_000, 3).assign(annual_income=lambda frame: frame["annual_income"] * 2)
    put(client, "predictions", "w-1", moved.drop(columns="label"))
    assert drift_module.drift(SETTINGS) is State.RED
    first = current()
    assert events[0]["payload"]["worst_columns"][0] == "annual_income"
    assert drift_module.drift(SETTINGS) is State.RED
    assert current() == first
    assert len(events) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.usefixtures("events")
def test_outcomes_that_contradict_the_model_are_concept_drift(client, current):
    """Same applicants, labels that changed their meaning: only the performance turns red."""
    rows = answers(1_000, 4)
    put(client, "predictions", "w-1", rows.drop(columns="label"))
    worse = rows["label"].where(np.random.default_rng(0).random(len(rows)) > 0.4, "Poor")
    outcomes = pd.DataFrame(
        {"prediction_id": rows["prediction_id"], "observed_class": worse, "observed_at": TODAY.isoformat()}
    )
    put(client, "outcomes", "w-1", outcomes)
    assert drift_module.drift(SETTINGS) is State.RED
    states = {check.name: check.state for check in current().checks}
    assert states["concept drift"] is State.RED
    assert {column.state for column in current().columns} == {State.GREEN}


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("rows", [0, 1, 50])
@pytest.mark.usefixtures("events")
def test_a_window_with_too_few_rows_is_insufficient(client, rows):
    """Never green for lack of data, and no crash."""
    if rows:
        put(client, "predictions", "w-1", answers(rows, 5).drop(columns="label"))
    assert drift_module.drift(SETTINGS) is State.INSUFFICIENT


def verdict(*checks: Check, reasons: tuple[str, ...] = ()) -> WindowVerdict:
    """A red verdict with the given checks."""
    return WindowVerdict(
        state=State.RED,
        reasons=reasons,
        window={"start": TODAY, "end": TODAY + timedelta(days=1)},
        model=MODEL,
        rows=1,
        compared_rows=1,
        columns=[],
        checks=list(checks),
        outcomes={},
        made_at=datetime.now(UTC),
    )


RED = Check(name="concept drift", state=State.RED, explanation="it drifted")
TRAINED = Moment(
    state=State.RED,
    start=TODAY,
    end=TODAY,
    version="2",
    amber=(),
    psi={},
    report="",
    made_at=datetime.now(UTC) - timedelta(days=3),
    retrained=True,
)


@pytest.mark.parametrize(
    ("made", "history", "retrain", "expected"),
    [
        (verdict(RED), History(), True, True),
        (verdict(RED), History(), False, False),
        (verdict(RED), History(moments=(TRAINED,)), True, False),
        (verdict(RED, reasons=("data quality: annual_income",)), History(), True, False),
        (verdict(), History(), True, False),
    ],
    ids=["performance red", "switched off", "within the cool-down", "data quality red", "only the data moved"],
)
def test_training_starts_only_when_the_rules_allow(made, history, retrain, expected):
    """Red performance on sound data starts one training per cool-down; nothing else does."""
    settings = SETTINGS.model_copy(update={"retrain": retrain})
    assert drift_module.may_retrain(made, history, settings, TODAY) is expected


def test_the_history_keeps_one_line_a_window_and_finds_the_one_before():
    """A window judged again replaces its line; `amber_before` skips other versions and windows without a verdict."""
    day = date(2026, 10, 1)
    lines = [
        TRAINED.model_copy(update={"start": day, "end": day + timedelta(days=i), "version": "3", "amber": (f"c{i}",)})
        for i in (1, 2)
    ]
    blind = lines[0].model_copy(update={"end": day + timedelta(days=3), "state": State.INSUFFICIENT})
    history = History()
    for line in [*lines, lines[1], blind]:
        history = history.with_moment(line)
    assert len(history.moments) == 3
    assert history.amber_before(day + timedelta(days=4), "3") == {"c2"}
    assert history.amber_before(day + timedelta(days=4), "9") == frozenset()
