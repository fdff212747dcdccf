"""Small outcome tables and their certificates."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from calibration import FINGERPRINTS, Certificate, OutcomeTable, certify
from calibration.checks import FloatArray


@pytest.fixture
def outcomes() -> Callable[..., OutcomeTable]:
    """Give a maker of tables from losses ``[n, K + 1]``: one domain and n patients unless told otherwise."""

    def make(losses: FloatArray, domains: list[str] | None = None, units: list[str] | None = None) -> OutcomeTable:
        n, columns = losses.shape
        return OutcomeTable(
            question_ids=[f"q{row}" for row in range(n)],
            units=units or [f"p{row}" for row in range(n)],
            domains=domains or ["radiology"] * n,
            losses=losses,
            confidences=np.full(losses.shape, 0.5),
            answers=[["yes"] * columns] * n,
        )

    return make


@pytest.fixture
def two_domains(outcomes: Callable[..., OutcomeTable]) -> OutcomeTable:
    """Give 100 patients of radiology, all right at k = 1 and 2, and 20 of pathology, 7 of them wrong at every k."""
    radiology = np.zeros((100, 3))
    radiology[:50, 0] = 1
    pathology = np.zeros((20, 3))
    pathology[:7] = 1
    return outcomes(np.vstack([radiology, pathology]), ["radiology"] * 100 + ["pathology"] * 20)


@pytest.fixture
def certificate(two_domains: OutcomeTable) -> Callable[..., Certificate]:
    """Give `certify` on those two domains, at alpha = 0.4 and delta = 0.1 unless told otherwise."""

    def make(**changes: Any) -> Certificate:
        settings: dict[str, Any] = {"alpha": 0.4, "delta": 0.1, "fingerprints": dict.fromkeys(FINGERPRINTS, "1")}
        return certify(two_domains, **(settings | changes))

    return make
