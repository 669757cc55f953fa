"""Release checks: what must hold before a person is asked to approve a challenger.

Each check is a frozen object with its figure and its limit. Evidence that is missing fails its check: a gate that
passes because nobody measured is no gate. Without a champion the yardstick is a default CatBoost, learned from the
same rows. Figures: risk guidance for three-class credit scores, sharpened for this data (`ReleaseLimits` says which).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from flows.learning.model_metrics import Difference, Figure, Figures
from flows.review.fairness import FairnessReport
from flows.review.known_customers import KnownReport
from flows.review.stability import StabilityReport
from service.contract import CreditClass
from service.score.manifest import Standing
from service.score.policy import GRADES


class Result(StrEnum):
    """Outcome of a check; `needs_review` asks for a person's look and note, `failed` for an override."""

    PASSED = "passed"
    FAILED = "failed"
    NEEDS_REVIEW = "needs_review"
    NOT_APPLICABLE = "not_applicable"


class ReleaseCheck(BaseModel):
    """One release check and what it found."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    code: str
    title: str
    result: Result
    explanation: str
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class ReleaseLimits:
    """What is allowed. Shares are of one, differences are challenger minus champion."""

    rows: int = 1_000
    class_share: float = 0.05
    macro_f1_loss: float = 0.005
    macro_f1_loss_low: float = 0.01  # of the paired 95 % interval's lower end
    proper_score_loss: float = 0.01  # relative, log loss and RPS
    ece: float = 0.03  # of the worst class, in the latest quarter
    ece_later: float = 0.08  # out of time, without an outcome of those months
    severe_known: float = 0.002
    severe_known_most: float = 0.005  # between the two a person looks
    known_loss: float = 0.02  # accuracy less than repeating the last class gives
    gini_loss: float = 0.01  # of p_Poor for Poor, and of the score for Poor and for Good
    grade_share: float = 0.08  # of rows in each risk grade
    grade_best: float = 0.03  # share of Poor in A
    grade_worst: float = 0.6  # and in E
    severe: float = 0.03  # Poor taken for Good or the other way
    severe_gain: float = 0.003
    borderline: float = (
        0.2  # class and band disagree: a model honest about the next quarter puts fewer into the outer bands
    )
    out_of_time_loss: float = 0.01  # macro-F1
    score_psi: float = 0.25  # above it partners' cut-offs move: a signed note
    impact_ratio: float = 0.8  # US screening rule; asks for a look, decides nothing
    wrong_way: float = 0.05  # share of perturbed pairs that move against the declared direction
    reversal_points: float = 10.0
    band_flips: float = 0.02  # bands that change under 1 % noise
    reason_raises: float = 0.95
    reason_stable: float = 0.90
    size_bytes: int = 50_000_000
    significance: float = 0.05


class DataEvidence(BaseModel):
    """What is known of the data a challenger learned from and is judged on."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    schema_valid: bool
    rows: int
    class_shares: dict[str, float]
    shared_customers: int = Field(description="Customers on both sides of the split.")
    sha256: str


class Evidence(BaseModel):
    """Everything the checks look at. None or an absent metric means: not measured, and fails."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    champion: int = Field(default=0, description="Version compared with; 0: the default CatBoost is the yardstick.")
    data: DataEvidence | None = None
    pooled: Figures | None = None
    severe_error_rate: float | None = Field(
        default=None,
        description="Of every customer, each judged by a model that never saw them: in folds, or set aside.",
    )
    against: dict[str, Difference] | None = Field(
        default=None, description="Paired with champion or yardstick on the same unseen rows."
    )
    out_of_time_against: dict[str, Difference] | None = Field(default=None, description="The same, out of time.")
    calibration_noise: float | None = Field(
        default=None, description="ECE that chance alone gives a perfect model on the latest quarter's rows."
    )
    ece: dict[str, Figure] | None = Field(
        default=None, description="ECE of every customer's rows by quarter, the latest one last, and out of time."
    )
    known: dict[str, KnownReport] | None = Field(
        default=None, description="Known customers, by the age of their last class."
    )
    poor_rate_by_band: tuple[float, float, float] | None = None
    grades: dict[str, tuple[Standing, ...]] | None = Field(
        default=None, description="Every customer's rows by risk grade: pooled first, then by quarter."
    )
    score_steps: dict[str, tuple[Standing, ...]] | None = Field(default=None, description="The same by score step.")
    score_psi: float | None = None
    fairness: FairnessReport | None = None
    stability: StabilityReport | None = None
    size_bytes: int | None = None


LATER: Final = "out_of_time"
Kind = TypeVar("Kind")
Verdict = tuple[Result, str, float | None, float | None]
Finding = Callable[[Evidence, ReleaseLimits], Verdict]


class Missing(Exception):
    """A check's evidence is absent; the message names it."""


def run_checks(evidence: Evidence, limits: ReleaseLimits = ReleaseLimits()) -> tuple[ReleaseCheck, ...]:
    """Every check of `CHECKS`, in order; none is left out because its evidence is."""
    found = []
    for code, title, finding in CHECKS:
        try:
            result, explanation, value, threshold = finding(evidence, limits)
        except Missing as missing:
            result, explanation, value, threshold = Result.FAILED, f"not measured: {missing}", None, None
        if value is not None and not isfinite(value):
            result, explanation = Result.FAILED, f"degenerate, not a number: {explanation}"
        found.append(
            ReleaseCheck(
                code=code, title=title, result=result, explanation=explanation, value=value, threshold=threshold
            )
        )
    return tuple(found)


def failed(checks: tuple[ReleaseCheck, ...]) -> tuple[str, ...]:
    """Codes of the failed checks: what an override would have to name."""
    return tuple(check.code for check in checks if check.result is Result.FAILED)


def to_review(checks: tuple[ReleaseCheck, ...]) -> tuple[str, ...]:
    """Codes of the checks that ask for a person's look and note."""
    return tuple(check.code for check in checks if check.result is Result.NEEDS_REVIEW)


def _need(value: Kind | None, what: str) -> Kind:
    if value is None:
        raise Missing(what)
    return value


def _finite(values: Mapping[str, float], what: str) -> None:
    """Make sure that none of the values is degenerate, as of a group without rows: it would hide behind the others."""
    odd = [name for name, value in values.items() if not isfinite(value)]
    if odd:
        raise Missing(f"{what} {', '.join(odd)} is not a number")


def _figure(figures: Figures | None, name: str) -> float:
    figure = _need(_need(figures, "judgement on unseen customers").get(name), name)
    if not isfinite(figure.value):
        raise Missing(f"{name} is not a number")
    return figure.value


def _gap(differences: Mapping[str, Difference] | None, name: str, where: str) -> Difference:
    gap = _need(_need(differences, f"paired comparison {where}").get(name), f"{name} {where}")
    if not all(isfinite(value) for value in (gap.value, gap.low, gap.high)):
        raise Missing(f"{name} {where} is not a number")
    return gap


def _passed(holds: bool, explanation: str, value: float, threshold: float) -> Verdict:
    return (Result.PASSED if holds else Result.FAILED), explanation, value, threshold


def _other(evidence: Evidence) -> str:
    return f"champion {evidence.champion}" if evidence.champion else "the default CatBoost (no champion yet)"


def _data_schema(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    valid = _need(evidence.data, "data").schema_valid
    return _passed(valid, "clean rows meet their schema" if valid else "clean rows break their schema", float(valid), 1)


def _data_rows(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    rows = _need(evidence.data, "data").rows
    return _passed(rows >= limits.rows, f"{rows} labelled rows, at least {limits.rows}", rows, limits.rows)


def _data_classes(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    shares = _need(evidence.data, "data").class_shares
    if len(shares) != 3:
        raise Missing("share of each of the three classes")
    _finite(shares, "share of class")
    name = min(shares, key=lambda key: shares[key])
    told = f"rarest class {name} has a share of {shares[name]:.3f}, at least {limits.class_share}"
    return _passed(shares[name] >= limits.class_share, told, shares[name], limits.class_share)


def _data_leakage(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    shared = _need(evidence.data, "data").shared_customers
    return _passed(shared == 0, f"{shared} customers both learned from and judged on, none allowed", shared, 0)


def _data_hash(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    known = len(_need(evidence.data, "data").sha256) == 64
    return _passed(known, "data hash recorded" if known else "no SHA-256 of the data", float(known), 1)


def _macro_f1(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    gap = _gap(evidence.against, "macro_f1", "on unseen customers")
    told = f"macro-F1 {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] against {_other(evidence)}"
    if gap.value < -limits.macro_f1_loss or gap.high < 0.0:
        return Result.FAILED, f"{told}, worse than {-limits.macro_f1_loss}", gap.value, -limits.macro_f1_loss
    if gap.low > -limits.macro_f1_loss_low:
        return Result.PASSED, told, gap.value, -limits.macro_f1_loss
    # Too few customers to exclude a loss is no proof of one: a person weighs it.
    told = f"{told}; a loss beyond {limits.macro_f1_loss_low} cannot be excluded on so few customers"
    return Result.NEEDS_REVIEW, told, gap.low, -limits.macro_f1_loss_low


def _no_relative_loss(name: str) -> Finding:
    def finding(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
        ours, gap = _figure(evidence.pooled, name), _gap(evidence.against, name, "on unseen customers")
        theirs = ours - gap.value
        if theirs <= 0.0:
            raise Missing(f"{name} of {_other(evidence)}")
        loss = gap.value / theirs
        told = f"{name} {ours:.4f}, {loss:+.2%} against {_other(evidence)}, at most {limits.proper_score_loss:+.0%}"
        return _passed(loss <= limits.proper_score_loss, told, loss, limits.proper_score_loss)

    return finding


def _calibration(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    """Of the latest quarter: errors of several quarters cancel, and answers are always given in one."""
    quarters = {place: one for place, one in _need(evidence.ece, "ECE by quarter").items() if place != LATER}
    if not quarters:
        raise Missing("ECE of the latest quarter")
    place, figure = list(quarters.items())[-1]
    if not isfinite(figure.value):
        raise Missing("ece is not a number")
    told = f"ECE of the worst class {figure.value:.4f} in {place}, at most {limits.ece}"
    told = f"{told}; " + ", ".join(f"{name} {one.value:.3f}" for name, one in quarters.items() if name != place)
    if figure.value > limits.ece:
        noise = _need(evidence.calibration_noise, "calibration noise")
        if figure.value <= limits.ece + noise and noise > limits.ece / 2:
            told = f"{told}; chance alone gives {noise:.4f} on so few customers"
            return Result.NEEDS_REVIEW, told, figure.value, limits.ece
    return _passed(figure.value <= limits.ece, told, figure.value, limits.ece)


def _calibration_later(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    figure = _need(_need(evidence.ece, "ECE by quarter").get(LATER), "ECE out of time")
    told = f"ECE out of time {figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}], at most {limits.ece_later}"
    if figure.value <= limits.ece_later:
        return Result.PASSED, told, figure.value, limits.ece_later
    if figure.low <= limits.ece_later:
        told = f"{told}; chance cannot be excluded on so few customers"
        return Result.NEEDS_REVIEW, told, figure.value, limits.ece_later
    return Result.FAILED, told, figure.value, limits.ece_later


def _known_gain(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    name, report = min(_known(evidence).items(), key=lambda pair: pair[1].gain["accuracy"].value)
    gain = report.gain["accuracy"]
    told = f"least gain over repeating the last class, {name}: accuracy {gain.value:+.4f}"
    told = f"{told} [{gain.low:+.4f}, {gain.high:+.4f}]"
    if gain.high < -limits.known_loss:
        return Result.FAILED, f"{told}, worse than {-limits.known_loss}", gain.value, -limits.known_loss
    if gain.value < 0.0:
        told = f"{told}; whoever knows the class would do better by repeating it: more customers to learn from may help"
        return Result.NEEDS_REVIEW, told, gain.value, 0.0
    return Result.PASSED, told, gain.value, 0.0


def _known_severe(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    rows = {name: (report.rows, report.figures["severe_error_rate"].value) for name, report in _known(evidence).items()}
    value = sum(count * rate for count, rate in rows.values()) / sum(count for count, _ in rows.values())
    told = f"severe errors of known customers {value:.2%}, at most {limits.severe_known:.1%}"
    if limits.severe_known < value <= limits.severe_known_most:
        return Result.NEEDS_REVIEW, told, value, limits.severe_known
    return _passed(value <= limits.severe_known, told, value, limits.severe_known)


def _known(evidence: Evidence) -> dict[str, KnownReport]:
    reports = _need(evidence.known, "known customers")
    if not reports:
        raise Missing("a known customer")
    return reports


def _gini(name: str, what: str) -> Finding:
    def finding(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
        gap = _gap(evidence.against, name, "on unseen customers").value
        told = f"{what} {gap:+.4f} against {_other(evidence)}, at least {-limits.gini_loss}"
        return _passed(gap >= -limits.gini_loss, told, gap, -limits.gini_loss)

    return finding


def _grade_sizes(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    pooled = _grades(evidence)["pooled"]
    least = min(pooled, key=lambda one: one.share)
    told = f"smallest grade {least.name} holds {least.share:.1%} of rows, at least {limits.grade_share:.0%}"
    return _passed(least.share >= limits.grade_share, told, least.share, limits.grade_share)


def _grade_order(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    rises = [
        (one.rise, f"{one.name} in {place}") for place, table in _grades(evidence).items() for one in table if one.rise
    ]
    rise, where = min(rises, key=lambda pair: pair[0].low)
    told = f"share of Poor rises least to grade {where}: {rise.value:+.3f} [{rise.low:+.3f}, {rise.high:+.3f}]"
    if rise.low > 0.0:
        return Result.PASSED, told, rise.low, 0.0
    if rise.value <= 0.0:
        return Result.FAILED, f"{told}; must rise", rise.value, 0.0
    return Result.NEEDS_REVIEW, f"{told}; chance cannot be excluded on so few customers", rise.low, 0.0


def _grade_ends(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    pooled = _grades(evidence)["pooled"]
    best, worst = (one.classes[CreditClass.POOR] for one in (pooled[0], pooled[-1]))
    told = f"share of Poor {best.value:.3f} in A, at most {limits.grade_best}; {worst.value:.3f} in E, at least"
    told = f"{told} {limits.grade_worst}"
    spare = min(limits.grade_best - best.value, worst.value - limits.grade_worst)
    if spare >= 0.0:
        return Result.PASSED, told, spare, 0.0
    if best.low > limits.grade_best or worst.high < limits.grade_worst:
        return Result.FAILED, told, spare, 0.0
    return Result.NEEDS_REVIEW, f"{told}; chance cannot be excluded on so few customers", spare, 0.0


def _grades(evidence: Evidence) -> dict[str, tuple[Standing, ...]]:
    """The tables by grade, each with all grades."""
    tables = _need(evidence.grades, "rows by risk grade")
    for place, table in tables.items():
        if len(table) != len(GRADES):
            raise Missing(f"a risk grade without rows in {place}")
    _need(tables.get("pooled"), "rows by risk grade, pooled")
    return tables


def _severe(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    # Two thousand customers set aside leave this rare error to chance; all that were judged unseen do not.
    value = _need(evidence.severe_error_rate, "severe errors of every customer")
    aside = _figure(evidence.pooled, "severe_error_rate")
    told = f"{value:.2%} of rows take Poor for Good or the other way ({aside:.2%} of those set aside),"
    told += f" at most {limits.severe:.0%}"
    return _passed(value <= limits.severe, told, value, limits.severe)


def _severe_against(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    gap = _gap(evidence.against, "severe_error_rate", "on unseen customers").value
    told = f"severe errors {gap:+.2%} against {_other(evidence)}, at most {limits.severe_gain:+.1%}"
    return _passed(gap <= limits.severe_gain, told, gap, limits.severe_gain)


def _bands(evidence: Evidence, _: ReleaseLimits) -> Verdict:
    rates = _need(evidence.poor_rate_by_band, "share of Poor by band")
    _finite(dict(zip(map(str, CreditClass), rates, strict=True)), "share of Poor in band")
    told = "share of Poor by band, worst first: " + ", ".join(f"{rate:.3f}" for rate in rates)
    step = min(rates[0] - rates[1], rates[1] - rates[2])
    return _passed(step > 0.0, f"{told}; must fall", step, 0.0)


def _borderline(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    value = _figure(evidence.pooled, "borderline_rate")
    told = f"class and band disagree on {value:.1%} of rows, at most {limits.borderline:.0%}"
    return _passed(value <= limits.borderline, told, value, limits.borderline)


def _out_of_time(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    gap = _gap(evidence.out_of_time_against, "macro_f1", "out of time").value
    told = f"macro-F1 out of time {gap:+.4f} against {_other(evidence)}, at least {-limits.out_of_time_loss}"
    return _passed(gap >= -limits.out_of_time_loss, told, gap, -limits.out_of_time_loss)


def _better(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    if not evidence.champion:
        return Result.NOT_APPLICABLE, "there is no champion to replace", None, None
    better = {
        "qwk": 1.0 - _gap(evidence.against, "qwk", "on unseen customers").p_better,
        "rps": _gap(evidence.against, "rps", "on unseen customers").p_better,
    }
    name = min(better, key=lambda key: better[key])
    told = f"best sign of improvement: {name}, p = {better[name]:.3f}"
    if better[name] < limits.significance:
        return Result.PASSED, told, better[name], limits.significance
    return Result.NEEDS_REVIEW, f"{told}; say why to replace an equal champion", better[name], limits.significance


def _score_shift(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    if not evidence.champion:
        return Result.NOT_APPLICABLE, "there is no champion whose scores partners know", None, None
    value = _need(evidence.score_psi, "PSI of the score")
    told = f"PSI of the score against {_other(evidence)} {value:.3f}, above {limits.score_psi} partners must be told"
    result = Result.PASSED if value <= limits.score_psi else Result.NEEDS_REVIEW
    return result, told, value, limits.score_psi


def _fairness(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    report = _need(evidence.fairness, "fairness by age group and occupation")
    if not report.groups:
        raise Missing("no group is large enough to audit")
    ratios = {f"{group.attribute} {group.group}": group.lowest_impact_ratio.low for group in report.groups}
    _finite(ratios, "adverse impact ratio of")
    worst = min(report.groups, key=lambda group: group.lowest_impact_ratio.low)
    low = worst.lowest_impact_ratio.low
    told = f"lowest adverse impact ratio: {worst.attribute} {worst.group}, interval from {low:.2f}"
    if low < limits.impact_ratio:
        told = f"{told}, below {limits.impact_ratio}: look for a less discriminatory alternative and note the result"
        return Result.NEEDS_REVIEW, told, low, limits.impact_ratio
    return Result.PASSED, told, low, limits.impact_ratio


def _monotone(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    report = _need(evidence.stability, "stability").directions
    if not report:
        raise Missing("perturbation of the declared directions")
    _finite({one.field: one.wrong_share for one in report}, "pairs against the declared direction of")
    worst = max(report, key=lambda one: one.wrong_share)
    odd = [one.field for one in report if one.wrong_share > limits.wrong_way]
    odd += [one.field for one in report if one.mean_reversal > limits.reversal_points and one.field not in odd]
    told = f"most pairs against the declared direction: {worst.field}, {worst.wrong_share:.1%}"
    if not odd:
        return Result.PASSED, told, worst.wrong_share, limits.wrong_way
    # The data itself falls and rises (README.md): a bound the best honest model cannot meet is a person's decision.
    told = f"{told}; beyond {limits.wrong_way:.0%} or {limits.reversal_points:g} points: {', '.join(odd)}"
    return Result.NEEDS_REVIEW, told, worst.wrong_share, limits.wrong_way


def _share(name: str, what: str, limit: str, at_least: bool) -> Finding:
    def finding(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
        value = _need(getattr(_need(evidence.stability, "stability"), name), what)
        bound = getattr(limits, limit)
        told = f"{what}: {value:.1%}, {'at least' if at_least else 'at most'} {bound:.0%}"
        return _passed(value >= bound if at_least else value <= bound, told, value, bound)

    return finding


def _size(evidence: Evidence, limits: ReleaseLimits) -> Verdict:
    size = _need(evidence.size_bytes, "size of the model")
    told = (
        f"model file of {size / 1e6:.1f} MB, at most {limits.size_bytes / 1e6:.0f} MB; latency is checked when packing"
    )
    return _passed(0 < size <= limits.size_bytes, told, size, limits.size_bytes)


CHECKS: Final[tuple[tuple[str, str, Finding], ...]] = (
    ("data_schema", "Clean rows meet their schema", _data_schema),
    ("data_rows", "Enough labelled rows", _data_rows),
    ("data_classes", "Every class is present", _data_classes),
    ("data_leakage", "No customer on both sides", _data_leakage),
    ("data_hash", "Data known by its hash", _data_hash),
    ("macro_f1", "Classes not told worse than by the champion", _macro_f1),
    ("log_loss", "Log loss not worse", _no_relative_loss("log_loss")),
    ("rps", "Ranked probability score not worse", _no_relative_loss("rps")),
    ("calibration", "Probabilities come true", _calibration),
    ("calibration_later", "Probabilities come true in months to come", _calibration_later),
    ("known_gain", "Known customers judged no worse than by repeating their class", _known_gain),
    ("known_severe", "Hardly a severe error on known customers", _known_severe),
    ("gini_poor", "Poor told apart no worse", _gini("gini_poor", "Gini of p_Poor")),
    ("score_poor", "The score tells Poor apart no worse", _gini("gini_score_poor", "Gini of the score for Poor")),
    ("score_good", "The score tells Good apart no worse", _gini("gini_score_good", "Gini of the score for Good")),
    ("grade_sizes", "No risk grade is too small", _grade_sizes),
    ("grade_order", "Every risk grade holds more Poor than the one before", _grade_order),
    ("grade_ends", "The first and the last risk grade keep their word", _grade_ends),
    ("severe_errors", "Few severe errors", _severe),
    ("severe_against", "Severe errors no more frequent", _severe_against),
    ("band_order", "Better bands hold fewer Poor", _bands),
    ("borderline", "Class and band mostly agree", _borderline),
    ("out_of_time", "Holds in the last months", _out_of_time),
    ("improvement", "A reason to replace the champion", _better),
    ("score_shift", "Scores stay where partners know them", _score_shift),
    ("fairness", "Impact on groups looked at", _fairness),
    ("directions", "Moves the declared way", _monotone),
    ("robustness", "Bands hold under noise", _share("band_flips", "bands changed by 1 % noise", "band_flips", False)),
    (
        "reasons_true",
        "Named reasons matter",
        _share("reason_raises", "named fields that raise the score at the reference", "reason_raises", True),
    ),
    (
        "reasons_stable",
        "Reasons hold under noise",
        _share("reason_stable", "first reasons kept under 1 % noise", "reason_stable", True),
    ),
    ("size", "Small enough to ship", _size),
)
