"""The words of the documents in both languages, and how figures are written in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flows.documents.facts import Language
from flows.review.release_evidence import Result
from service.contract import Text

RESULTS: Final[dict[Result, Text]] = {
    Result.PASSED: Text(pt="atende", en="passed"),
    Result.FAILED: Text(pt="**não atende**", en="**failed**"),
    Result.NEEDS_REVIEW: Text(pt="pede análise", en="needs review"),
    Result.NOT_APPLICABLE: Text(pt="não se aplica", en="not applicable"),
}
CHECK_TITLES_PT: Final[dict[str, str]] = {
    "data_schema": "As linhas limpas seguem o esquema",
    "data_rows": "Há linhas rotuladas suficientes",
    "data_classes": "Todas as classes estão presentes",
    "data_leakage": "Nenhum cliente dos dois lados",
    "data_fields": "Cada campo diz alguma coisa",
    "data_gates": "Os dados respeitam seus limites",
    "data_hash": "Os dados são identificados por seu hash",
    "macro_f1": "As classes não são distinguidas pior que pelo modelo em uso",
    "log_loss": "A perda logarítmica não piora",
    "rps": "O escore de probabilidade ordenada não piora",
    "calibration": "As probabilidades se confirmam",
    "calibration_later": "As probabilidades se confirmam nos meses seguintes",
    "known_gain": "Clientes conhecidos não são avaliados pior que repetindo sua classe",
    "known_severe": "Quase nenhum erro grave entre clientes conhecidos",
    "gini_poor": "A classe Poor não é separada pior",
    "score_poor": "O score não separa pior a classe Poor",
    "score_good": "O score não separa pior a classe Good",
    "grade_poor": "O grau de risco não separa pior a classe Poor",
    "grade_good": "O grau de risco não separa pior a classe Good",
    "grade_sizes": "Nenhum grau de risco é pequeno demais",
    "grade_order": "Cada grau de risco tem mais Poor que o anterior",
    "grade_ends": "O primeiro e o último grau de risco cumprem o que prometem",
    "severe_errors": "Poucos erros graves",
    "severe_against": "Erros graves não mais frequentes",
    "band_order": "Faixas melhores têm menos Poor",
    "borderline": "Classe e faixa quase sempre concordam",
    "out_of_time": "O desempenho se mantém nos últimos meses",
    "improvement": "Há um motivo para substituir o modelo em uso",
    "score_shift": "Os scores ficam onde os parceiros os conhecem",
    "fairness": "O impacto sobre grupos foi examinado",
    "directions": "O score se move no sentido declarado",
    "robustness": "As faixas resistem a ruído",
    "reasons_true": "Os motivos informados pesam de fato",
    "reasons_stable": "Os motivos resistem a ruído",
    "weak_segments": "Nenhum segmento é avaliado muito pior que os demais",
    "size": "O modelo é pequeno o bastante para ser distribuído",
}


def text_in(text: Text, language: Language) -> str:
    """The text in the language."""
    return text.pt if language == "pt" else text.en


def number(value: float | None, language: Language, digits: int = 3) -> str:
    """A figure as the language writes it, a dash for none."""
    if value is None:
        return "-"
    digits_text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"
    return digits_text.translate(str.maketrans(",.", ".,")) if language == "pt" else digits_text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table; a bar in a cell would end it."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "/") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
