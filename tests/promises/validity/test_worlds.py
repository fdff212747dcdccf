"""The guarantee, by simulation against known truth.

Every risk here is alpha or more, where certifying anything is an error, or is known, so that errors can be counted.
The bound on an error rate is delta plus three standard errors of the simulation.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pytest

from calibration import (
    FINGERPRINTS,
    P_VALUES,
    HypothesisFamily,
    OutcomeTable,
    PolicyGrid,
    PolicyOutcomes,
    SequentialCertifier,
    binomial_p_value,
    certify,
    closed_betting,
    hoeffding_bentkus_p_value,
    mean_per_unit,
    star_p_value,
    wsr_log_capital,
    wsr_p_value,
)
from calibration.checks import BoolArray, FloatArray

ALPHA, DELTA, RUNS = 0.2, 0.1, 2000  # half as many of 1000 patients

Test = Callable[[FloatArray], FloatArray]
TESTS: dict[str, Test] = {
    "wsr": lambda losses: wsr_p_value(losses, ALPHA, DELTA),
    "wsr at a small level": lambda losses: wsr_p_value(losses, ALPHA, 0.001),
    "star": lambda losses: star_p_value(losses, ALPHA, DELTA),
    "hoeffding-bentkus": lambda losses: hoeffding_bentkus_p_value(losses, ALPHA),
}


def bound(delta: float, runs: int) -> float:
    return delta + 3 * math.sqrt(delta * (1 - delta) / runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("n", [1, 10, 100, 400])
@pytest.mark.parametrize("shape", ["right or wrong", "graded", "nearly constant", "thirds"])
def test_error_rate_of_one_test_where_the_risk_is_alpha(name: str, n: int, shape: str) -> None:
    rng = np.random.default_rng([n, len(shape)])
    runs = 10 * RUNS
    losses = {
        "right or wrong": lambda: (rng.random((n, runs)) < ALPHA).astype(np.float64),
        "graded": lambda: rng.beta(0.4, 1.6, (n, runs)),
        "nearly constant": lambda: rng.uniform(ALPHA - 0.01, ALPHA + 0.01, (n, runs)),
        "thirds": lambda: rng.binomial(3, ALPHA, (n, runs)) / 3,
    }[shape]()
    p_values = TESTS[name](losses)
    for level in (DELTA, DELTA / 9):
        assert np.mean(p_values <= level) <= bound(level, runs)


@pytest.mark.slow
def test_error_rate_of_the_binomial_test() -> None:
    losses = (np.random.default_rng(4).random((100, 10 * RUNS)) < ALPHA).astype(np.float64)
    assert np.mean(binomial_p_value(losses, ALPHA) <= DELTA) <= bound(DELTA, 10 * RUNS)


@dataclass(frozen=True)
class World:
    """Patients whose losses are known in distribution: ``risks`` of each policy, correlated as told."""

    risks: tuple[float, ...]
    questions: int = 1
    correlation: float = 0.0  # between two questions of one patient
    across_k: bool = True  # one common draw for all k, as when they share a model's mistakes
    graded: bool = False

    def draw(self, runs: int, n: int, rng: np.random.Generator) -> FloatArray:
        """Mean loss of each patient, ``[runs, n, policies]``."""
        truth, shape = np.array(self.risks), (runs, n)
        chance = np.broadcast_to(truth, (*shape, len(truth)))
        if self.correlation:
            spread = 1 / self.correlation - 1  # of a beta distribution, so that two questions agree as often as told
            chance = rng.beta(truth * spread, (1 - truth) * spread, (*shape, len(truth)))
        total = np.zeros((*shape, len(truth)))
        for _ in range(self.questions):
            common = rng.random((*shape, 1 if self.across_k else len(truth)))
            # Graded, it is uniform on [0, 2 r] and so has the same mean, all risks being at most a half.
            total += 2 * chance * common if self.graded else common < chance
        return total / self.questions


U = (0.25, 0.2, 0.12, 0.1, 0.12, 0.2, 0.2, 0.22, 0.3)
WORLDS = {
    "U": World(U, across_k=False),
    "flat": World((0.2,) * 9, across_k=False),
    "all null": World((0.2, 0.21, 0.22, 0.25, 0.3, 0.25, 0.22, 0.21, 0.2), across_k=False),
    "U, correlated across k": World(U),
    "U, five questions, 0.2": World(U, questions=5, correlation=0.2),
    "U, five questions, 0.4": World(U, questions=5, correlation=0.4),
    "flat, five questions, 0.4": World((0.2,) * 9, questions=5, correlation=0.4),
    "U, graded": World(U, graded=True),
}
CHUNK = 100
DESIGNS = ("bonferroni", "holm", "sgt", "sgt with a prior")
CLOSED = ("closed-e", "closed-e with a prior")


def family_of(name: str, world: World, rng: np.random.Generator) -> HypothesisFamily:
    """A family of one domain; its prior, if any, from 150 patients of a `prefer` split of its own."""
    k = len(world.risks)
    prefer = None
    if name.endswith("with a prior"):
        losses = world.draw(1, 150, rng)[0]
        prefer = OutcomeTable(
            question_ids=[f"q{row}" for row in range(150)],
            units=[f"p{row}" for row in range(150)],
            domains=["d"] * 150,
            losses=losses,
            confidences=losses,
            answers=[[""] * k] * 150,
        )
    procedure = name.split()[0]
    p_value = "star" if procedure == "closed-e" else "wsr"
    return HypothesisFamily(ALPHA, DELTA, PolicyGrid(k - 1), ["d"], procedure, p_value, prefer)


def certified_at(log_capital: FloatArray, family: HypothesisFamily) -> tuple[FloatArray, FloatArray]:
    """p-values ``[runs, policies]`` at the moment when the first policy is certified, if ever, and at the end."""
    evidence = np.maximum.accumulate(log_capital, axis=1)
    enough = evidence >= -np.log(family.prior.weights[0] * DELTA)
    stop = np.where(enough.any(axis=(1, 2)), enough.any(axis=2).argmax(axis=1), evidence.shape[1] - 1)
    return np.exp(-np.maximum(evidence[np.arange(len(stop)), stop], 0)), np.exp(-np.maximum(evidence[:, -1], 0))


def rates(world: World, n: int, runs: int, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """For each method, how often it certified an invalid policy, and how often a valid one."""
    invalid = np.array(world.risks) >= ALPHA
    counts: dict[str, list[int]] = {}

    def count(method: str, table: Iterable[BoolArray]) -> None:
        wrong, found = counts.setdefault(method, [0, 0])
        for certified in table:
            wrong += bool(np.any(certified & invalid))
            found += bool(np.any(certified & ~invalid))
        counts[method] = [wrong, found]

    for _ in range(runs // CHUNK):
        losses = world.draw(CHUNK, n, rng)
        fixed = {"hoeffding-bentkus": hoeffding_bentkus_p_value(losses, ALPHA)}
        if not world.graded and world.questions == 1:
            fixed["binomial"] = binomial_p_value(losses, ALPHA)
        capital: dict[bytes, FloatArray] = {}
        for name in DESIGNS:
            family = family_of(name, world, rng)
            weights = family.prior.weights[0]
            if weights.tobytes() not in capital:
                capital[weights.tobytes()] = wsr_log_capital(losses, ALPHA, weights * DELTA)
            stopped, whole = certified_at(capital[weights.tobytes()], family)
            for p_value, values in {**fixed, "wsr": whole, "wsr, stopped early": stopped}.items():
                count(f"{name}, {p_value}", (family.certify(row[None])[0] for row in values))
        for name in CLOSED:
            family = family_of(name, world, rng)
            together = family.log_capital(0, losses)
            count(name, (closed_betting([capital], DELTA, family.prior.weights)[0] for capital in together))
    return {method: (wrong / runs, found / runs) for method, (wrong, found) in counts.items()}


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 400, 1000])
@pytest.mark.parametrize("name", WORLDS)
def test_no_method_names_an_invalid_policy_too_often(name: str, n: int) -> None:
    world = WORLDS[name]
    runs = RUNS if n < 1000 else RUNS // 2
    found = rates(world, n, runs, np.random.default_rng([n, list(WORLDS).index(name)]))
    assert {method: wrong for method, (wrong, _) in found.items() if wrong > bound(DELTA, runs)} == {}
    if min(world.risks) < ALPHA and n == 1000:  # cautious, but not by never certifying
        assert all(right > 0.9 for _, right in found.values())


def selective(n: int, runs: int, slope: float, correlation: float, rng: np.random.Generator) -> FloatArray:
    """Tested values ``[runs, n, 3 k x 4 taus]``; the chance to be wrong falls by ``slope`` over the confidence."""
    taus = np.array([0.0, 0.25, 0.5, 0.75])
    total = np.zeros((runs, n, 3 * len(taus)))
    patient = rng.random((runs, n, 3)) if correlation else None
    for _ in range(5):
        own = rng.random((runs, n, 3))
        # With chance `correlation` a question shares its patient's confidence.
        shared = rng.random((runs, n, 3)) < correlation
        confidence = own if patient is None else np.where(shared, patient, own)
        wrong = (rng.random((runs, n, 3)) < ALPHA + slope / 2 - slope * confidence).astype(np.float64)
        repeated = [np.tile(array, len(taus)) for array in (wrong, confidence)]
        answered = repeated[1] >= np.repeat(taus, 3)
        total += PolicyOutcomes(repeated[0], answered, np.zeros(answered.shape, dtype=np.int64)).tested(ALPHA)
    return total / 5


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 400, 1000])
@pytest.mark.parametrize(("slope", "correlation"), [(0.0, 0.0), (0.0, 0.4), (0.2, 0.0), (0.2, 0.4)])
def test_thresholds_name_an_invalid_policy_no_more_often(slope: float, correlation: float, n: int) -> None:
    """R_s(tau) = alpha - slope tau / 2: exactly alpha at every tau without a slope, and at tau = 0 with one."""
    rng = np.random.default_rng([n, int(100 * slope), int(100 * correlation)])
    family = HypothesisFamily(ALPHA, DELTA, PolicyGrid(2, taus=(0.25, 0.5, 0.75)), ["d"], "sgt", "wsr")
    invalid = np.array([slope == 0 or policy.tau == 0 for policy in family.grid.policies])
    wrong = dict.fromkeys(("wsr", "hoeffding-bentkus"), 0)
    found = 0
    for _ in range(RUNS // CHUNK):
        values = selective(n, CHUNK, slope, correlation, rng)
        for name in wrong:
            p_values = P_VALUES[name](values, ALPHA, family.prior.weights[0] * DELTA)
            certified = np.stack([family.certify(row[None])[0] for row in p_values])
            wrong[name] += int(np.any(certified & invalid, axis=1).sum())
            found += int(np.any(certified & ~invalid, axis=1).sum()) if name == "wsr" else 0
    assert all(times / RUNS <= bound(DELTA, RUNS) for times in wrong.values()), wrong
    assert (found / RUNS > 0.5) == (slope > 0 and n > 100)


@pytest.mark.slow
def test_certify_and_the_early_stop_end_to_end() -> None:
    """The same promise through the doors that users take: 150 tables of two domains, five questions a patient."""
    world, runs, n = World((0.2, 0.12, 0.2)), 150, 120
    rng = np.random.default_rng(8)
    wrong = {"certify": 0, "sequential": 0}
    for _ in range(runs):
        chance = rng.beta(np.array(world.risks) * 1.5, (1 - np.array(world.risks)) * 1.5, (n, 3))
        losses = (rng.random((n, 5, 1)) < chance[:, None]).reshape(-1, 3).astype(np.float64)
        table = OutcomeTable(
            question_ids=[f"q{row}" for row in range(5 * n)],
            units=[f"p{row // 5}" for row in range(5 * n)],
            domains=["a" if row < 5 * n // 2 else "b" for row in range(5 * n)],
            losses=losses,
            confidences=losses,
            answers=[[""] * 3] * (5 * n),
        )
        certifier = SequentialCertifier(
            table.question_ids, table.units, table.domains, max_k=2, alpha=ALPHA, delta=DELTA
        )
        while asked := certifier.next(20):
            certifier.add(table.take([int(question[1:]) for question in asked]))
        prints = dict.fromkeys(FINGERPRINTS, "1")
        for name, made in (
            ("certify", certify(table, alpha=ALPHA, delta=DELTA, fingerprints=prints)),
            ("sequential", certifier.certificate(prints)),
        ):
            wrong[name] += any(
                result.policies[0].certified or result.policies[2].certified for result in made.domains.values()
            )
    assert all(times / runs <= bound(DELTA, runs) for times in wrong.values()), wrong


@pytest.mark.slow
def test_these_simulations_notice_a_method_that_is_wrong() -> None:
    """Fixed-sequence testing in an order taken from the same data, as RULE's and others' code allows."""
    rng, wrong = np.random.default_rng(9), 0
    world = World((0.2,) * 9, across_k=False)
    for _ in range(RUNS // CHUNK):
        p_values = binomial_p_value(world.draw(CHUNK, 400, rng), ALPHA)
        wrong += int((p_values.min(axis=1) <= DELTA).sum())  # the first of the sequence is the smallest
    assert wrong / RUNS > 2 * bound(DELTA, RUNS)


@pytest.mark.slow
def test_questions_of_one_patient_are_not_independent() -> None:
    """The reason for `mean_per_unit`: without it the exact test is wrong far too often."""
    rng, n = np.random.default_rng(6), 100
    naive = averaged = 0
    for _ in range(RUNS):
        chance = rng.beta(ALPHA * 1.5, (1 - ALPHA) * 1.5, n)  # a correlation of 0.4
        losses = (rng.random(5 * n) < np.repeat(chance, 5)).astype(np.float64)[:, None]
        values, _ = mean_per_unit(losses, [f"{unit:04}" for unit in range(n) for _ in range(5)])
        naive += bool(binomial_p_value(losses, ALPHA)[0] <= DELTA)
        averaged += bool(wsr_p_value(values, ALPHA, DELTA)[0] <= DELTA)
    assert naive / RUNS > bound(DELTA, RUNS)
    assert averaged / RUNS <= bound(DELTA, RUNS)
