"""The risk register: what can go wrong with this model, what watches it, and how it stood at the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flows.documents.facts import DossierFacts, Language
from flows.documents.wording import RESULTS, table, text_in
from flows.review.release_evidence import Result
from service.contract import Text


@dataclass(frozen=True)
class ModelRisk:
    """One risk: what happens, the release checks that measure it, and what is done about it."""

    what: Text
    checks: tuple[str, ...]
    control: Text
    owner: Text


_RISK: Final = Text(pt="risco de modelo", en="model risk")
_DATA: Final = Text(pt="dados", en="data")
_OPERATIONS: Final = Text(pt="operações", en="operations")
RISKS: Final = (
    ModelRisk(
        Text(
            pt="O rótulo é redefinido no trimestre e as probabilidades deixam de se confirmar",
            en="The label is set anew in a quarter and probabilities stop coming true",
        ),
        ("calibration", "calibration_later", "out_of_time"),
        Text(
            pt="deriva diária; recalibração a partir de 500 resultados; nova aprovação",
            en="drift daily; recalibration from 500 outcomes; a new approval",
        ),
        _RISK,
    ),
    ModelRisk(
        Text(
            pt="Uma pessoa Poor é tomada por Good, ou o contrário", en="A Poor person is taken for Good, or the reverse"
        ),
        ("severe_errors", "severe_against", "known_severe"),
        Text(
            pt="limite na aprovação; o score nunca decide sozinho",
            en="a limit at approval; the score never decides alone",
        ),
        _RISK,
    ),
    ModelRisk(
        Text(
            pt="Um parceiro corta pelo score e aceita mais Poor do que pensa",
            en="A partner cuts on the score and takes more Poor than it thinks",
        ),
        ("grade_order", "grade_ends", "grade_sizes", "score_poor", "score_good", "grade_poor", "grade_good"),
        Text(pt="grau de risco na resposta; tabelas no guia", en="the risk grade in the answer; tables in the guide"),
        _RISK,
    ),
    ModelRisk(
        Text(pt="Um grupo de pessoas é tratado pior", en="A group of people is treated worse"),
        ("fairness", "weak_segments"),
        Text(
            pt="auditoria por idade e ocupação em cada versão; revisão por uma pessoa (LGPD, art. 20)",
            en="an audit by age and occupation of each version; review by a person (LGPD art. 20)",
        ),
        _RISK,
    ),
    ModelRisk(
        Text(pt="Um motivo informado não é verdadeiro", en="A reason that is given is not true"),
        ("reasons_true", "reasons_stable", "directions"),
        Text(
            pt="só se informa o campo cuja mudança eleva o score dessa pessoa",
            en="only a field is named whose move raises this person's score",
        ),
        _RISK,
    ),
    ModelRisk(
        Text(
            pt="Um score nosso volta como classe observada e confirma a si mesmo",
            en="A score of ours comes back as an observed class and confirms itself",
        ),
        ("known_gain", "known_severe"),
        Text(
            pt="só classes observadas são aceitas, por contrato; clientes conhecidos são avaliados à parte",
            en="only observed classes are taken, by contract; known customers are judged apart",
        ),
        _RISK,
    ),
    ModelRisk(
        Text(
            pt="Os dados de treino têm erros ou vazam para a avaliação",
            en="Training data is wrong or leaks into judgement",
        ),
        ("data_schema", "data_rows", "data_classes", "data_leakage", "data_fields", "data_gates", "data_hash"),
        Text(pt="esquema, divisão por cliente, hash dos dados", en="schema, split by customer, hash of the data"),
        _DATA,
    ),
    ModelRisk(
        Text(
            pt="Os mesmos clientes julgam muitas versões e a medida fica otimista",
            en="The same customers judge many versions and the measure grows too kind",
        ),
        ("improvement", "macro_f1"),
        Text(
            pt="parâmetros escolhidos só entre clientes de treino; os separados julgam apenas versões",
            en="parameters are chosen among training customers alone; those set aside judge versions only",
        ),
        _RISK,
    ),
    ModelRisk(
        Text(pt="Pequenos ruídos mudam a faixa de alguém", en="A little noise changes somebody's band"),
        ("robustness", "borderline"),
        Text(pt="limite na aprovação; `borderline` na resposta", en="a limit at approval; `borderline` in the answer"),
        _RISK,
    ),
    ModelRisk(
        Text(
            pt="O modelo em produção não é o que foi aprovado",
            en="The model in production is not the one that was approved",
        ),
        ("size",),
        Text(
            pt="bytes e assinatura verificados ao empacotar e ao iniciar; respostas de referência",
            en="bytes and signature proved when packed and at every start; golden answers",
        ),
        _OPERATIONS,
    ),
)
_WORDS: Final[dict[str, Text]] = {
    "title": Text(pt="Registro de riscos da versão", en="Risk register of version"),
    "risk": Text(pt="risco", en="risk"),
    "standing": Text(pt="situação", en="standing"),
    "control": Text(pt="controle", en="control"),
    "owner": Text(pt="responsável", en="owner"),
    "open": Text(pt="riscos pedem atenção", en="risks ask for attention"),
    "of": Text(pt="de", en="of"),
    "unmeasured": Text(pt="não medido", en="not measured"),
}


def standing(risk: ModelRisk, facts: DossierFacts) -> Result | None:
    """The worst result of the checks that measure the risk; None where none of them was made."""
    order = (Result.FAILED, Result.NEEDS_REVIEW, Result.PASSED, Result.NOT_APPLICABLE)
    results = [check.result for check in facts.checks if check.code in risk.checks]
    return min(results, key=order.index) if results else None


def risk_register(facts: DossierFacts, language: Language) -> str:
    """The register as markdown, the risks that ask for attention first."""

    def word(name: str) -> str:
        return text_in(_WORDS[name], language)

    stands = [(risk, standing(risk, facts)) for risk in RISKS]
    calm = (Result.PASSED, Result.NOT_APPLICABLE)
    head = [word(name) for name in ("risk", "standing", "control", "owner")]
    rows = []
    for risk, result in sorted(stands, key=lambda pair: pair[1] in calm):
        result_text = text_in(RESULTS[result], language) if result else word("unmeasured")
        rows.append(
            [text_in(risk.what, language), result_text, text_in(risk.control, language), text_in(risk.owner, language)]
        )
    attention = sum(result not in calm for _, result in stands)
    return "\n\n".join(
        [
            f"# {word('title')} {facts.decision.version}",
            f"**{attention} {word('of')} {len(RISKS)} {word('open')}**",
            table(head, rows) + "\n",
        ]
    )
