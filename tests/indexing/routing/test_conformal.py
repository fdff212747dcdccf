"""Conformal thresholds by hand and in simulation, and the patients set aside for them."""

from fractions import Fraction
from math import ceil, inf, sqrt

import numpy as np
import pytest
from scipy.stats import norm

from indexing.routing.conformal import conformal_threshold, hold_out_patients


@pytest.mark.parametrize("level", ["0.05", "0.1", "0.5", "0.01"])
def test_threshold_is_the_conformal_quantile(level: str) -> None:
    for n in range(1, 130):
        scores = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
        rank = ceil((n + 1) * (1 - Fraction(level)))
        wanted = rank if rank <= n else inf
        assert conformal_threshold(scores, np.arange(n).astype(str), float(level)) == wanted


@pytest.mark.parametrize(("level", "wanted"), [(0.5, 3), (0.4, 5), (0.25, 6), (0.2, inf)])
def test_threshold_weighs_patients_equally(level: float, wanted: float) -> None:
    # Patients reached: A at 1 and 2 (½, 1), B at 3 (2), C at 4, 5, 6 (2⅓, 2⅔, 3). Needed: 4 (1 − level).
    scores, units = np.array([6.0, 1, 3, 4, 2, 5]), np.array(list("CABCAC"))
    assert conformal_threshold(scores, units, level) == wanted


def test_refuses_at_most_the_level_of_new_images() -> None:
    rng, n, draws = np.random.default_rng(1), 60, 4000
    units = np.arange(n).astype(str)
    refused = np.array([norm.sf(conformal_threshold(rng.normal(size=n), units, 0.05)) for _ in range(draws)])
    # The 58th of 60 is exceeded by a new one with probability exactly 3/61.
    assert abs(refused.mean() - 3 / 61) < 4 * refused.std() / sqrt(draws)
    assert refused.mean() < 0.05


def test_refuses_at_most_the_level_of_new_patients() -> None:
    """Ordinary patients have five images, strange ones have one: counting images would refuse far too many."""
    rng, n, draws = np.random.default_rng(2), 60, 1000
    by_patient, by_image = [], []
    for _ in range(draws):
        effects = rng.normal(size=n)
        patients = np.repeat(np.arange(n), np.where(effects < 0.5, 5, 1))
        scores = effects[patients] + rng.normal(0, 0.3, len(patients))
        units = patients.astype(str), np.arange(len(patients)).astype(str)
        refused = [norm.sf(conformal_threshold(scores, unit, 0.05) / sqrt(1.09)) for unit in units]
        by_patient.append(refused[0])
        by_image.append(refused[1])
    assert np.mean(by_patient) <= 0.05 + 3 * np.std(by_patient) / sqrt(draws)
    assert np.mean(by_image) > 0.08


def test_held_out_patients_stay_together_and_stay_the_same() -> None:
    units = [f"patient {i // 3}" for i in range(3000)]
    domains = ["a", "b"] * 1500
    chosen = hold_out_patients(units, domains)
    assert (chosen.reshape(1000, 3).sum(axis=1) % 3 == 0).all()
    assert abs(chosen.mean() - 0.2) < 4 * sqrt(0.2 * 0.8 / 1000)
    np.testing.assert_array_equal(hold_out_patients(units[::-1], domains)[::-1], chosen)


def test_held_out_leaves_small_domains_whole() -> None:
    units = [f"a{number}" for number in range(400)] + [f"b{number}" for number in range(60)]
    domains = ["a"] * 400 + ["b"] * 60
    chosen = hold_out_patients(units, domains)
    assert 50 <= chosen[:400].sum() <= 110
    assert not chosen[400:].any(), "about 12 of 60 patients set no threshold at 5 %"
    assert hold_out_patients(units, domains, level=0.2)[400:].sum() >= 4
