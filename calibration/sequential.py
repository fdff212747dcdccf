"""Early stopping: patients are scored in the order of testing, and no longer than it takes to decide.

Why one may look after every patient. A betting p-value at time t is the least of all so far, p_t = 1 / max_{s<=t} K_s,
and by Ville's inequality already P(min_t p_t <= u) <= u: each p-value is valid at whatever time one stops, even if each
domain stops at a time of its own that depends on all the others. Smaller p-values never make any of the procedures
certify less, so all that is certified at any time is also certified on the final minima, where the procedure holds the
chance of a false certificate at delta. Hence that chance is at most delta over all times together.

Giving up is another matter: it certifies nothing, so no rule for it can break the guarantee. A domain is given up when
not even right answers alone could certify it any more, or when a bet the other way shows, with 95 % confidence, that
the risk of every policy is above alpha; the second can cost a certificate in at most one domain of twenty that had a
policy to certify.

The risks measured up to a stop that came because they looked good are somewhat too good; the guarantee is not.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from calibration.calibrate import check_fingerprints, domain_result, make_certificate
from calibration.certificate import Certificate
from calibration.checks import BoolArray, FloatArray, check_same_length, check_spent
from calibration.grid import PolicyGrid
from calibration.order import order_of_testing
from calibration.outcome_table import OutcomeTable
from calibration.policies import Blend, Policy
from calibration.testing.betting import MAX_BET, wsr_log_capital
from calibration.testing.family import HypothesisFamily
from calibration.testing.prior import check_disjoint
from calibration.units import UnitMeans, keeps
from titrate import InputError, check_no_overlap

_GIVE_UP_LEVEL = 0.05


class SequentialCertifier:
    """Says which patients to score next, and when there is nothing more to gain.

    Every domain ends as soon as one of its policies is certified or none can be. A domain that
    never ends early gets the p-values that `certify` gives.

    >>> certifier = SequentialCertifier(["q1", "q2"], ["p1", "p2"], ["x", "x"], max_k=2, alpha=0.2, delta=0.1)
    >>> len(certifier.next(1)), certifier.undecided
    (1, ('x',))

    Parameters
    ----------
    question_ids, units, domains
        Of all the questions there are, before any is answered.
    max_k
        K, the largest number of contexts that will be scored.
    alpha, delta, procedure, gammas, taus, blends, gates, prior_outcomes, other_patient_hashes, look, spent
        As for `certify`; p-values are WSR's, which may be looked at before the end and do not hurry towards it. So the
        procedure is one that works by p-values.

    Raises
    ------
    InputError
        As `certify`.
    """

    def __init__(
        self,
        question_ids: Sequence[str],
        units: Sequence[str],
        domains: Sequence[str],
        *,
        max_k: int,
        alpha: float,
        delta: float,
        procedure: str = "sgt",
        gammas: Sequence[float] = (),
        taus: Sequence[float] = (),
        blends: Sequence[Blend] = (),
        gates: Sequence[float] = (),
        prior_outcomes: OutcomeTable | None = None,
        other_patient_hashes: Mapping[str, Collection[str]] | None = None,
        look: int = 1,
        spent: float = 0.0,
    ) -> None:
        check_same_length(len(question_ids), units=units, domains=domains)
        if not question_ids:
            raise InputError("there are no questions to calibrate on; give at least one")
        if prior_outcomes is not None:
            check_disjoint(units, question_ids, prior_outcomes)
        self._other_patients = dict(other_patient_hashes or {})
        check_no_overlap(units, self._other_patients)
        grid, names = PolicyGrid(max_k, tuple(gammas), tuple(taus), tuple(blends), tuple(gates)), sorted(set(domains))
        left = delta - check_spent(spent, delta)
        self.family = HypothesisFamily(alpha, left, grid, names, procedure, "wsr", prior_outcomes)
        self._delta, self._look, self._spent = delta, look, spent
        self._questions: list[dict[str, list[str]]] = [{} for _ in names]
        for question, unit, domain in sorted(zip(question_ids, units, domains, strict=True)):
            self._questions[names.index(domain)].setdefault(unit, []).append(question)
        self._order = []
        for questions in self._questions:
            known = sorted(questions)
            self._order.append([known[row] for row in order_of_testing(known)])
        self._means: list[UnitMeans | None] = [None] * len(names)
        self._p_values = np.ones((len(names), len(grid.policies)))
        self._certified = self.family.certify(self._p_values)
        self._futile = [False] * len(names)
        self._out: dict[str, tuple[int, str]] = {}
        self._tables: list[OutcomeTable] = []

    @property
    def undecided(self) -> tuple[str, ...]:
        """The domains in which it is still worth while to score patients, sorted."""
        return tuple(name for row, name in enumerate(self.family.domains) if self._open(row))

    @property
    def certified(self) -> dict[str, tuple[Policy, ...]]:
        """The policies certified so far in each domain, whose tests end with the first."""
        policies = self.family.grid.policies
        return {
            name: tuple(policies[number] for number in np.flatnonzero(self._certified[row]))
            for row, name in enumerate(self.family.domains)
        }

    @property
    def questions_saved(self) -> int:
        """How many questions have not been scored. Once no domain is undecided, nobody needs to score them."""
        planned = sum(len(ids) for questions in self._questions for ids in questions.values())
        return planned - sum(means.n_questions for means in self._means if means is not None)

    def next(self, patients: int) -> list[str]:
        """Return the questions to score next: those of so many patients, of all undecided domains in proportion.

        Larger steps waste a few questions at the end, but change nothing else. The list is empty once all is decided.

        Raises
        ------
        InputError
            If the last ones have not been added yet, or ``patients`` is not positive.
        """
        if self._out:
            raise InputError(f"{len(self._out)} questions have no outcomes yet; add them first")
        if patients < 1:
            raise InputError(f"patients is {patients}; give 1 or more")
        waiting = []
        for row, order in enumerate(self._order):
            if self._open(row):
                waiting += [(place / len(order), row, order[place]) for place in range(self._seen(row), len(order))]
        chosen = sorted(waiting)[:patients]
        self._out = {question: (row, unit) for _, row, unit in chosen for question in self._questions[row][unit]}
        return list(self._out)

    def add(self, table: OutcomeTable) -> None:
        """Add the outcomes of the questions that `next` returned, all of them and no others.

        Raises
        ------
        InputError
            If these are other questions, or belong to other patients or domains than was said at the start.
        """
        given = {
            question: (domain, unit)
            for question, domain, unit in zip(table.question_ids, table.domains, table.units, strict=True)
        }
        expected = {question: (self.family.domains[row], unit) for question, (row, unit) in self._out.items()}
        if given != expected:
            raise InputError("these are not the outcomes of the questions asked for last; add those, all at once")
        arrived = {}
        for row in sorted({row for row, _ in self._out.values()}):
            part = table.select(self.family.domains[row])
            start = self._seen(row)
            order = self._order[row][start : start + len(set(part.units))]
            means, earlier = UnitMeans.read(part, self.family.grid, self.family.alpha, order), self._means[row]
            arrived[row] = self._means[row] = means if earlier is None else earlier.then(means)
            self._p_values[row] = self.family.anytime_p_values(row, arrived[row].tested, len(self._order[row]))
        self._out = {}
        self._tables.append(table)
        self._certified = self.family.certify(self._p_values) & self._kept()
        for row, means in arrived.items():
            if self._open(row):
                self._futile[row] = self._hopeless(row, means.tested)

    def certificate(self, fingerprints: Mapping[str, str]) -> Certificate:
        """Return the certificate, once every domain is decided.

        Raises
        ------
        InputError
            If a fingerprint is missing, or there is still something to score.
        """
        check_fingerprints(fingerprints)
        if self._out or self.undecided:
            raise InputError(f"{', '.join(self.undecided)} is still undecided; go on scoring")
        results = {}
        for row, name in enumerate(self.family.domains):
            means = self._means[row]
            assert means is not None  # a domain of which nothing has been scored is undecided
            units, questions = len(self._order[row]), sum(map(len, self._questions[row].values()))
            early = len(means.names) < units
            stopped = ("certified" if self._certified[row].any() else "futile") if early else "all"
            results[name] = domain_result(
                self.family,
                row,
                means,
                self._p_values[row],
                self._certified[row],
                planned=np.full(len(means.names), units),
                planned_questions=questions,
                stopped=stopped,
            )
        certificate = make_certificate(
            self.family, results, self._tables, fingerprints, self._other_patients, sequential=True
        )
        rounds = (len({unit for questions in self._questions for unit in questions}),)
        return replace(certificate, delta=self._delta, rounds=rounds, look=self._look, spent=self._spent)

    def _kept(self) -> BoolArray:
        """Whether the measured risk is at most alpha so far, ``[domains, policies]``."""
        nothing = np.zeros(self._p_values.shape[1], dtype=np.bool_)
        return np.stack([nothing if one is None else keeps(one.risks, self.family.alpha) for one in self._means])

    def _seen(self, row: int) -> int:
        means = self._means[row]
        return 0 if means is None else len(means.names)

    def _open(self, row: int) -> bool:
        return not (self._certified[row].any() or self._futile[row] or self._seen(row) == len(self._order[row]))

    def _hopeless(self, row: int, values: FloatArray) -> bool:
        planned, alpha = len(self._order[row]), self.family.alpha
        capital = wsr_log_capital(values, alpha, self.family.prior.weights[row] * self.family.delta, planned)[-1]
        # Right answers only, at the largest bet, from here to the end.
        reachable = capital + (planned - len(values)) * np.log1p(MAX_BET * alpha / (1 - alpha))
        if bool(np.all(reachable < -np.log(self.family.most_share * self.family.delta))):
            return True
        against = wsr_log_capital(1 - values, 1 - alpha, _GIVE_UP_LEVEL, planned).max(axis=0)
        return bool(np.all(against >= -np.log(_GIVE_UP_LEVEL)))
