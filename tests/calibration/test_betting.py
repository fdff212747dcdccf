"""Bets that aim, and closed testing by averaged capital, by hand and against a search through all sets."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from calibration import (
    FINGERPRINTS,
    HypothesisFamily,
    OutcomeTable,
    PolicyGrid,
    certify,
    choose_tests,
    closed_betting,
    rounds_of_testing,
    star_log_capital,
    star_p_value,
    wsr_log_capital,
)
from calibration.checks import BoolArray, FloatArray
from calibration.testing.sample_size import further_units
from titrate import InputError


def test_star_bets_by_hand() -> None:
    """Two right answers of 100 planned, alpha a half, delta a tenth."""
    capital = star_log_capital(np.zeros((2, 1)), 0.5, 0.1, planned=100)[:, 0]
    # First: variance 1/4, log 10 missing, 100 left: sqrt(2 * 2.302585 / 25) = 0.429193, so K = 1.214597.
    # Then: variance (1/4 + 1/16) / 2, 2.108173 missing, 99 left: sqrt(4.216346 / 15.46875) = 0.522084, K = 1.531657.
    assert np.exp(capital) == pytest.approx([1.214597, 1.531657], rel=1e-6)


def test_bets_grow_as_the_end_comes_near_and_end_at_the_goal() -> None:
    one_wrong = np.array([1.0] + [0.0] * 29)[:, None]
    star, wsr = (bets(one_wrong, 0.2, 0.1)[:, 0] for bets in (star_log_capital, wsr_log_capital))
    reached = int(np.argmax(star >= np.log(10)))
    assert 0 < reached < 29
    assert np.all(np.diff(star)[reached:] == 0)
    assert np.all(np.diff(star)[:10] >= np.diff(wsr)[:10] - 1e-12)  # having lost, it has more to make up for
    right = star_log_capital(np.zeros((100, 1)), 0.2, 0.1)[:, 0]
    assert np.log(10) <= right[-1] < np.log(10) + 0.2
    assert star_p_value(np.zeros((100, 1)), 0.2, 0.1)[0] == pytest.approx(np.exp(-right[-1]))


def test_the_future_changes_no_bet() -> None:
    losses = np.random.default_rng(0).random((60, 3))
    weights = np.full(3, 1 / 3)
    whole = star_log_capital(losses, 0.4, 0.1, weights=weights)
    assert np.array_equal(star_log_capital(losses[:20], 0.4, 0.1, planned=60, weights=weights), whole[:20])
    with pytest.raises(InputError, match="19 units are planned, but 20 given"):
        star_log_capital(losses[:20], 0.4, 0.1, planned=19)


def by_all_sets(capitals: list[FloatArray], delta: float, weights: FloatArray) -> BoolArray:
    """Closed testing as it is defined: a policy is certified where every set that holds it is rejected."""
    names = [(domain, policy) for domain in range(len(weights)) for policy in range(weights.shape[1])]
    certified = np.ones(weights.shape, dtype=np.bool_)
    for size in range(1, len(names) + 1):
        for chosen in itertools.combinations(names, size):
            needed = sum(weights[name] for name in chosen) / delta
            held = [
                sum(weights[name] * np.exp(capitals[domain][:, name[1]]) for name in chosen if name[0] == domain)
                for domain in {name[0] for name in chosen}
            ]
            if not any(np.any(wealth >= needed) for wealth in held):
                for name in chosen:
                    certified[name] = False
    return certified


def test_closed_betting_against_all_sets() -> None:
    rng, ours, theirs = np.random.default_rng(0), 0, 0
    for _ in range(200):
        domains, policies = rng.integers(1, 4), rng.integers(1, 4)
        weights = rng.dirichlet(np.ones(domains * policies)).reshape(domains, policies)
        capitals = [np.cumsum(rng.normal(0.5, 1.2, (6, policies)), axis=0) for _ in range(domains)]
        found, right = closed_betting(capitals, 0.1, weights), by_all_sets(capitals, 0.1, weights)
        assert not np.any(found & ~right)
        ours, theirs = ours + int(found.sum()), theirs + int(right.sum())
    assert 0.98 * theirs <= ours > 50  # the short way misses sets that are rejected at other times, which are few


def test_what_one_domain_has_won_helps_the_next() -> None:
    weights = np.array([[0.5], [0.5]])
    enough, half = np.log([[20.0]]), np.log([[10.0]])
    assert closed_betting([half, half], 0.1, weights).tolist() == [[False], [False]]
    assert closed_betting([enough, half], 0.1, weights).tolist() == [[True], [True]]
    with pytest.raises(InputError, match="add up to 1"):
        closed_betting([half, half], 0.1, np.array([[0.5], [0.4]]))


def table_of(losses: FloatArray, names: list[str]) -> OutcomeTable:
    return OutcomeTable(
        question_ids=[f"q {name}" for name in names],
        units=names,
        domains=["d"] * len(names),
        losses=losses,
        confidences=losses,
        answers=[[""] * losses.shape[1]] * len(names),
    )


@pytest.mark.parametrize(("procedure", "p_value"), [("closed-e", "star"), ("sgt", "wsr"), ("holm", "star")])
def test_a_calibration_that_goes_on_keeps_its_capital(procedure: str, p_value: str) -> None:
    rng = np.random.default_rng(3)
    losses = (rng.random((90, 3)) < 0.15).astype(np.float64)
    names = [f"p{number}" for number in range(90)]

    def made(rows: int, earlier: list[list[str]]) -> dict[str, object]:
        certificate = certify(
            table_of(losses[:rows], names[:rows]),
            alpha=0.25,
            delta=0.1,
            fingerprints=dict.fromkeys(FINGERPRINTS, "1"),
            procedure=procedure,
            p_value=p_value,
            earlier=earlier,
        )
        return {"rounds": certificate.rounds, "p": [row.p_value for row in certificate.domains["d"].policies]}

    first, both = made(40, []), made(90, [names[:40]])
    assert (first["rounds"], both["rounds"]) == ((40,), (40, 50))
    order, planned = rounds_of_testing(names, [names[:40]])
    assert sorted(order[:40]) == list(range(40))
    assert planned.tolist() == [40] * 40 + [90] * 50
    family = HypothesisFamily(0.25, 0.1, PolicyGrid(2), ["d"], procedure, p_value)
    p_values, _ = family.test([losses[order]], [planned])
    assert both["p"] == p_values[0].tolist()
    p_first, _ = family.test([losses[order[:40]]])
    assert first["p"] == p_first[0].tolist()
    assert all(after <= before for before, after in zip(p_first[0], p_values[0], strict=True))


def test_what_cannot_go_on_is_refused() -> None:
    made = table_of(np.zeros((9, 1)), [f"p{number}" for number in range(9)])
    settings = {"alpha": 0.2, "delta": 0.1, "fingerprints": dict.fromkeys(FINGERPRINTS, "1")}
    with pytest.raises(InputError, match="may be looked at once only"):
        certify(made, **settings, procedure="sgt", p_value="binomial", earlier=[["p1"]])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="1 patients of earlier rounds are missing"):
        certify(made, **settings, earlier=[["p1", "somebody"]])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="in two of the earlier rounds"):
        certify(made, **settings, earlier=[["p1"], ["p1"]])  # type: ignore[arg-type]
    both = replace(made, domains=["d"] * 5 + ["e"] * 4)
    with pytest.raises(InputError, match="e was not calibrated before"):
        certify(both, **settings, earlier=[["p1", "p2"]])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"of delta = 0\.1, 0\.1 is spent"):
        certify(made, **settings, spent=0.1)  # type: ignore[arg-type]


def test_the_tests_that_suit() -> None:
    def chosen(procedure: str | None = None, p_value: str | None = None, **how: bool) -> tuple[str, str]:
        return choose_tests(
            procedure, p_value, sequential=how.get("sequential", False), single_closed=how.get("single", False)
        )

    assert chosen() == ("closed-e", "star")
    assert chosen(single=True) == ("sgt", "binomial")
    assert chosen(single=True, sequential=True) == ("sgt", "wsr")
    assert chosen("holm") == ("holm", "star")
    assert chosen("closed-e", single=True) == ("closed-e", "star")
    assert chosen(None, "wsr") == ("sgt", "wsr")
    for procedure, p_value in ((None, "star"), ("closed-e", None), ("sgt", "binomial")):
        with pytest.raises(InputError, match="leave out --sequential"):
            chosen(procedure, p_value, sequential=True)


@pytest.mark.parametrize(("procedure", "p_value"), [("closed-e", "star"), ("sgt", "binomial")])
def test_the_advice_is_the_number_for_four_in_five(procedure: str, p_value: str) -> None:
    """The outcomes are the truth here: a risk of 0.1 to each of three policies, which is certified at 0.2."""
    family = HypothesisFamily(0.2, 0.1, PolicyGrid(2), ["d"], procedure, p_value)
    rng = np.random.default_rng(1)
    values = np.zeros((10, 3))
    values[0] = 1.0
    more = further_units(family, 0, values, np.full(10, 10))
    assert more is not None
    start = values if p_value == "star" else values[:0]
    found = 0
    for _ in range(300):
        drawn = np.vstack([start, values[rng.integers(10, size=more)]])
        plan = np.full(len(drawn), len(drawn))
        plan[: len(start)] = len(start)
        found += bool(family.test([drawn], [plan])[1].any())
    assert 0.7 < found / 300 < 0.93
