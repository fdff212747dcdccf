"""From an outcome table to a certificate (Learn then Test, arXiv 2110.01052)."""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import scipy

import titrate
from calibration.certificate import FINGERPRINTS, Certificate
from calibration.checks import BoolArray, FloatArray, IntArray, check_spent
from calibration.grid import PolicyGrid
from calibration.order import check_earlier, rounds_of_testing
from calibration.outcome_table import OutcomeTable
from calibration.policies import Blend, Policy
from calibration.results import DomainResult, PolicyResult
from calibration.testing.family import HypothesisFamily
from calibration.testing.prior import check_disjoint
from calibration.testing.pvalues import ANYTIME
from calibration.testing.sample_size import further_units
from calibration.units import UnitMeans, keeps
from titrate import InputError, check_no_overlap

COMPUTED_WITH = ("titrate", "python", "numpy", "scipy")
"""Whose versions every certificate holds; it may hold more, of what answered the questions."""


def certify(
    table: OutcomeTable,
    *,
    alpha: float,
    delta: float,
    fingerprints: Mapping[str, str],
    procedure: str = "closed-e",
    p_value: str = "star",
    gammas: Sequence[float] = (),
    taus: Sequence[float] = (),
    blends: Sequence[Blend] = (),
    gates: Sequence[float] = (),
    prior_outcomes: OutcomeTable | None = None,
    other_patient_hashes: Mapping[str, Collection[str]] | None = None,
    earlier: Sequence[Collection[str]] = (),
    look: int = 1,
    spent: float = 0.0,
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
        ``"closed-e"`` (closed testing by averaged capital), ``"sgt"`` (sequential graphical testing), ``"holm"`` or
        ``"bonferroni"``.
    p_value
        ``"star"`` (bets that aim; the only one for ``"closed-e"``), ``"wsr"``, ``"hoeffding-bentkus"``, or
        ``"binomial"`` where each patient has a single 0/1 loss and no threshold is tried.
    gammas, taus
        Ratio cuts and confidence thresholds to try beside k = 0..K alone, fixed before looking at the outcomes.
    blends, gates
        Blends and gates to try too; see `PolicyGrid`. They need outcomes that hold the probabilities of options.
    prior_outcomes
        Outcomes of other patients, from the `prefer` split, which say where certificates are likely: `prefer_prior`.
    other_patient_hashes
        `hash_patient` of each patient of other splits and the index, by name. None of them may be in the table.
    earlier
        The patients of each earlier calibration that this one continues, all of them, where patients were added since
        and nothing else changed: the bets go on where they stood, so that delta holds over all rounds together. Whether
        to go on may depend on what was seen, who is added may not.
    look, spent
        How many systems were calibrated on these patients, this one counted, and what of delta went to the others. What
        is left of it is for this one, so that delta is the chance that a promise to any of them is false.

    Raises
    ------
    InputError
        If alpha, delta or a name cannot be used, a fingerprint is missing, the losses do not suit the p-value,
        a patient or question is in two places, or the tests cannot be continued.
    """
    check_fingerprints(fingerprints)
    if prior_outcomes is not None:
        check_disjoint(table.units, table.question_ids, prior_outcomes)
    check_no_overlap(table.units, other_patient_hashes or {})
    grid = PolicyGrid(table.max_k, tuple(gammas), tuple(taus), tuple(blends), tuple(gates))
    names = sorted(set(table.domains))
    family = HypothesisFamily(alpha, delta - check_spent(spent, delta), grid, names, procedure, p_value, prior_outcomes)
    check_earlier(earlier, table.units, anytime=p_value in ANYTIME)
    found, planned = [], []
    for name in names:
        means = UnitMeans.read(table.select(name), grid, alpha)
        order, plan = rounds_of_testing(means.names, earlier)
        if earlier and not any(unit in earlier[0] for unit in means.names):  # the shares of delta would be others
            raise InputError(f"{name} was not calibrated before; leave its questions out, or calibrate them apart")
        found.append(means.take(order))
        planned.append(plan)
    p_values, certified, capitals = family.test_and_keep([means.tested for means in found], planned)
    domains = {
        name: domain_result(
            family, row, means, p_values[row], certified[row], planned=planned[row], log_capitals=capitals[row]
        )
        for row, (name, means) in enumerate(zip(names, found, strict=True))
    }
    certificate = make_certificate(family, domains, [table], fingerprints, other_patient_hashes or {})
    sizes = [len(names) for names in earlier]
    rounds = (*sizes, len(set(table.units)) - sum(sizes))
    return replace(certificate, delta=delta, rounds=rounds, look=look, spent=spent)


def choose_policies(table: OutcomeTable, family: HypothesisFamily) -> dict[str, Policy | None]:
    """What `certify` would choose in each domain of a family, without all else that a certificate says.

    For those who calibrate a thousand times, on resampled patients say. None where nothing is certified.

    Raises
    ------
    InputError
        If a domain has no questions, or a patient or question is also in the family's prior outcomes.
    """
    if family.prior_outcomes is not None:
        check_disjoint(table.units, table.question_ids, family.prior_outcomes)
    found, planned = [], []
    for name in family.domains:
        means = UnitMeans.read(table.select(name), family.grid, family.alpha)
        order, plan = rounds_of_testing(means.names)
        found.append(means.take(order))
        planned.append(plan)
    _, certified = family.test([means.tested for means in found], planned)
    return {
        name: means.choose(family.grid, certified[row] & keeps(means.risks, family.alpha))
        for row, (name, means) in enumerate(zip(family.domains, found, strict=True))
    }


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
    tables: Sequence[OutcomeTable],
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
    tables
        Outcomes of all patients tested.
    fingerprints
        Hashes of what the outcomes depend on.
    disjoint_from
        Names of the splits that were found to share no patient with these.
    sequential
        Whether the tests were looked at as outcomes came in.
    """
    table = OutcomeTable.join(tables)
    versions = (titrate.__version__, platform.python_version(), np.__version__, scipy.__version__)
    return Certificate(
        alpha=family.alpha,
        delta=family.delta,
        unit="patient",
        p_value=family.p_value,
        procedure=family.procedure,
        fingerprints=dict(fingerprints),
        versions=dict(zip(COMPUTED_WITH, versions, strict=True)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        domains=domains,
        outcomes=table.fingerprint,
        prior=family.prior.kind,
        prior_table=family.prior.table,
        sequential=sequential,
        disjoint_from=tuple(sorted(disjoint_from)),
        rounds=(len(set(table.units)),),
    )


def domain_result(
    family: HypothesisFamily,
    domain: int,
    means: UnitMeans,
    p_values: FloatArray,
    certified: BoolArray,
    *,
    planned: IntArray,
    planned_questions: int | None = None,
    stopped: str = "all",
    log_capitals: FloatArray | None = None,
) -> DomainResult:
    """Return what was found in one domain, given which of its policies passed.

    Certified is what passed and has a measured risk of at most alpha; see `calibration.units.keeps`.

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
        How many units there were to be, in all, when each was tested; see `rounds_of_testing`.
    planned_questions
        How many questions there were, where the tests ended early; None where all were used.
    stopped
        Why the tests ended: one of `calibration.results.STOPPED`.
    log_capitals
        Of the domain; see `HypothesisFamily.test_and_keep`.
    """
    tests = zip(p_values.tolist(), family.prior.weights[domain].tolist(), certified.tolist(), strict=True)
    result = DomainResult(
        n_units=len(means.names),
        n_questions=means.n_questions,
        planned_units=int(planned[-1]),
        planned_questions=planned_questions or means.n_questions,
        stopped=stopped,
        policies=tuple(
            PolicyResult(
                **vars(measured), p_value=p_value, weight=weight, certified=passed and measured.keeps(family.alpha)
            )
            for measured, (p_value, weight, passed) in zip(means.measure(family.grid), tests, strict=True)
        ),
        further_units=None,
        log_capitals=() if log_capitals is None else tuple(map(tuple, log_capitals.tolist())),
    )
    if result.certified or result.best(family.alpha).excess(family.alpha) >= 0:
        return result
    return replace(result, further_units=further_units(family, domain, means.tested, planned))
