"""How often what a comparator chose has a risk above alpha, had other patients been there to choose by.

Resampling the patients of `calibrate` and judging on `test` would be dishonest twice: a patient who is drawn again is
no new patient of the population that `test` shows, and the risk on `test` is itself a guess. So the patients of both
splits together *are* the population here. Calibrations draw from it with replacement, as many patients of each domain
as `calibrate` has; each draw is an independent patient of this population, which is all that a certificate assumes; and
the risk of what was chosen is known, the mean over the population. A promise may be false in a share delta of these.

The second figure is what somebody sees who checks on new patients: the risk among those that were not drawn. It is a
guess from fewer patients, and may be above alpha though the promise is true.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.validity import hard_alphas
from calibration import OutcomeTable, Policy, mean_per_unit, read_policy
from rag import ByPolicy, Outcomes, every_comparator
from rag.comparators.fixed import Fixed
from titrate import hash_json, parse_json, read_text, write_atomic

SEED, VERSION = 0, 1
"""The second is raised where what is kept would come out otherwise."""
_ABOVE = 1e-12


class Population:
    """Outcomes of patients whose every question is known, by domain.

    Parameters
    ----------
    table
        Of all of them.
    """

    def __init__(self, table: OutcomeTable) -> None:
        self.table = table
        rows: dict[str, dict[str, list[int]]] = {}
        for row, (domain, unit) in enumerate(zip(table.domains, table.units, strict=True)):
            rows.setdefault(domain, {}).setdefault(unit, []).append(row)
        self._rows = {domain: list(rows[domain].values()) for domain in sorted(rows)}  # [patients][their questions]
        self._means: dict[tuple[str, Policy], NDArray[np.float64]] = {}

    def patients(self) -> dict[str, int]:
        """How many there are, by domain."""
        return {domain: len(units) for domain, units in self._rows.items()}

    def draw(self, domain: str, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """So many of a domain's patients, with replacement, by their place."""
        return rng.integers(len(self._rows[domain]), size=size)

    def drawn(self, places: dict[str, NDArray[np.int64]]) -> OutcomeTable:
        """The questions of these patients, each draw a patient of its own."""
        picked = [
            (f"{domain}/{copy}", row)
            for domain, chosen in places.items()
            for copy, place in enumerate(chosen.tolist())
            for row in self._rows[domain][place]
        ]
        rows = [row for _, row in picked]
        table = self.table
        return OutcomeTable(
            question_ids=[f"{unit}/{table.question_ids[row]}" for unit, row in picked],
            units=[unit for unit, _ in picked],
            domains=[table.domains[row] for row in rows],
            losses=table.losses[rows],
            confidences=table.confidences[rows],
            answers=[table.answers[row] for row in rows],
            similarities=None if table.similarities is None else table.similarities[rows],
            choices=None if table.choices is None else [table.choices[row] for row in rows],
        )

    def risk(self, domain: str, policy: Policy, among: NDArray[np.bool_] | None = None) -> float | None:
        """E[l A] / P(A) of a policy over a domain's patients, or ``among`` them; None where it answers nothing."""
        if (domain, policy) not in self._means:
            units = self._rows[domain]
            reading = read_policy(policy, self.table.take([row for unit in units for row in unit]))
            names = [f"{place:09}" for place, unit in enumerate(units) for _ in unit]  # so that sorting changes nothing
            given = reading.answered.astype(np.float64)
            self._means[domain, policy] = mean_per_unit(np.stack([reading.losses * given, given], axis=1), names)[0]
        lost, answered = self._means[domain, policy][slice(None) if among is None else among].sum(axis=0)
        return float(lost / answered) if answered else None


def violations_at(
    outcomes: Mapping[str, Outcomes], alpha: float, delta: float, resamples: int, kept: Path
) -> dict[str, Any]:
    """`violations` at alpha, and where it is hardest: just below the risk of each domain's best k, where none is good.

    Parameters
    ----------
    outcomes
        By split.
    alpha, delta
        Of the promise.
    resamples
        At each alpha.
    kept
        Folder in which figures are kept, under a hash of all that they are made from.
    """
    tables = [outcomes[split].table for split in ("calibrate", "test", "prefer")]
    made_of = [VERSION, SEED, alpha, delta, resamples, [table.fingerprint for table in tables]]
    path = kept / f"{hash_json(made_of)}.json"
    if path.exists():
        found: dict[str, Any] = parse_json(read_text(path))
        return found
    calibrate, test, prefer = tables
    population = OutcomeTable.join([calibrate, test])
    sizes = {name: 1 for name in sorted(set(population.domains))}
    found = {"resamples": resamples, "alphas": {}}
    hard = [level for level in hard_alphas(population, sizes) if 0 < level < 1]  # 0 where a k is never wrong
    for level in dict.fromkeys((alpha, *hard)):
        every = [one for one in every_comparator(test.max_k, level, delta) if isinstance(one, ByPolicy)]
        some = [one for one in every if not isinstance(one, Fixed) or one.k in (0, test.max_k)]
        found["alphas"][f"{level:g}"] = violations(some, calibrate, test, prefer, level, resamples)
    kept.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(found))
    return found


def violations(
    comparators: Sequence[ByPolicy],
    calibrate: OutcomeTable,
    test: OutcomeTable,
    prefer: OutcomeTable | None,
    alpha: float,
    resamples: int,
) -> list[dict[str, Any]]:
    """How often each comparator's risk is above alpha in any domain.

    Parameters
    ----------
    comparators
        Each chooses anew by every resample.
    calibrate, test
        The population; as many patients are drawn as the first has.
    prefer
        What comparators are given besides.
    alpha
        The risk that is not to be exceeded.
    resamples
        How many.

    Returns
    -------
    list
        By comparator: ``above``, the share of resamples in which the risk in the population is above alpha in a domain
        that it answers; ``broken``, the same where it promised otherwise; ``seen``, the share in which the risk among
        the patients not drawn is; ``chosen``, in which it answers anything; ``promised``, in which it
        promises anything.

    Raises
    ------
    InputError
        As the comparators.
    """
    population = Population(OutcomeTable.join([calibrate, test]))
    everyone = population.patients()
    sizes = {name: len(set(calibrate.select(name).units)) for name in everyone if name in calibrate.domains}
    counts = np.zeros((len(comparators), 5))
    rng = np.random.default_rng(SEED)
    for _ in range(resamples):
        places = {name: population.draw(name, size, rng) for name, size in sizes.items()}
        left = {name: ~np.isin(np.arange(everyone[name]), chosen) for name, chosen in places.items()}
        table = population.drawn(places)
        for row, comparator in enumerate(comparators):
            choices = comparator.choose(table, prefer)
            settled = {name: choices.get(name, comparator.everywhere()) for name in sizes}
            answered = {name: one.policy for name, one in settled.items() if one.policy is not None}
            above = {name for name, policy in answered.items() if _is_above(population.risk(name, policy), alpha)}
            seen = (_is_above(population.risk(name, policy, left[name]), alpha) for name, policy in answered.items())
            promised = {name for name in answered if settled[name].promised}
            counts[row] += [bool(above), bool(above & promised), any(seen), bool(answered), bool(promised)]
    names = ("above", "broken", "seen", "chosen", "promised")
    return [
        {"comparator": one.name, **dict(zip(names, (shares / resamples).tolist(), strict=True))}
        for one, shares in zip(comparators, counts, strict=True)
    ]


def _is_above(risk: float | None, alpha: float) -> bool:
    return risk is not None and risk > alpha + _ABOVE
