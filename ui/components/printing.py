"""The result as one self-contained page to print or to save as PDF: no script, no link, nothing of the key."""

from __future__ import annotations

from html import escape
from typing import Final

from service.contract import Score
from ui.components.gauge import gauge, probability_bars
from ui.session import Desk

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#101828;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:1.5rem}.qf-gauge{display:block;width:22rem;margin:0 auto}
.qf-score{font-size:58px;font-weight:700}.qf-of{font-size:14px}.qf-band{font-size:22px;font-weight:700}
.qf-tick{font-size:12px}.qf-needle{stroke:#101828;stroke-width:5}.qf-needle-halo{stroke:#d0d5dd;stroke-width:9}
.qf-bar{display:grid;grid-template-columns:6rem 1fr 4rem;gap:.6rem;align-items:center}.qf-strong{font-weight:700}
.qf-track{display:block;height:.8rem;background:#e4e7ec}.qf-track>span{display:block;height:100%}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}dt{font-weight:700}dd{margin:0 0 .4rem;word-break:break-all}
@page{size:A4;margin:18mm}
"""


def print_page(desk: Desk, score: Score) -> str:
    """A whole HTML document in the visitor's language."""
    t = desk.texts
    language = "pt-BR" if t.language == "pt" else "en"
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(t("print.title"))}</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(t('print.title'))}</h1>{gauge(desk, score)}"
        f"<h2>{escape(t('result.probabilities'))}</h2>"
        f"{probability_bars(desk, score.probabilities, score.predicted_class)}"
        f"<h2>{escape(t('result.reasons'))}</h2>{_reasons(desk, score)}{_borderline(desk, score)}"
        f"<h2>{escape(t('print.quote'))}</h2><dl>{_facts(desk, score)}</dl>"
        f"<p><small>{escape(t('app.foot'))}</small></p></main></body></html>"
    )


def _reasons(desk: Desk, score: Score) -> str:
    if not score.reasons:
        return f"<p>{escape(desk.texts('result.no_reasons'))}</p>"
    items = "".join(f"<li>{escape(getattr(reason.text, desk.texts.language))}</li>" for reason in score.reasons)
    return f"<ol>{items}</ol>"


def _borderline(desk: Desk, score: Score) -> str:
    return f"<p>{escape(desk.texts('result.borderline'))}</p>" if score.borderline else ""


def _facts(desk: Desk, score: Score) -> str:
    t = desk.texts
    facts = (
        (t("print.prediction"), score.prediction_id),
        (t("print.model"), f"{score.model.name} {score.model.version}"),
        (t("print.digest"), score.model.digest),
        (t("print.moment"), desk.formats.moment(score.created_at)),
    )
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
