"""The model card: what a risk officer, a partner or an auditor must know of one model, as markdown.

Everything in it comes from the run it describes, but for the purpose and the prohibited uses. What was tried is read
from the record that `make tried` makes (`flows.learning.experiments`), and shown only where it is of this very data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from flows.documents.card_tables import bullet_list, interval, markdown_table, share
from flows.documents.card_weaknesses import certainty_section, stress_section, weak_section
from flows.learning.experiments import ExperimentRecord
from flows.learning.model_metrics import METRICS, Figures
from flows.review.fairness import FairnessReport
from flows.review.known_customers import KnownReport
from flows.review.release_evidence import DataEvidence, Evidence, RepairedReport
from flows.review.stability import DIRECTIONS, StabilityReport
from service.contract import PRODUCT, CreditClass
from service.score.features import FEATURES
from service.score.manifest import CARD_INTERNALS
from service.score.manifest_parts import Standing
from service.score.policy import CLASSES

PURPOSE: Final = """\
Scores an applicant's creditworthiness from the most recent month's data, 0 to 1000, for partner companies that weigh
a credit application together with what they know themselves. A score is an input to a decision, never the decision:
under LGPD art. 20 an applicant may ask for a person's review, which `POST /v1/predictions/{id}/review` records."""

PROHIBITED: Final = (
    "refusing anyone on the score alone, without the reasons and a person within reach",
    "employment, insurance, housing, or anything but a credit decision",
    "pricing by group, or joining the score with age, occupation, sex, race, religion or origin",
    "scoring people whose data is not of this kind: companies, other countries' bureaus, data older than a quarter",
    "reading a score as the chance of default: the label is a bureau's class, not an observed default",
)

LIMITS: Final = (
    "**The label is set anew each calendar quarter.** In the public data this was developed on it agrees "
    "0.87 between months of a quarter, 0.74 across one and "
    "0.69 across two, so a model is best in the quarter it learned and loses several points of accuracy in each after. "
    "Expect less than the pooled figures in production, where the quarter is always a new one.",
    "About 7 % of labels flip by one step for a single month at random; no model can know which.",
    "Age and occupation are no features; they are kept apart to audit fairness. The month is none: it does not "
    "come back.",
    "Most fields act in steps, and debt and income not always in one direction: the data is so. Models held to "
    "declared directions lost too much; the share of moves against them is reported above.",
    "For customers without an observed class, two independent searches found no honest way to the "
    "figures once aimed at "
    "on the public data (accuracy 0.715, macro-F1 0.700, AUC 0.865; two months later 0.650, 0.630, 0.805): they are "
    "**not reached**, and no longer tuned for. Known customers are another task and do not count towards them.",
    "Credit utilisation carries no information in this data and is accepted but not used.",
)


class CardFacts(BaseModel):
    """What a training run knows of its model; a part that is None was not measured, and the card says so."""

    model_config = ConfigDict(frozen=True)

    name: str = PRODUCT
    digest: str = Field(default="", description="SHA-256 of model.cbm, where known already.")
    trainer: str = ""
    git_revision: str = ""
    data_source: str = ""
    data_sha256: str = ""
    rows: int = 0
    customers: int = 0
    parameters: dict[str, str] = {}
    figures: dict[str, Figures] = Field(default={}, description="By slice; `pooled` first.")
    baselines: dict[str, Figures] = {}
    tried: ExperimentRecord | None = None
    evidence: Evidence = Field(default=Evidence(), description="What the release checks look at.")
    holdout_uses: int = Field(default=0, description="Versions judged on the customers set aside, this one included.")
    recalibration: str = Field(default="", description="What a recalibration did and found, as markdown.")


def model_card(facts: CardFacts) -> str:
    """The card of one model."""
    return (
        "\n\n".join(
            [
                f"# Model card: {facts.name}",
                _facts(facts),
                *([f"## Recalibrated\n\n{facts.recalibration}"] if facts.recalibration else []),
                f"## Purpose\n\n{PURPOSE}",
                "## Prohibited uses\n\n" + bullet_list(PROHIBITED),
                "## Data\n\n" + _data(facts),
                "## How good it is\n\n" + _quality(facts),
                "## Known customers\n\n" + _known(facts.evidence.known or {}),
                "## What to cut on\n\n" + _standing(facts),
                "## What an answer leaves open\n\n" + certainty_section(facts.evidence.certainty or {}),
                "## Hard times\n\n" + stress_section(facts.evidence.stress),
                "## Where it is weak\n\n" + weak_section(facts.evidence.weak),
                "## Groups of people\n\n" + _fairness(facts.evidence.fairness),
                "## How it moves, and its reasons\n\n" + _stability(facts.evidence.stability),
                "## What was tried\n\n" + tried(facts),
                "## Known limits\n\n" + bullet_list([_population(facts), *LIMITS]),
            ]
        )
        + "\n"
    )


def _facts(facts: CardFacts) -> str:
    trained, revision, learned = CARD_INTERNALS
    lines = {"digest of model.cbm": facts.digest, trained: facts.trainer, revision: facts.git_revision}
    parameters = ", ".join(f"{name} {value}" for name, value in facts.parameters.items())
    return bullet_list(
        [f"{name}: {value}" for name, value in lines.items() if value] + [f"{learned}: {parameters or '-'}"]
    )


def _data(facts: CardFacts) -> str:
    sentences = [
        f"{facts.rows} rows of {facts.customers} customers, source {facts.data_source or 'unknown'}, "
        f"SHA-256 `{facts.data_sha256 or 'unknown'}`",
        "customers are split by a hash of their id: nobody is both learned from and judged on",
        _holdout(facts.holdout_uses),
        "learned from and judged on as the API sees it: each row by itself, a gap filled from the same row alone and "
        "no amount of it corrected; the gates of a release ask about such rows",
        *_repaired(facts.evidence.repaired),
        f"{len(FEATURES)} features, all numbers: {', '.join(feature.name for feature in FEATURES)}",
    ]
    return bullet_list([*sentences, *_gates(facts.evidence.data)])


def _repaired(report: RepairedReport | None) -> list[str]:
    """How many rows need the customer's past to be scored at all."""
    if report is None:
        return ["rows repaired from the customer's own past: not measured"]
    return [
        f"{report.rows_as_served} of the {report.rows} rows set aside tell what a score needs by themselves; slice "
        "`repaired` judges all of them with what the customer's own earlier months tell, never later ones"
    ]


def _gates(data: DataEvidence | None) -> list[str]:
    """What the gates of the data found, and whom to ask about what was let through."""
    if data is None or data.gates is None:
        return ["gates of the data: not measured"]
    let_through = [
        f"let through **{one.gate} of {one.column}** ({one.value:.4g}) by {one.overridden_by}: {one.reason}"
        for one in data.let_through
    ]
    within = sum(one.passed for one in data.gates)
    return [f"{within} of {len(data.gates)} figures of the data lie within the bounds of their gates", *let_through]


def _holdout(uses: int) -> str:
    """How worn the customers set aside are: each version that is judged on them makes their word a little kinder."""
    if not uses:
        return "how often the customers set aside were used is not known"
    return (
        f"the customers set aside have judged {uses} version{'s' if uses > 1 else ''} of this data and chose no "
        "parameter; another `prepare.seed` in `data/params.yaml` sets others aside"
    )


def _quality(facts: CardFacts) -> str:
    if not facts.figures:
        return "Not measured."
    slices = list(facts.figures)
    header = "Unseen customers, rows as served; 95 % bootstrap intervals by customer in brackets."
    rows = [
        [name, *(interval(facts.figures[place].get(name)) for place in slices)]
        for name in METRICS
        if any(name in facts.figures[place] for place in slices)
    ]
    text = f"{header}\n\n{markdown_table(['metric', *slices], rows)}"
    if facts.baselines:
        names = ("accuracy", "macro_f1", "auc_ovr", "log_loss", "severe_error_rate")
        rows = [[baseline, *(interval(part.get(name)) for name in names)] for baseline, part in facts.baselines.items()]
        text += f"\n\nBaselines on the same rows:\n\n{markdown_table(['baseline', *names], rows)}"
    return text


KNOWN: Final = """\
With a class that was **observed** earlier (`previous_classes`; never a score or class of ours, which would feed the
model
its own word) a customer is known, and answers say `basis: known_customer`. That is another task than scoring an unknown
applicant, so it is judged apart, by the age of the last class, beside the yardstick of repeating that class. Every
customer, each judged by a model that never saw them."""


def _known(reports: Mapping[str, KnownReport]) -> str:
    """Figures of known customers by the age of their last class, and the yardstick's."""
    if not reports:
        return f"{KNOWN}\n\nNot measured."
    rows = [
        [
            name,
            str(one.rows),
            *(interval(one.figures.get(metric)) for metric in ("accuracy", "macro_f1", "auc_ovr", "ece")),
            interval(one.figures.get("severe_error_rate"), 4),
            interval(one.repeated.get("accuracy")),
            interval(one.gain.get("accuracy")),
        ]
        for name, one in reports.items()
    ]
    head = ["last class", "rows", "accuracy", "macro-F1", "AUC", "ECE", "severe errors", "repeating it", "gain"]
    return f"{KNOWN}\n\n{markdown_table(head, rows)}"


CUTTING: Final = """\
The score is a standing on the whole: customers likely to be Good are also likelier to be Poor than plain Standard
ones, so
the share of Poor does not fall from step to step of the score. No single index ranks both ends. To keep Poor out, cut
on `risk_grade` (strictly by the probability of Poor) or on `probabilities.Poor`; to find Good, cut on the score."""


def _standing(facts: CardFacts) -> str:
    """Who lies where: by risk grade in every slice, by step of the score; what a cut-off takes and refuses."""
    grades, score_steps = facts.evidence.grades or {}, facts.evidence.score_steps or {}
    if not grades:
        return f"{CUTTING}\n\nNot measured."
    parts = [CUTTING, "Every customer, each judged by a model that never saw them."]
    for place, table in grades.items():
        parts += [f"By risk grade, {place}:", _standings(table)]
    if pooled := score_steps.get("pooled"):
        parts += ["By step of the score, pooled (quarters are in the manifest):", _standings(pooled)]
    return "\n\n".join(parts)


def _standings(table: Sequence[Standing]) -> str:
    """One row a step: its rows and classes, and what taking everything up to it would take and refuse."""
    rows, accepted, poor = [], 0, 0.0
    every = sum(one.rows for one in table)
    all_poor = sum(one.rows * one.classes[CreditClass.POOR].value for one in table)
    for one in table:
        accepted, poor = accepted + one.rows, poor + one.rows * one.classes[CreditClass.POOR].value
        rows.append(
            [
                one.name,
                str(one.rows),
                f"{one.share:.1%}",
                *(interval(one.classes[name]) for name in CLASSES),
                f"{accepted / every:.1%}",
                f"{1.0 - poor / all_poor:.1%}" if all_poor else "-",
            ]
        )
    head = ["step", "rows", "share", *CLASSES, "rows up to here", "of all Poor beyond it"]
    return markdown_table(head, rows)


def _fairness(report: FairnessReport | None) -> str:
    if report is None or not report.groups:
        return "Not measured."
    rows = [
        [
            f"{group.attribute} {group.group}",
            str(group.rows),
            interval(group.impact_good, 2),
            interval(group.impact_not_poor, 2),
            interval(group.equal_opportunity, 2),
            interval(group.calibration_gap, 2),
            interval(group.score_gap, 0),
        ]
        for group in report.groups
    ]
    head = ["group", "rows", "AIR Good", "AIR not Poor", "equal opportunity", "calibration gap", "score gap"]
    text = (
        "Adverse impact ratios are to the best-treated group, the rest is a difference from everybody. An interval "
        f"below 0.8 asks for a person's look, it decides nothing.\n\n{markdown_table(head, rows)}"
    )
    if report.too_small:
        text += f"\n\nToo few rows to say anything: {', '.join(report.too_small)}."
    if report.age_proxy_auc is not None:
        text += f"\n\nThe features tell the age group with an AUC of {report.age_proxy_auc:.2f} (0.5 is chance)."
    return text


def _stability(report: StabilityReport | None) -> str:
    if report is None:
        return "Not measured."
    steps = {one.field: one for one in DIRECTIONS}
    rows = []
    for one in report.directions:
        step = steps[one.field]
        size = f"{step.step:+.0%}" if step.relative else f"{step.step:+g}"
        rows.append(
            [one.field, size, "up" if step.sign > 0 else "down", f"{one.wrong_share:.1%}", f"{one.mean_reversal:.1f}"]
        )
    head = ["field", "step", "score should go", "pairs against", "mean reversal, points"]
    sentences = [
        f"1 % noise on the amounts changes {report.band_flips:.1%} of bands",
        f"named fields that raise the score at the reference: {share(report.reason_raises)}",
        f"first reasons kept under 1 % noise: {share(report.reason_stable)}",
    ]
    method = (
        "Reasons are exact SHAP values of the trees against a documented reference (the manifest's `reference`), added "
        "up by family, at most four, and only fields whose move to the reference raises the score."
    )
    return f"{method}\n\n{markdown_table(head, rows)}\n\n{bullet_list(sentences)}"


def _population(facts: CardFacts) -> str:
    """Whom the model knows: the data's own facts."""
    return (
        f"Learned from {facts.rows} rows of {facts.customers} customers "
        f"({facts.data_source or 'unknown source'}); labels are "
        "a bureau's classes, and nothing in them is a refused applicant's later history. Of other people it "
        "knows nothing."
    )


def tried(facts: CardFacts) -> str:
    """What was tried, if the record is of this data."""
    record = facts.tried
    if record is None:
        return "No record: `make tried` makes it of the data at hand."
    if record.data_sha256 != facts.data_sha256:
        return f"Not of this data: the record is of data `{record.data_sha256[:12]}`; `make tried` makes it anew."
    rows = [
        [
            one.what,
            *(interval(one.unknown.get(name)) for name in ("accuracy", "macro_f1", "auc_ovr", "log_loss")),
            interval(one.known.get("accuracy")),
            interval(one.against_kept.get("accuracy")),
            interval(one.against_kept.get("log_loss")),
        ]
        for one in record.attempts
    ]
    head = [
        "tried",
        "accuracy",
        "macro-F1",
        "AUC",
        "log loss",
        "accuracy, known",
        "accuracy against kept",
        "log loss against",
    ]
    return (
        f"On the same {record.folds} folds of the {record.customers} training customers (seed {record.seed}), "
        f"before calibration; "
        f"nobody set aside took part. Known: a class one month old.\n\n{markdown_table(head, rows)}"
    )
