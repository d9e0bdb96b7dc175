"""What the numbers that HistoGAN's Tables 1 and 2 print can and cannot be (docs/benchmark.md)."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

DOCS = Path(__file__).parents[2] / 'docs' / 'benchmark.md'
# Accuracy, AUC, sensitivity, specificity.
TABLE_1 = np.array([
    (0.754, 0.836, 0.589, 0.892),
    (0.766, 0.844, 0.623, 0.891),
    (0.787, 0.858, 0.690, 0.909),
    (0.808, 0.872, 0.639, 0.912),
    (0.821, 0.881, 0.671, 0.917),
])  # fmt: skip
TABLE_2 = np.array([
    (0.872, 0.914, 0.826, 0.903),
    (0.900, 0.933, 0.865, 0.924),
    (0.893, 0.929, 0.863, 0.913),
    (0.917, 0.945, 0.892, 0.935),
    (0.910, 0.940, 0.883, 0.929),
    (0.916, 0.944, 0.893, 0.933),
    (0.920, 0.947, 0.898, 0.935),
    (0.937, 0.958, 0.916, 0.951),
    (0.932, 0.955, 0.909, 0.948),
    (0.948, 0.965, 0.931, 0.960),
])  # fmt: skip
COUNTS = np.array([1284, 410, 481, 472])  # Normal, CIN1, CIN2, CIN3 (Sec. 4.1)


def most_accurate(macro_recall):
    """The highest accuracy that recalls of this mean can have, by linear programming."""
    found = linprog(
        -COUNTS / COUNTS.sum(), A_eq=[[0.25] * 4], b_eq=[macro_recall], bounds=[(0, 1)] * 4
    )
    return -found.fun


def said(text):
    assert text in ' '.join(DOCS.read_text(encoding='utf-8').split()), text


def test_the_printed_auc_follows_from_the_accuracy_in_all_rows():
    rows = np.concatenate([TABLE_1, TABLE_2])
    assert len(rows) == 15
    # Both are rounded to three digits.
    assert np.abs(1 - 2 / 3 * (1 - rows[:, 0]) - rows[:, 1]).max() <= (1 + 2 / 3) * 0.0005 + 1e-9
    said('1 - 2/3 (1 - accuracy) in all 15 rows')


def test_four_of_five_rows_are_no_macro_values_under_the_published_counts():
    # Half a digit more on either side: what the rounding may hide.
    impossible = [
        most_accurate(row[2] + 0.0005) < row[0] - 0.0005 for row in TABLE_1
    ]  # fmt: skip
    assert impossible == [True, True, False, True, True]
    assert round(most_accurate(0.589), 3) == 0.730
    # By hand: all of Normal and of CIN2, the next largest class, and 0.356 of CIN3.
    by_hand = (1284 + 481 + (4 * 0.589 - 2) * 472) / 2647
    assert most_accurate(0.589) == pytest.approx(by_hand)
    said('macro recall 0.589 allows an accuracy of at most 0.730, and 0.754 is printed')


def test_table_2_implies_two_positives_of_five():
    accuracy, _, sensitivity, specificity = TABLE_2.T
    positives = (specificity - accuracy) / (specificity - sensitivity)
    assert 0.395 < positives.min() and positives.max() < 0.43
    assert round(float(np.mean(positives)), 2) == 0.41
    said('40 to 43 % of positives')
    said("Kaggle's edition without duplicates, 40.5 %")
    assert round(89117 / 220025, 3) == 0.405
