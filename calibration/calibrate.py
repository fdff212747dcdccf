"""From an outcome table to a certificate (Learn then Test, arXiv 2110.01052)."""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import scipy

import titrate
from calibration.certificate import FINGERPRINTS, Certificate
from calibration.checks import BoolArray, FloatArray
from calibration.outcome_table import OutcomeTable
from calibration.policies import PolicyGrid
from calibration.results import DomainResult, PolicyResult
from calibration.testing.family import HypothesisFamily
from calibration.testing.prior import check_disjoint
from calibration.testing.pvalues import P_VALUES
from calibration.testing.sample_size import units_needed
from calibration.units import UnitMeans, order_of_testing
from titrate import InputError, check_no_overlap, hash_patient


def certify(
    table: OutcomeTable,
    *,
    alpha: float,
    delta: float,
    fingerprints: Mapping[str, str],
    procedure: str = "sgt",
    p_value: str = "wsr",
    gammas: Sequence[float] = (),
    taus: Sequence[float] = (),
    prior_outcomes: OutcomeTable | None = None,
    other_patient_hashes: Mapping[str, Collection[str]] | None = None,
) -> Certificate:
    """Test every policy in every domain, all together at level delta, and choose among those that pass.

    Losses are averaged per patient; the patients of a domain are tested in the order of a hash of their ids, which does
    not depend on the order of the questions. A certificate in which nothing is certified is a result like any other:
    see `Certificate.certified_domains`.

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
    procedure
        ``"sgt"`` (sequential graphical testing), ``"holm"`` or ``"bonferroni"``; the first certifies all that the last
        does.
    p_value
        ``"wsr"``, ``"hoeffding-bentkus"``, or ``"binomial"`` where each patient has a single 0/1 loss and no threshold
        is tried.
    gammas, taus
        Ratio cuts and confidence thresholds to try beside k = 0..K alone, fixed before looking at the outcomes.
    prior_outcomes
        Outcomes of other patients, from the `prefer` split, which say where certificates are likely: `prefer_prior`.
    other_patient_hashes
        `hash_patient` of each patient of other splits and the index, by name. None of them may be in the table.

    Raises
    ------
    InputError
        If alpha, delta or a name cannot be used, a fingerprint is missing, the losses do not suit the p-value, or
        a patient or question is in two places.
    """
    check_fingerprints(fingerprints)
    if prior_outcomes is not None:
        check_disjoint(table.units, table.question_ids, prior_outcomes)
    check_no_overlap(table.units, other_patient_hashes or {})
    grid = PolicyGrid(table.max_k, tuple(gammas), tuple(taus))
    names = sorted(set(table.domains))
    family = HypothesisFamily(alpha, delta, grid, names, procedure, p_value, prior_outcomes)
    found = []
    for name in names:
        means = UnitMeans.read(table.select(name), grid, alpha)
        found.append(means.take(order_of_testing(means.names)))
    p_values = np.stack([family.p_values(row, means.tested) for row, means in enumerate(found)])
    certified = family.certify(p_values)
    domains = {
        name: domain_result(family, row, means, p_values[row], certified[row])
        for row, (name, means) in enumerate(zip(names, found, strict=True))
    }
    return make_certificate(family, domains, table.units, fingerprints, other_patient_hashes or {})


def check_fingerprints(fingerprints: Mapping[str, str]) -> None:
    """Check that everything a certificate must be tied to is there.

    Raises
    ------
    InputError
        Naming what is missing.
    """
    missing = [name for name in FINGERPRINTS if not fingerprints.get(name)]
    if missing:
        raise InputError(f"no fingerprint of {', '.join(missing)}; a certificate must say what it holds for")


def make_certificate(
    family: HypothesisFamily,
    domains: Mapping[str, DomainResult],
    patients: Iterable[str],
    fingerprints: Mapping[str, str],
    disjoint_from: Iterable[str],
    *,
    sequential: bool = False,
) -> Certificate:
    """Return a certificate of now.

    Parameters
    ----------
    family
        The hypotheses that were tested.
    domains
        What was found in each domain.
    patients
        Ids of all patients planned for.
    fingerprints
        Hashes of what the outcomes depend on.
    disjoint_from
        Names of the splits that were found to share no patient with these.
    sequential
        Whether the tests were looked at as outcomes came in.
    """
    return Certificate(
        alpha=family.alpha,
        delta=family.delta,
        unit="patient",
        p_value=family.p_value,
        procedure=family.procedure,
        fingerprints=dict(fingerprints),
        versions={
            "titrate": titrate.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        domains=domains,
        patient_hashes=tuple(sorted(map(hash_patient, set(patients)))),
        prior=family.prior.kind,
        prior_table=family.prior.table,
        sequential=sequential,
        disjoint_from=tuple(sorted(disjoint_from)),
    )


def domain_result(
    family: HypothesisFamily,
    domain: int,
    means: UnitMeans,
    p_values: FloatArray,
    certified: BoolArray,
    *,
    planned: tuple[int, int] | None = None,
    stopped: str = "all",
) -> DomainResult:
    """Return what was found in one domain, given which of its policies passed.

    Parameters
    ----------
    family
        The tests of all domains.
    domain
        Number of the domain in the family.
    means
        Of the domain's units, in the order in which they were tested.
    p_values, certified
        Of the domain's policies, ``[policies]``.
    planned
        How many units and questions there were, where the tests ended early; None where all were used.
    stopped
        Why the tests ended: one of `calibration.results.STOPPED`.
    """
    planned_units, planned_questions = planned or (len(means.names), means.n_questions)
    tests = zip(p_values.tolist(), family.prior.weights[domain].tolist(), certified.tolist(), strict=True)
    result = DomainResult(
        n_units=len(means.names),
        n_questions=means.n_questions,
        planned_units=planned_units,
        planned_questions=planned_questions,
        stopped=stopped,
        policies=tuple(
            PolicyResult(**vars(measured), p_value=p_value, weight=weight, certified=passed)
            for measured, (p_value, weight, passed) in zip(means.measure(family.grid), tests, strict=True)
        ),
        units_needed=None,
    )
    best = result.best(family.alpha)
    if result.certified or best.excess(family.alpha) >= 0:
        return result
    level = best.weight * family.delta

    def test(values: FloatArray) -> FloatArray:
        return P_VALUES[family.p_value](values, family.alpha, np.array([level]))

    column = family.grid.policies.index(best.policy)
    return replace(result, units_needed=units_needed(means.tested[:, [column]], test, level))
