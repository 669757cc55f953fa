"""What was tried on the full public data before the defaults were chosen: a record for the model card.

Measured on the labelled public copy, on unseen customers of grouped folds, no month and no age among the features.
"Late" is learned from January to June, judged on July and August of unseen customers. Intervals are 95 % by customer.
`STRONGEST` is one protocol: all 10,010 cleaned customers (60,616 rows), the same five folds for each, answers before
calibration. `TRIED` is the record of the search that led there, each line on two or three of the folds if it does not
say otherwise; only differences of more than about 0.005 within a block mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Attempt:
    """One thing tried; figures as told, empty where it was not measured."""

    what: str
    accuracy: str
    macro_f1: str
    auc: str
    accuracy_late: str = "-"
    macro_f1_late: str = "-"
    verdict: str = ""


STRONGEST: Final = (
    Attempt(
        "**kept**: two cumulative curves in one model (MultiLogloss), 200 trees, one Newton step a leaf, L2 20, 0.4 of "
        "features, 0.6 of rows",
        "0.698 [0.691, 0.704]",
        "0.679 [0.672, 0.686]",
        "0.844 [0.840, 0.849]",
        "0.631 [0.622, 0.640]",
        "0.615 [0.606, 0.624]",
        "ECE 0.013, severe errors 2.7 %, class and band disagree on 14.4 %; two outputs serve faster than three",
    ),
    Attempt(
        "the same as multiclass",
        "0.697 [0.690, 0.703]",
        "0.679 [0.671, 0.686]",
        "0.845 [0.841, 0.849]",
        "0.631 [0.622, 0.640]",
        "0.616 [0.606, 0.625]",
        "as good at classes; severe errors 2.9 %, disagreement 14.8 %, a third more time",
    ),
    Attempt(
        "the kept form, labels settled within a quarter",
        "0.697 [0.690, 0.704]",
        "0.682 [0.675, 0.689]",
        "0.845 [0.840, 0.849]",
        "0.630 [0.621, 0.638]",
        "0.618 [0.609, 0.627]",
        "a little more macro-F1, but severe errors 3.1 %, ECE 0.024, late ECE 0.113",
    ),
    Attempt(
        "the kept form, later quarters weigh double",
        "0.693 [0.687, 0.699]",
        "0.670 [0.663, 0.677]",
        "0.844 [0.839, 0.848]",
        "0.630 [0.621, 0.639]",
        "0.614 [0.605, 0.623]",
        "late AUC 0.783 against 0.781 and late ECE 0.075 against 0.090, for less accuracy pooled",
    ),
    Attempt(
        "uncleaned columns with native categories, the kept learner",
        "0.684 [0.677, 0.691]",
        "0.652 [0.645, 0.659]",
        "0.837 [0.833, 0.841]",
        verdict="worse: what cleaning and features change loses no signal",
    ),
    Attempt(
        "CatBoost untuned, 250 trees",
        "0.684 [0.678, 0.690]",
        "0.661 [0.655, 0.668]",
        "0.834 [0.830, 0.838]",
        verdict="its own learning rate overfits",
    ),
)

TRIED: Final = (
    Attempt(
        "multiclass, strong regularisation (L2 20, 0.4 of features, 0.6 of rows); folds 1-3",
        "0.703 [0.692, 0.712]",
        "0.689 [0.677, 0.698]",
        "0.852 [0.846, 0.857]",
        "0.636 [0.624, 0.648]",
        "0.625 [0.611, 0.636]",
        "where the search began",
    ),
    Attempt(
        "the same with the month (not allowed; a probe)", "0.695", "0.677", "0.854", verdict="no accuracy in it either"
    ),
    Attempt(
        "the same with the month and means of all the customer's months (not allowed; a probe)",
        "0.697",
        "0.680",
        "0.856",
        verdict="even later months leave the targets out of reach",
    ),
    Attempt("the same, three seeds of 150 trees averaged", "0.694", "0.678", "0.842", verdict="no gain"),
    Attempt(
        "labels settled within a quarter",
        "0.699",
        "0.688",
        "0.852",
        "0.632",
        "0.624",
        "worse, and 3.4 % severe errors",
    ),
    Attempt("later quarters weigh half", "0.702", "0.688", "0.850", "0.635", "0.623", "worse"),
    Attempt(
        "later quarters weigh double",
        "0.697",
        "0.678",
        "0.850",
        "0.637",
        "0.626",
        "late AUC 0.790 against 0.788 and late ECE 0.07 against 0.09, but 0.007 less accuracy pooled",
    ),
    Attempt("L2 100 at rate 0.07", "0.699", "0.684", "0.851", verdict="no gain"),
    Attempt("depth 7, L2 300 at rate 0.1", "0.700", "0.684", "0.851", verdict="no gain"),
    Attempt(
        "500 trees at rate 0.03",
        "0.700 [0.689, 0.708]",
        "0.685 [0.673, 0.693]",
        "0.851 [0.845, 0.857]",
        verdict="more capacity does not help",
    ),
    Attempt("the kept model; folds 1-2", "0.703", "0.688", "0.854", "0.633", "0.622", "first line of the second block"),
    Attempt(
        "two binary models held to declared directions (monotone constraints)",
        "0.680",
        "0.657",
        "0.836",
        "0.618",
        "0.601",
        "far worse: debt and income act in both directions; fewest severe errors (1.7 %)",
    ),
    Attempt("the same two models, free", "0.702", "0.685", "0.853", "0.634", "0.621", "no gain over one model"),
    Attempt("CatBoost, 250 trees, its own regularisation", "0.702", "0.687", "0.854", verdict="no worse than noise"),
    Attempt("CatBoost, 600 trees at rate 0.08", "0.698", "0.681", "0.852", verdict="overfits"),
    Attempt("random forest, 200 trees", "0.701", "0.685", "0.852", verdict="the same ceiling, another family"),
    Attempt("extremely random trees, 200", "0.699", "0.684", "0.851", verdict="the same ceiling"),
    Attempt("latent class model, 16 classes", "0.681", "0.674", "0.826", verdict="worse"),
    Attempt(
        "uncleaned columns with native categories, 300 trees",
        "0.706",
        "0.686",
        "0.854",
        verdict="within noise; what it gains may come from how the copy was filled",
    ),
    Attempt(
        "gaps filled from later months too (not allowed; a probe)", "0.702", "0.688", "0.853", verdict="no gain lost"
    ),
    Attempt(
        "without derived ratios (five folds, against 0.699, 0.682, 0.851)",
        "0.699",
        "0.681",
        "0.851",
        "0.634",
        "0.621",
        "ratios cost nothing and give late AUC 0.788 against 0.786",
    ),
)

LEARNING_CURVE: Final = (
    ("25 %", "0.690", "0.671", "0.844"),
    ("50 %", "0.703", "0.688", "0.851"),
    ("100 %", "0.703", "0.688", "0.854"),
)

CEILING: Final = """\
Ceiling: a label flips for one month at random often enough that even the quarter's own commonest label of the customer
agrees with 0.938 of rows, and the customer's commonest label of all months, which no model can know beforehand, with
0.846. The targets set for this data (accuracy 0.715, macro-F1 0.700, AUC 0.865; late 0.650, 0.630, 0.805) are **not
reached**: five model families end within 0.005 of each other, and twice the customers add nothing to accuracy. ECE,
severe errors and disagreement of class and band are within their limits over all customers."""
