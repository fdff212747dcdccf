"""From an outcome table to a certificate (Learn then Test, arXiv 2110.01052)."""

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
import scipy

import titrate
from calibration.certificate import FINGERPRINTS, Certificate, hash_patient
from calibration.checks import FloatArray, check_level
from calibration.procedures import PROCEDURES
from calibration.pvalues import P_VALUES
from calibration.results import DomainResult, least_risk
from calibration.table import OutcomeTable
from calibration.units import mean_per_unit
from titrate.errors import InputError

_MOST_UNITS = 1_000_000


def certify(
    table: OutcomeTable,
    *,
    alpha: float,
    delta: float,
    fingerprints: Mapping[str, str],
    seed: int = 0,
    procedure: str = "bonferroni",
    p_value: str = "wsr",
) -> Certificate:
    """Test every k = 0..K in every domain, all together at level delta, and choose among those that pass.

    Losses are averaged per patient; the patients of a domain are put into an order drawn from the seed, which does not
    depend on the order of the questions. A certificate in which nothing is certified is a result like any other: see
    `Certificate.certified_domains`.

    Parameters
    ----------
    table
        Outcomes on questions that nothing else was fitted to or chosen by.
    alpha
        The risk to promise, in (0, 1).
    delta
        The chance that the promise, over all domains together, is false, in (0, 1).
    fingerprints
        Hashes of what the outcomes depend on: at least those of `FINGERPRINTS`.
    seed
        Fixed before looking at the outcomes: trying several and keeping the best voids the guarantee.
    procedure
        ``"bonferroni"``.
    p_value
        ``"wsr"``, ``"hoeffding-bentkus"``, or ``"binomial"`` where each patient has a single 0/1 loss.

    Raises
    ------
    InputError
        If alpha, delta, seed or a name cannot be used, a fingerprint is missing, or the losses do not suit the p-value.
    """
    alpha, delta = check_level("alpha", alpha), check_level("delta", delta)
    if seed < 0:
        raise InputError(f"seed is {seed}; give 0 or more")
    for kind, name, known in (("procedure", procedure, PROCEDURES), ("p-value", p_value, P_VALUES)):
        if name not in known:
            raise InputError(f"unknown {kind} {name}; it can be {', '.join(known)}")
    missing = [name for name in FINGERPRINTS if not fingerprints.get(name)]
    if missing:
        raise InputError(f"no fingerprint of {', '.join(missing)}; a certificate must say what it holds for")

    names = sorted(set(table.domains))
    parts = [table.select(name) for name in names]
    values = [_units_in_random_order(part, seed) for part in parts]
    level = delta / (len(names) * (table.max_k + 1))

    def test(losses: FloatArray) -> FloatArray:
        return P_VALUES[p_value](losses, alpha, level)

    p_values = np.stack([test(part) for part in values])
    certified = PROCEDURES[procedure](p_values, delta)
    domains = {}
    for row, (name, part, losses) in enumerate(zip(names, parts, values, strict=True)):
        risks = tuple(losses.mean(axis=0).tolist())
        passed = tuple(np.flatnonzero(certified[row]).tolist())
        best = losses[:, [least_risk(risks, range(table.max_k + 1))]]
        domains[name] = DomainResult(
            n_units=len(losses),
            n_questions=len(part.question_ids),
            max_k=table.max_k,
            risks=risks,
            p_values=tuple(p_values[row].tolist()),
            certified=passed,
            k=least_risk(risks, passed) if passed else None,
            units_needed=None if passed or best.mean() >= alpha else _units_needed(best, test, level),
        )
    return Certificate(
        alpha=alpha,
        delta=delta,
        unit="patient",
        seed=seed,
        p_value=p_value,
        procedure=procedure,
        fingerprints=dict(fingerprints),
        versions={
            "titrate": titrate.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        domains=domains,
        patient_hashes=tuple(sorted(map(hash_patient, set(table.units)))),
    )


def _units_in_random_order(table: OutcomeTable, seed: int) -> FloatArray:
    """Losses ``[patients, K + 1]``: files are often sorted by outcome, and a betting test feels the order."""
    values, _ = mean_per_unit(table.losses, table.units)
    return values[np.random.default_rng(seed).permutation(len(values))]


def _units_needed(losses: FloatArray, test: Callable[[FloatArray], FloatArray], level: float) -> int | None:
    """About how many units like these ``[units, 1]`` would give a p-value of at most ``level``, at most a million.

    The data are repeated to length n and tested, with n found by doubling and then bisection to one per cent. Rough:
    it takes the measured risk, the least of several, for the true one, and the p-value need not fall at every step.
    """

    def enough(n: int) -> bool:
        return bool(test(np.resize(losses, (n, 1)))[0] <= level)

    low, high = len(losses), 2 * len(losses)
    while not enough(high):
        if high >= _MOST_UNITS:
            return None
        low, high = high, min(2 * high, _MOST_UNITS)
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
