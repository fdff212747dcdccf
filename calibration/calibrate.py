"""From an outcome table to a certificate (Learn then Test, arXiv 2110.01052)."""

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import scipy

import titrate
from calibration.certificate import FINGERPRINTS, Certificate
from calibration.evidence import Evidence
from calibration.family import Design
from calibration.grid import PolicyGrid
from calibration.outcome_table import OutcomeTable
from calibration.prior import check_disjoint
from calibration.results import DomainResult
from titrate import InputError, check_no_overlap, hash_patient


def certify(
    table: OutcomeTable,
    *,
    alpha: float,
    delta: float,
    fingerprints: Mapping[str, str],
    seed: int = 0,
    procedure: str = "sgt",
    p_value: str = "wsr",
    gammas: Sequence[float] = (),
    taus: Sequence[float] = (),
    prefer: OutcomeTable | None = None,
    elsewhere: Mapping[str, Collection[str]] | None = None,
) -> Certificate:
    """Test every policy in every domain, all together at level delta, and choose among those that pass.

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
        ``"sgt"`` (sequential graphical testing), ``"holm"`` or ``"bonferroni"``; the first certifies all that the last
        does.
    p_value
        ``"wsr"``, ``"hoeffding-bentkus"``, or ``"binomial"`` where each patient has a single 0/1 loss and no threshold
        is tried.
    gammas, taus
        Ratio cuts and confidence thresholds to try beside k = 0..K alone, fixed before looking at the outcomes.
    prefer
        Outcomes of other patients, from the `prefer` split, which say where certificates are likely: `prefer_prior`.
    elsewhere
        `hash_patient` of each patient of other splits and the index, by name. None of them may be in the table.

    Raises
    ------
    InputError
        If alpha, delta, seed or a name cannot be used, a fingerprint is missing, the losses do not suit the p-value, or
        a patient or question is in two places.
    """
    check_fingerprints(fingerprints)
    if prefer is not None:
        check_disjoint(table.units, table.question_ids, prefer)
    check_no_overlap(table.units, elsewhere or {})
    grid = PolicyGrid(table.max_k, tuple(gammas), tuple(taus))
    names = sorted(set(table.domains))
    design = Design(alpha, delta, grid, names, seed, procedure, p_value, prefer)
    found = []
    for name in names:
        evidence = Evidence.read(table.select(name), grid, alpha)
        found.append(evidence.take(design.order(len(evidence.tested))))
    p_values = np.stack([design.p_values(row, evidence.tested) for row, evidence in enumerate(found)])
    certified = design.certify(p_values)
    domains = {
        name: evidence.result(design, row, p_values[row], certified[row])
        for row, (name, evidence) in enumerate(zip(names, found, strict=True))
    }
    return make_certificate(design, domains, table.units, fingerprints, elsewhere or {})


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
    design: Design,
    domains: Mapping[str, DomainResult],
    patients: Iterable[str],
    fingerprints: Mapping[str, str],
    elsewhere: Iterable[str],
    *,
    sequential: bool = False,
) -> Certificate:
    """Put the results of a design, and what it was tied to and checked against, into a certificate of today."""
    return Certificate(
        alpha=design.alpha,
        delta=design.delta,
        unit="patient",
        seed=design.seed,
        p_value=design.p_value,
        procedure=design.procedure,
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
        prior=design.prior.kind,
        prior_table=design.prior.table,
        sequential=sequential,
        disjoint_from=tuple(sorted(elsewhere)),
    )
