"""The dirt of the real file, in its kinds and shares: outliers, gaps, masks, stray underscores.

Shares are the profile's of the raw file (data/README.md), independent per cell as they are there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

Cells = dict[str, np.ndarray]
Draw = Callable[[], np.ndarray]

# column: (share, low, high) of impossible numbers, uniform
OUTLIERS: Final = {
    "Age": (0.020, 95, 8_688),
    "Annual_Income": (0.010, 200_000, 24_200_000),
    "Num_Bank_Accounts": (0.0127, 21, 1_798),
    "Num_Credit_Card": (0.024, 15, 1_499),
    "Interest_Rate": (0.020, 59, 5_799),
    "Num_of_Loan": (0.005, 12, 1_496),
    "Num_of_Delayed_Payment": (0.0075, 40, 4_399),
    "Num_Credit_Inquiries": (0.016, 25, 2_593),
    "Total_EMI_per_month": (0.032, 1_800, 82_000),
}
# column: ((share, token), ...) that takes the value's place; empty text is a missing cell
TOKENS: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "Name": ((0.10, ""),),
    "Age": ((0.0094, "-500"),),
    "SSN": ((0.057, "#F%$D@*&8"),),
    "Occupation": ((0.07, "_______"),),
    "Monthly_Inhand_Salary": ((0.15, ""),),
    "Num_Bank_Accounts": ((0.0002, "-1"),),
    "Num_of_Loan": ((0.039, "-100"),),
    "Num_of_Delayed_Payment": ((0.07, ""),),
    "Changed_Credit_Limit": ((0.021, "_"),),
    "Num_Credit_Inquiries": ((0.02, ""),),
    "Credit_Mix": ((0.20, "_"),),
    "Credit_History_Age": ((0.09, "NA"),),
    "Payment_of_Min_Amount": ((0.12, "NM"),),
    "Amount_invested_monthly": ((0.045, ""), (0.044, "__10000__")),
    "Payment_Behaviour": ((0.077, "!@9#%8"),),
    "Monthly_Balance": ((0.012, ""), (0.00015, "__-333333333333333333333333333__")),
}
UNDERSCORES: Final = {
    "Age": 0.05,
    "Annual_Income": 0.07,
    "Num_of_Loan": 0.049,
    "Num_of_Delayed_Payment": 0.029,
    "Outstanding_Debt": 0.01,
}


def add_dirt(cells: Cells, draw: Draw) -> None:
    """Dirty the text cells in place; `draw` gives uniform numbers of the cells' shape."""
    for column, (share, low, high) in OUTLIERS.items():
        hit, size = draw() < share, draw()
        numbers = (low + np.floor(size * (high - low + 1))).astype("int64").astype("U12")
        numbers = np.char.add(numbers, ".0") if "." in str(cells[column][0, 0]) else numbers
        cells[column] = np.where(hit, numbers.astype("object"), cells[column])
    for column, tokens in TOKENS.items():
        pick, start = draw(), 0.0
        for share, token in tokens:
            cells[column] = np.where((pick >= start) & (pick < start + share), token, cells[column])
            start += share
    for column, share in UNDERSCORES.items():
        words = cells[column]
        hit = (draw() < share) & (words != "")
        cells[column] = np.where(hit, words + "_", words)
