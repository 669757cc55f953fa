"""The validation report: what was checked, by whom, with what result and limits, and until when it stands."""

from __future__ import annotations

from typing import Final

from flows.documents.facts import DossierFacts, Language
from flows.documents.wording import CHECK_TITLES_PT, RESULTS, number, table, text_in
from flows.learning.model_metrics import Figures
from flows.review.release_evidence import ReleaseCheck, Result
from service.contract import Text

SUMMARY: Final = ("accuracy", "macro_f1", "auc_ovr", "gini_grade_poor", "ece", "severe_error_rate")
_WORDS: Final[dict[str, Text]] = {
    "title": Text(pt="Relatório de validação da versão", en="Validation report of version"),
    "decided": Text(pt="Decisão", en="Decision"),
    "approve": Text(pt="aprovada", en="approved"),
    "reject": Text(pt="rejeitada", en="rejected"),
    "person": Text(pt="uma pessoa do risco", en="a person of model risk"),
    "by": Text(pt="por", en="by"),
    "second": Text(pt="segunda pessoa", en="second person"),
    "trained": Text(pt="Treinada por", en="Trained by"),
    "next": Text(pt="Próxima validação até", en="Next validation by"),
    "compared": Text(pt="Comparada com a versão em uso", en="Compared with the champion, version"),
    "no_champion": Text(pt="Não havia versão em uso", en="There was no champion"),
    "checks": Text(pt="Verificações", en="Checks"),
    "override": Text(
        pt="Aprovada apesar de verificações não atendidas, até", en="Approved in spite of failed checks, until"
    ),
    "reason": Text(pt="Motivo", en="Reason"),
    "note": Text(pt="Nota", en="Note"),
    "figures": Text(pt="Números principais (clientes não vistos)", en="Main figures (unseen customers)"),
    "served": Text(
        pt="Cada linha como a API a recebe: sozinha, sem nada do passado do cliente.",
        en="Each row as the API sees it: by itself, with nothing of the customer's past.",
    ),
    "repaired": Text(
        pt="As mesmas pessoas quando quem consulta informa também os meses anteriores, com os quais a linha é reparada",
        en="The same people where the caller gives their earlier months too, of which the row is repaired",
    ),
    "alone": Text(pt="linhas bastam sozinhas", en="rows suffice by themselves"),
    "of": Text(pt="de", en="of"),
    "metric": Text(pt="métrica", en="metric"),
    "value": Text(pt="valor", en="value"),
    "interval": Text(pt="intervalo de 95 %", en="95 % interval"),
    "check": Text(pt="verificação", en="check"),
    "result": Text(pt="resultado", en="result"),
    "measured": Text(pt="medido", en="measured"),
    "limit": Text(pt="limite", en="limit"),
    "every": Text(pt="Todas as verificações", en="Every check"),
    "bounds": Text(pt="Limites desta validação", en="Limits of this validation"),
    "data": Text(pt="Dados (SHA-256)", en="Data (SHA-256)"),
    "code": Text(pt="Revisão do código", en="Code revision"),
}
BOUNDS: Final = (
    Text(
        pt="O rótulo é redefinido a cada trimestre: o desempenho em produção, sempre em um trimestre novo, é menor que "
        "o medido sobre todos os trimestres.",
        en="The label is set anew each quarter: performance in production, which is always in a new one, is below what "
        "was measured over all quarters.",
    ),
    Text(
        pt="O rótulo é a classe de um bureau, não uma inadimplência observada.",
        en="The label is a bureau's class, not an observed default.",
    ),
    Text(
        pt="Clientes recusados não constam dos dados.",
        en="Refused customers are not among the data.",
    ),
    Text(
        pt="Idade e ocupação servem apenas para auditar o impacto sobre grupos; sexo, raça e origem não são conhecidos "
        "e não puderam ser auditados.",
        en="Age and occupation only serve to audit the impact on groups; sex, race and origin are not known and could "
        "not be audited.",
    ),
    Text(
        pt="Para clientes sem classe observada, as metas antes visadas (acurácia 0,715) não são atingíveis com estes "
        "dados; não se ajusta mais o modelo a elas.",
        en="For customers without an observed class the figures once aimed at (accuracy 0.715) are not reachable with "
        "this data; nothing is tuned for them any more.",
    ),
)


def validation_report(facts: DossierFacts, language: Language) -> str:
    """The report as markdown: one screen first, every check below."""

    def word(name: str) -> str:
        return text_in(_WORDS[name], language)

    parts = [f"# {word('title')} {facts.decision.version}", _screen(facts, language)]
    parts += [f"## {word('figures')}", _figures(facts, language)]
    parts += [f"## {word('every')}", _checks(facts, language)]
    parts += [f"## {word('bounds')}", "\n".join(f"- {text_in(one, language)}" for one in BOUNDS)]
    return "\n\n".join(parts) + "\n"


def _screen(facts: DossierFacts, language: Language) -> str:
    """What a signatory reads first."""

    def word(name: str) -> str:
        return text_in(_WORDS[name], language)

    decision = facts.decision
    who = decision.reviewer if facts.with_names else word("person")
    counts = {result: sum(check.result is result for check in facts.checks) for result in Result}
    results = ", ".join(f"{count} {text_in(RESULTS[result], language)}" for result, count in counts.items() if count)
    lines = [
        f"**{word('decided')}**: {word(decision.verdict)} {word('by')} {who}, {decision.at:%Y-%m-%d}",
        f"**{word('next')}**: {facts.next_validation}",
        f"{word('compared')} {decision.champion}" if decision.champion else word("no_champion"),
        f"**{word('checks')}**: {results}",
    ]
    if decision.overridden:
        titles = [_title(check, language) for check in facts.checks if check.code in decision.failed_checks]
        lines.append(f"**{word('override')} {decision.override_expires}**: {'; '.join(titles)}")
    if facts.with_names:
        lines += [f"{word('trained')} {decision.trainer or '-'}", f"{word('code')}: `{facts.git_revision or '-'}`"]
        lines += [f"{word('reason')}: {decision.override_reason}"] if decision.overridden else []
        lines += [f"{word('second')}: {decision.second_reviewer}"] if decision.overridden else []
        lines += [f"{word('note')}: {decision.note}"] if decision.note else []
    lines.append(f"{word('data')}: `{facts.data_sha256 or '-'}`")
    return "\n".join(f"- {line}" for line in lines)


def _figures(facts: DossierFacts, language: Language) -> str:
    """The main figures of rows as served, then of rows repaired from the customers' past."""

    def word(name: str) -> str:
        return text_in(_WORDS[name], language)

    parts = [word("served"), _table_of(facts.evidence.pooled or {}, language)]
    if repaired := facts.evidence.repaired:
        counts = f"{repaired.rows_as_served} {word('of')} {repaired.rows} {word('alone')}"
        parts += [f"{word('repaired')} ({counts}):", _table_of(repaired.figures, language)]
    return "\n\n".join(parts)


def _table_of(figures: Figures, language: Language) -> str:
    head = [text_in(_WORDS[name], language) for name in ("metric", "value", "interval")]
    rows = [
        [
            name,
            number(figures[name].value, language),
            f"{number(figures[name].low, language)} – {number(figures[name].high, language)}",
        ]
        for name in SUMMARY
        if name in figures
    ]
    return table(head, rows)


def _checks(facts: DossierFacts, language: Language) -> str:
    order = list(RESULTS)
    order.sort(key=lambda result: (result is not Result.FAILED, result is not Result.NEEDS_REVIEW))
    head = [text_in(_WORDS[name], language) for name in ("check", "result", "measured", "limit")]
    rows = [
        [
            _title(check, language),
            text_in(RESULTS[check.result], language),
            number(check.value, language, 4),
            number(check.threshold, language, 4),
        ]
        for check in sorted(facts.checks, key=lambda check: order.index(check.result))
    ]
    return table(head, rows)


def _title(check: ReleaseCheck, language: Language) -> str:
    return CHECK_TITLES_PT.get(check.code, check.title) if language == "pt" else check.title
