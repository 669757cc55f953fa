"""Each picture shows what it names."""

from __future__ import annotations

import io

import numpy as np
import pytest

from flows.learning.model_metrics import judge
from flows.review import plots
from tests.flows.small_training import answers


@pytest.mark.parametrize("name", ["confusion", "reliability", "roc", "ks", "scores"])
def test_every_picture_can_be_saved(name: str) -> None:
    """A PNG of some size with axes that say what they are."""
    figure = plots.pictures(answers())[name]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG") and len(buffer.getvalue()) > 5_000
    assert figure.axes[0].get_xlabel() and figure.axes[0].get_ylabel() and figure.axes[0].get_title()


def test_pictures_and_figures_agree() -> None:
    """KS and the areas in the legends are the metrics' own."""
    told = answers()
    figures = judge(told, draws=2)
    legend = [text.get_text() for text in plots.ks(told).get_axes()[0].get_legend().get_texts()]
    assert f"KS {figures['ks_poor'].value:.3f}" in legend
    areas = [text.get_text().split()[-1] for text in plots.roc(told).get_axes()[0].get_legend().get_texts()]
    assert np.mean([float(area) for area in areas]) == pytest.approx(figures["auc_ovr"].value, abs=0.001)
