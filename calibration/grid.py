"""A grid of policies, read off one outcome table without asking the model again (docs/methods.md, sections 2 and 4)."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from calibration.checks import BoolArray, FloatArray, IntArray
from calibration.outcome_table import OutcomeTable
from calibration.policies import BLENDS, Blend, Policy, PolicyOutcomes
from titrate import InputError


@dataclass(frozen=True)
class PolicyGrid:
    """Every k = 0..K, alone and with each ratio cut; blends and gates of two k; all that with every threshold.

    Blends and gates are tried for k = K and for half of it, rounded up, which is enough to see whether they help. Fix
    the grid before looking at the calibration outcomes. Each policy tried makes certificates a little less likely.

    Parameters
    ----------
    max_k
        K, the largest number of contexts.
    gammas
        Finite cuts, 0 or more. With one context or none there is nothing to cut, so they are tried from k = 2 on.
    taus
        Thresholds on the confidence, above 0 and at most 1.
    blends, gates
        Of `calibration.policies.Policy`; they need outcomes that hold the probabilities of options.

    Raises
    ------
    InputError
        If one of them is out of its range or comes twice.
    """

    max_k: int
    gammas: tuple[float, ...] = ()
    taus: tuple[float, ...] = ()
    blends: tuple[Blend, ...] = ()
    gates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.max_k < 0:
            raise InputError(f"max_k is {self.max_k}; give 0 or more")
        for name, values in (("gammas", self.gammas), ("taus", self.taus), ("gates", self.gates)):
            ordered = tuple(sorted(map(float, values)))
            if len(set(ordered)) < len(ordered):
                raise InputError(f"{name} hold a number twice; give each once")
            object.__setattr__(self, name, ordered)
        unknown = set(self.blends) - set(BLENDS)
        if unknown or len(set(self.blends)) < len(self.blends):
            raise InputError(f"blends are {list(self.blends)}; give each of {', '.join(BLENDS)} once at most")
        object.__setattr__(self, "blends", tuple(blend for blend in BLENDS if blend in self.blends))
        if not all(0 < gate <= 1 for gate in self.gates):
            raise InputError(f"gates are {list(self.gates)}; give confidences above 0, at most 1")
        if not all(0 <= gamma < math.inf for gamma in self.gammas):
            raise InputError(f"gammas are {list(self.gammas)}; give numbers of 0 or more (no cut is always tried)")
        if not all(0 < tau <= 1 for tau in self.taus):
            raise InputError(f"taus are {list(self.taus)}; give numbers above 0, at most 1 (0 is always tried)")

    @property
    def size(self) -> int:
        """How many policies there are."""
        combined = len(self._combined_ks) * (len(self.blends) + len(self.gates))
        return (1 + len(self.taus)) * (self.max_k + 1 + len(self.gammas) * max(self.max_k - 1, 0) + combined)

    @property
    def _combined_ks(self) -> tuple[int, ...]:
        """The k that blends and gates are tried for."""
        return tuple(sorted({(self.max_k + 1) // 2, self.max_k} - {0}))

    @cached_property
    def _ways(self) -> tuple[tuple[float, Blend, float], ...]:
        """(cut, blend, gate) of each way to use k contexts: all of them, cuts from the loosest, blends, gates."""
        return (
            *((gamma, "none", math.inf) for gamma in (math.inf, *reversed(self.gammas))),
            *((math.inf, blend, math.inf) for blend in self.blends),
            *((math.inf, "none", gate) for gate in self.gates),
        )

    @cached_property
    def _places(self) -> tuple[tuple[int, int, int], ...]:
        """(k, number of the way, number of the threshold from the lowest) of each policy."""
        return tuple(
            (k, way, threshold)
            for threshold in range(1 + len(self.taus))
            for way in range(len(self._ways))
            for k in (range(2 if way else 0, self.max_k + 1) if way <= len(self.gammas) else self._combined_ks)
        )

    @cached_property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy: k = 0..K alone, with the loosest cut, …, blends, gates, then all again with each threshold."""
        taus = (0.0, *self.taus)
        return tuple(
            Policy(k, gamma, taus[threshold], blend, gate)
            for k, way, threshold in self._places
            for gamma, blend, gate in [self._ways[way]]
        )

    @cached_property
    def neighbours(self) -> tuple[tuple[int, int], ...]:
        """Pairs of positions in `policies` one step apart; each pair once.

        A step is one in k, in the cut or in the threshold. Blends and gates are a step from the policy that reads the
        same number of contexts, and from each other where only k differs.
        """
        position = {place: number for number, place in enumerate(self._places)}
        pairs: set[tuple[int, int]] = set()
        for (k, way, threshold), number in position.items():
            if way <= len(self.gammas):
                # With one context or none every cut is no cut.
                steps = [(k - 1, way if k > 2 else 0, threshold), (k, way - 1, threshold)]
            else:
                steps = [(other, way, threshold) for other in self._combined_ks if other < k] + [(k, 0, threshold)]
            pairs.update((position[step], number) for step in [*steps, (k, way, threshold - 1)] if step in position)
        return tuple(sorted(pairs))

    def read(self, table: OutcomeTable) -> PolicyOutcomes:
        """Apply every policy to every question.

        Raises
        ------
        InputError
            If the table holds fewer contexts than the grid, a cut needs similarities that it has not, or a blend or a
            gate meets a question without options.
        """
        if table.max_k < self.max_k:
            raise InputError(f"the outcomes end at k = {table.max_k}, the grid at {self.max_k}; score them up to there")
        available = np.full(len(table.question_ids), self.max_k)
        up_to_fall = np.full((len(available), 1 + len(self.gammas)), self.max_k)
        if table.similarities is not None:
            similarities = table.similarities[:, : self.max_k]
            available = np.isfinite(similarities).sum(axis=1)
            falls = -np.diff(similarities, axis=1)  # NaN where no context is left, which is no fall
            # One context or none leaves nothing to cut between, and no policy has a cut.
            for column, gamma in enumerate(reversed(self.gammas) if self.max_k > 1 else (), start=1):
                steep = falls > gamma
                found = steep.any(axis=1)
                up_to_fall[found, column] = steep[found].argmax(axis=1) + 1
        elif self.gammas:
            raise InputError("a ratio cut needs the similarities of the contexts; score the questions again")
        losses, confidences = np.empty((2, len(available), self.size))
        contexts = np.empty((len(available), self.size), dtype=np.int64)
        known: dict[Policy, tuple[IntArray, FloatArray, BoolArray]] = {}
        for column, (policy, (_, way, _)) in enumerate(zip(self.policies, self._places, strict=True)):
            if policy.needs_options:
                untold = replace(policy, tau=0.0)
                if untold not in known:
                    known[untold] = read_combined(table, untold)
                best, confidences[:, column], alone = known[untold]
                told = zip(table.choices or (), best, strict=True)
                losses[:, column] = [choices.losses[number] for choices, number in told if choices is not None]
                contexts[:, column] = np.where(alone, 0, np.minimum(policy.k, available))
                continue
            counts = np.minimum(up_to_fall[:, way], policy.k)[:, None]
            losses[:, column] = np.take_along_axis(table.losses, counts, axis=1)[:, 0]
            confidences[:, column] = np.take_along_axis(table.confidences, counts, axis=1)[:, 0]
            contexts[:, column] = np.minimum(counts[:, 0], available)
        answered = confidences >= np.array([policy.tau for policy in self.policies])
        return PolicyOutcomes(losses, answered, contexts)


def read_combined(table: OutcomeTable, policy: Policy) -> tuple[IntArray, FloatArray, BoolArray]:
    """What a blend or a gate makes of each question of a table.

    Returns
    -------
    best, confidences, alone
        Each ``[questions]``: number of the option chosen, its probability, and whether no contexts were read.

    Raises
    ------
    InputError
        If a question has no options.
    """
    rows = len(table.question_ids)
    best, confidences, alone = np.empty(rows, np.int64), np.empty(rows), np.empty(rows, np.bool_)
    for row, choices in enumerate(table.choices or [None] * rows):
        if choices is None:
            raise InputError(
                f"question {table.question_ids[row]} has no options; a blend or a gate needs their probabilities"
            )
        logs, alone[row] = policy.decide(choices.log_probabilities[list(policy.ks)])
        best[row], confidences[row] = logs.argmax(), min(1.0, float(np.exp(logs).max()))
    return best, confidences, alone


@dataclass(frozen=True, eq=False)
class PolicyReading:
    """What one policy makes of each question of a table, n in all.

    Attributes
    ----------
    answers
        What it would say, whether or not that is sure enough to be given, ``[n]``.
    answered
        Whether it is given, ``[n]``.
    losses, confidences
        Of the answers, in [0, 1], ``[n]``.
    contexts
        How many contexts were read: at most as many as there are similarities for, ``[n]``.
    log_probabilities
        Of each option, in the order of the table's choices, ``[n][options]``; None where they are not known.
    """

    answers: tuple[str, ...]
    answered: BoolArray
    losses: FloatArray
    confidences: FloatArray
    contexts: IntArray
    log_probabilities: tuple[FloatArray | None, ...]


def read_policy(policy: Policy, table: OutcomeTable) -> PolicyReading:
    """Apply one policy to every question of a table.

    Raises
    ------
    InputError
        If it reads more contexts than the table holds, cuts by similarities that the table lacks, or needs options
        where there are none.
    """
    if policy.k > table.max_k:
        raise InputError(f"the policy reads {policy.k} reports, scored are {table.max_k}; raise max-k")
    if not math.isinf(policy.gamma) and table.similarities is None:
        raise InputError("a ratio cut needs the similarities of the contexts; score the questions again")
    rows = len(table.question_ids)
    contexts = np.full(rows, policy.k, dtype=np.int64)
    if table.similarities is not None:
        counts = [policy.count(found[np.isfinite(found)]) for found in table.similarities]
        contexts = np.array(counts, dtype=np.int64)
    known = table.choices or [None] * rows
    if policy.needs_options:
        best, confidences, alone = read_combined(table, policy)
        told = [(choices, number) for choices, number in zip(known, best, strict=True) if choices]
        said = [choices.options[number] for choices, number in told]
        losses = np.array([choices.losses[number] for choices, number in told])
        contexts = np.where(alone, 0, contexts)
        logs = [None if c is None else policy.decide(c.log_probabilities[list(policy.ks)])[0] for c in known]
    else:
        losses, confidences = (of[np.arange(rows), contexts] for of in (table.losses, table.confidences))
        said = [answers[count] for answers, count in zip(table.answers, contexts.tolist(), strict=True)]
        logs = [None if c is None else c.log_probabilities[n] for c, n in zip(known, contexts, strict=True)]
    answered = np.array([policy.answers(sure) for sure in confidences.tolist()], dtype=np.bool_)
    return PolicyReading(tuple(said), answered, losses, confidences, contexts, tuple(logs))


def answers_of(policy: Policy, table: OutcomeTable) -> list[str | None]:
    """What a policy answers to each question of a table, None where it declines; errors as `read_policy`."""
    reading = read_policy(policy, table)
    return [text if given else None for text, given in zip(reading.answers, reading.answered, strict=True)]
