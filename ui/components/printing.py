"""The result as one self-contained A4 page to print or to save as PDF: no script, no link, nothing of the key."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

import streamlit as st

from service.contract import Score
from ui.applicant.fields import Field
from ui.components import result
from ui.components.gauge import gauge, probability_bars
from ui.components.inputs import list_of_inputs
from ui.session import PageContext
from ui.texts.brand import ICON_SVG
from ui.texts.wording import HTML_LANGUAGES

_STYLE: Final = """
body{font:12px/1.35 system-ui,sans-serif;max-width:46rem;margin:1rem auto;padding:0 1rem;color:#101828;background:#fff}
header{display:flex;gap:.6rem;align-items:center;border-bottom:2px solid #101828;padding-bottom:.4rem}
header svg{width:2rem}h1{font-size:1.25rem;margin:0}h2{font-size:.95rem;margin:.7rem 0 .2rem}p{margin:.25rem 0}
.two{display:grid;grid-template-columns:1fr 1fr;gap:0 1.5rem}.qf-gauge{display:block;width:15rem;margin:0 auto}
.qf-score{font-size:58px;font-weight:700}.qf-of{font-size:14px}.qf-band{font-size:22px;font-weight:700}
.qf-tick{font-size:12px}.qf-needle{stroke:#101828;stroke-width:5}.qf-needle-halo{stroke:#d0d5dd;stroke-width:9}
.qf-bar{display:grid;grid-template-columns:5rem 1fr 3.5rem;gap:.5rem;align-items:center}.qf-strong{font-weight:700}
.qf-track{display:block;height:.6rem;background:#e4e7ec}.qf-track>span{display:block;height:100%}
.qf-facts{display:grid;grid-template-columns:repeat(4,1fr);gap:.3rem .8rem;margin:0}
.qf-facts dt{font-size:10px;color:#475467}
.qf-facts dd{margin:0;font-weight:600;overflow-wrap:anywhere}.qf-waterfall{list-style:none;padding:0;columns:2}
.qf-waterfall li{display:grid;grid-template-columns:1fr auto;gap:0 .6rem;align-items:start;break-inside:avoid;
margin-bottom:.3rem}.qf-waterfall small{display:block;color:#475467}
.qf-waterfall i{display:block;grid-column:1/-1;
height:.4rem;background:#e4e7ec}.qf-waterfall i i{height:100%}ol{margin:.2rem 0;padding-left:1.2rem}dl.quote{margin:0}
.quote div{display:flex;gap:.4rem}.quote dt{font-weight:700}.quote dd{margin:0;overflow-wrap:anywhere}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}@page{size:A4;margin:12mm}
@media print{body{margin:0;padding:0;max-width:none;zoom:.88}}
"""


def quote(
    context: PageContext,
    score: Score,
    manifest: Mapping[str, Any],
    fields: tuple[Field, ...],
    inputs: Mapping[str, Any],
) -> None:
    """What to quote in a question about this answer, and the page to print."""
    t = context.texts
    model, moment = score.model, context.formats.moment(score.created_at)
    st.caption(
        t("result.quote", prediction=score.prediction_id, model=model.name, version=model.version, moment=moment)
    )
    st.download_button(
        t("result.print"),
        print_page(context, score, manifest, fields, inputs),
        file_name=f"score-{score.prediction_id}.html",
        mime="text/html",
        icon=":material/print:",
        on_click="ignore",
        key="print",
    )


def print_page(
    context: PageContext,
    score: Score,
    manifest: Mapping[str, Any],
    fields: tuple[Field, ...],
    inputs: Mapping[str, Any],
) -> str:
    """A whole HTML document in the visitor's language: score and why, the inputs, reference, model and date."""
    t = context.texts
    sentences = "".join(f"<p>{_plain(line)}</p>" for line in result.standing(context, score, manifest))
    edge = f"<p>{_plain(result.borderline_sentence(context, score))}</p>" if score.borderline else ""
    bars = probability_bars(context, score.probabilities, score.predicted_class)
    why = "".join(f"<h2>{escape(title)}</h2>{body}" for title, body in result.score_reasons(context, score))
    return (
        f'<!doctype html><html lang="{HTML_LANGUAGES[t.language]}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(t("print.title"))}</title>'
        f"<style>{_STYLE}</style></head><body><header>{ICON_SVG}<h1>{escape(t('print.title'))}</h1></header><main>"
        f'<div class="two"><div>{gauge(context, score)}{sentences}{edge}</div>'
        f"<div><h2>{escape(t('result.probabilities'))}</h2>{bars}"
        f"<p>{_plain(result.similar_sentence(context, score))} {escape(t('result.not_default'))}</p></div></div>{why}"
        f"<h2>{escape(t('print.inputs'))}</h2>{list_of_inputs(context, fields, inputs)}"
        f'<h2>{escape(t("print.quote"))}</h2><dl class="quote">{_facts(context, score, inputs)}</dl>'
        f"<p>{escape(t('app.foot'))}</p></main></body></html>"
    )


def _plain(line: str) -> str:
    """A sentence of the page without its marks of emphasis."""
    return escape(line.replace("**", ""))


def _facts(context: PageContext, score: Score, inputs: Mapping[str, Any]) -> str:
    t = context.texts
    facts = (
        (t("fields.customer_ref.label"), str(inputs.get("customer_ref") or t("form.untold"))),
        (t("print.prediction"), score.prediction_id),
        (t("print.model"), f"{score.model.name} {score.model.version}"),
        (t("print.digest"), score.model.digest),
        (t("print.moment"), context.formats.moment(score.created_at)),
    )
    return "".join(f"<div><dt>{escape(name)}:</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
