"""`make demo`: from a clean clone to a scored applicant, with the real parts and nothing in between left out.

Safe to repeat: what stands is used again. A champion trained on the very same data is not trained anew, an approved
version is not asked for again, a packed Bento is not packed again; applicants are scored and drift is judged each time.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

from bentos import reviewers
from bentos.digests import combined, file_sha256
from bentos.registry.signing import Reviewers
from bentos.settings import BentosSettings
from infra.demo.partner import Api, applicants, await_stored, drift_state, send
from infra.demo.runs import OVER, Run, Runs
from infra.demo.stages import Stages, call, tell
from infra.errors import StackError
from infra.settings import ROOT, read_settings
from infra.stack.credentials import OPERATOR
from infra.stack.guards import exclusive, interruptible
from infra.stack.mlflow_models import Models, RegisteredVersion, packed
from infra.stack.partner_keys import partner_key
from infra.stack.parts import served_bento
from infra.stack.supervisor import Stack

REVIEWER: Final = "demo"
ANSWERS: Final = "in front of partners"
NOTE: Final = "Approved by make demo, which stands in for a person on this machine."
TRAFFIC: Final = 600  # the drift flow wants at least 500 predictions
EVENT_PATIENCE_S: Final = 30.0
SHIPPED_PATIENCE_S: Final = 120.0
PROCESSED: Final = ROOT / "data" / "processed"


@dataclass(frozen=True)
class DemoResult:
    """What the demo ends with."""

    score: dict[str, Any]
    rows: int
    drift: Run
    image: str


class Demo:
    """The stages, in order."""

    def __init__(self, stack: Stack, data: str) -> None:
        self.stack = stack
        self.settings = stack.settings
        self.data = data
        self.stages = Stages(8)
        self.runs = Runs(self.settings.prefect_url, tell, stack.logins.prefect_auth)
        self.models = Models(self.settings.mlflow_url, (OPERATOR, stack.logins.mlflow))

    def play(self) -> DemoResult:
        """All stages."""
        with self.stages.stage(f"data: DATA={self.data}, checked"):
            call(self.settings, {}, "-m", "flows.dataset", "fetch", "--data", self.data)
        with self.stages.stage("stack: object store, MLflow, Prefect, worker"):
            self.stack.up()
        with self.stages.stage("data: validated, cleaned, split by customer, versioned with DVC"):
            self._prepare()
        with self.stages.stage("training: fit, judged on unseen customers, registered as challenger"):
            version = self._train()
        with self.stages.stage("registration: release checks, then a person's verdict in Prefect's form"):
            self._register(version)
        with self.stages.stage("packaging: the approved version into an immutable Bento, smoke-tested, served"):
            packaging = self._package(version)
            partner_key(self.settings.state_dir / "service", self.stack.demo_key)
            self.stack.up()
        with self.stages.stage("scoring: one applicant, then a day of traffic through the API"):
            score, rows = self._traffic(version)
        with self.stages.stage("drift: what production was asked, against what the model was judged on"):
            drift = self.runs.follow(self.runs.start("drift", {}))
        return DemoResult(score, rows, drift, self._image(packaging))

    def _prepare(self) -> None:
        command = ("-m", "flows.dataset", "reproduce", "--data", self.data, "--push")
        log = self.settings.state_dir / "logs" / "prepare.log"  # tables of a hundred lines
        call(self.settings, self.stack.variables, *command, log=log)

    def _train(self) -> RegisteredVersion:
        """The version to go on with: one that was trained on this data, or a new one."""
        data = combined({name: file_sha256(PROCESSED / name) for name in ("train.parquet", "test.parquet")})
        earlier = self.models.trained_on(data)
        if earlier:
            tell(f"version {earlier.number} was trained on this very data: used again")
            return earlier
        run = self.runs.start("training", {})
        tell(self.runs.page(run))
        self.runs.follow(run)
        version = self.models.trained_on(data)
        if not version:
            raise StackError(f"the training registered no version; see {self.runs.page(run)}")
        return version

    def _register(self, version: RegisteredVersion) -> None:
        if self._champion_is(version):
            tell(f"version {version.number} is the champion already")
            return
        run = self._run_for("registration", version)
        tell(self.runs.page(run))
        if self.runs.follow(run).state == "PAUSED":
            tell(f"reviewer {REVIEWER} fills in the form: approve")
            answers = {"reviewer": REVIEWER, "verdict": "approve", "note": NOTE, "signature": self._signature(run)}
            self.runs.resume(run, answers)
            self.runs.follow_on(run)
        if not self._champion_is(version):
            failed = [row["title"] for row in self.runs.table(run, "release-checks") if row["result"] == "failed"]
            raise StackError(
                f"version {version.number} was not released ({', '.join(failed) or 'no check failed'}); "
                f"`make up`, then decide in {self.runs.page(run)}"
            )

    def _signature(self, run: Run) -> str:
        """What the demo's reviewer signs with the key of their own, made once."""
        settings = BentosSettings(state_dir=self.settings.state_dir)
        if REVIEWER not in Reviewers.read(settings.reviewers_file).keys:
            reviewers.issue(settings, REVIEWER)
        statement = self.runs.table(run, "to-sign")[0]["statement"]
        return reviewers.sign(statement, REVIEWER, reviewers.key_file(settings, REVIEWER))

    def _champion_is(self, version: RegisteredVersion) -> bool:
        champion = self.models.under("champion")
        return champion is not None and champion.number == version.number

    def _package(self, version: RegisteredVersion) -> Run | None:
        """The run that packs the version, once it answers; nothing if it is packed already."""
        bento = served_bento(self.settings)
        if bento and packed(version, bento, self.settings.state_dir / "bentoml"):
            tell(f"{bento} is packed already")
            return None
        run = self._run_for("packaging", version)
        tell(self.runs.page(run))
        return self.runs.follow(run, enough=lambda now: ANSWERS in self._steps(now))

    def _steps(self, packaging: Run) -> dict[str, str]:
        """What a packaging run shows so far: steps with their results."""
        return {row["step"]: row["result"] for row in self.runs.table(packaging, "packaging")}

    def _image(self, packaging: Run | None) -> str:
        """What became of the image, which is made while the version answers already."""
        if packaging is None:
            return "as the packaging run of that version says"
        return f"{self._steps(packaging)['image']}: {self.runs.page(packaging)}"

    def _run_for(self, deployment: str, version: RegisteredVersion) -> Run:
        """The run that the event of this version started; one started by hand where no event arrived."""

        def suits(run: Run) -> bool:
            return str(run.parameters.get("version")) == str(version.number) and run.state not in OVER

        event_run = self.runs.started_by_event(deployment, suits, EVENT_PATIENCE_S)
        return event_run or self.runs.start(deployment, {"version": version.number})

    def _traffic(self, version: RegisteredVersion) -> tuple[dict[str, Any], int]:
        api = Api(self.settings.api_url, self.stack.demo_key.read_text().strip())
        rows = applicants(PROCESSED, TRAFFIC)
        start = time.monotonic()
        first = api.score(rows[0])
        if str(first["model"]["version"]) != str(version.number):
            raise StackError(
                f"the API answers with version {first['model']['version']}, not {version.number}: `make down` first"
            )
        tell(f"score {first['score']} ({first['band']}), prediction {first['prediction_id']}")
        ids = {str(score["prediction_id"]) for score in send(api, rows[1:])} | {str(first["prediction_id"])}
        tell(f"{len(ids)} applicants scored in {time.monotonic() - start:.1f} s")
        await_stored(self.settings.store_url, self.stack.pair, ids, SHIPPED_PATIENCE_S)
        tell(f"all {len(ids)} predictions lie in bucket predictions")
        return first, len(ids)


def summary(stack: Stack, outcome: DemoResult, elapsed_s: float) -> str:
    """The one summary at the end."""
    settings, score = stack.settings, outcome.score
    chances = ", ".join(f"{name} {share:.2f}" for name, share in score["probabilities"].items())
    rows = {
        "score": f"{score['score']} of 1000, band {score['band']} ({chances})",
        "model": f"{score['model']['name']} version {score['model']['version']}, digest {score['model']['digest'][:9]}",
        "image": outcome.image,
        "traffic": f"{outcome.rows} predictions, all in bucket predictions",
        "drift": f"{drift_state(settings.store_url, stack.pair)}:"
        f" {settings.prefect_url}/runs/flow-run/{outcome.drift.id}",
        "Prefect": settings.prefect_url,
        "MLflow": settings.mlflow_url,
        "sign in": stack.logins.sign_in_line,
        "API docs": f"{settings.api_url}/docs (any user, password: the key in {stack.demo_key})",
        "UI": settings.ui_url,
        "state": f"{settings.state_dir} (a shell becomes a client by `. .local/env`)",
        "took": f"{elapsed_s:.0f} s; the stack stays up, `make down` stops it",
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def play(data: str) -> None:
    """Play the demo and print its summary; stopped half way, it stops what it had started."""
    stack = Stack(read_settings())
    with exclusive(stack.settings.state_dir / "demo.lock", "demo"), interruptible():
        was_up = stack.running()
        demo = Demo(stack, data)
        try:
            outcome = demo.play()
        except BaseException:
            print(f"\nstopped in: {demo.stages.current}", file=sys.stderr, flush=True)
            if not was_up:
                stack.down()
            raise
        print("\n" + summary(stack, outcome, demo.stages.elapsed_s), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after the summary; 1 and one line when a stage fails; 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo.play", description=__doc__)
    parser.add_argument("--data", default="sample", help="sample, kaggle, or a path to Kaggle's train.csv(.gz)")
    options = parser.parse_args(arguments)
    try:
        play(options.data)
    except StackError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: stopped by you; `make demo` with the same DATA goes on where it stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
