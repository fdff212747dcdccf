"""Going on with new patients, by simulation: delta holds over all rounds, where testing anew each time breaks it."""

import numpy as np
import pytest

from calibration import closed_betting
from tests.promises.validity.test_worlds import ALPHA, CHUNK, DELTA, RUNS, WORLDS, bound, family_of

ROUNDS, PER_ROUND = 5, 40


@pytest.mark.slow
@pytest.mark.parametrize("world", ["flat", "all null", "flat, five questions, 0.4"])
def test_going_on_with_new_patients_until_something_is_certified(world: str) -> None:
    """Five rounds of 40 patients, and none of them certifies anything but wrongly."""
    rng, n, wrong = np.random.default_rng(11), ROUNDS * PER_ROUND, {"closed-e": 0, "sgt, wsr": 0, "anew each time": 0}
    planned = np.repeat(np.arange(1, ROUNDS + 1) * PER_ROUND, PER_ROUND)
    closed, sgt = (family_of(name, WORLDS[world], rng) for name in ("closed-e", "sgt"))
    invalid = np.array(WORLDS[world].risks) >= ALPHA
    for _ in range(RUNS // CHUNK):
        losses = WORLDS[world].draw(CHUNK, n, rng)
        for capital in closed.log_capital(0, losses, planned):
            wrong["closed-e"] += bool((closed_betting([capital], DELTA, closed.prior.weights)[0] & invalid).any())
        p_values = sgt.p_values(0, losses, planned)
        wrong["sgt, wsr"] += sum(bool((sgt.certify(row[None])[0] & invalid).any()) for row in p_values)
        anew = [closed.log_capital(0, losses[:, :end]) for end in planned[::PER_ROUND]]
        wrong["anew each time"] += sum(
            any((closed_betting([capital], DELTA, closed.prior.weights)[0] & invalid).any() for capital in tried)
            for tried in zip(*anew, strict=True)
        )
    rates = {method: times / RUNS for method, times in wrong.items()}
    assert rates["closed-e"] <= bound(DELTA, RUNS), rates
    assert rates["sgt, wsr"] <= bound(DELTA, RUNS), rates
    if world == "flat":
        assert rates["anew each time"] > bound(DELTA, RUNS), "these patients would show a promise that is broken"
