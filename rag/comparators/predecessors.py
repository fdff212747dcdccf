"""How RULE (arXiv 2407.05131) and MMed-RAG (2410.13085) choose how many contexts are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibration import OutcomeTable, Policy, bonferroni, hoeffding_bentkus_p_value
from rag.comparators.base import Answered, ByPolicy, Choice, Trial
from rag.comparators.fixed import LeastLoss
from titrate import InputError

RULE_PRACTISED, RULE_WRITTEN = "RULE as practised", "RULE as written"
PAPER_CUT, CODE_CUT = "MMed-RAG's cut, paper", "MMed-RAG's cut, code"
GAMMAS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Cuts that MMed-RAG's is chosen from; its paper names none."""
CODE_LIMIT = 1.5
"""What the best logit may be of a context's, at most, to be read."""


def rule_as_practised() -> LeastLoss:
    """The k of least error on the calibration questions, 0 among them, with nothing tested."""
    return LeastLoss(RULE_PRACTISED)


def paper_cut() -> LeastLoss:
    """Read on while log(S_i / S_{i+1}) is at most gamma; the gamma of `GAMMAS`, or none, of least error."""
    return LeastLoss(PAPER_CUT, GAMMAS)


@dataclass(frozen=True)
class RuleAsWritten(ByPolicy):
    """Hoeffding-Bentkus p-values of k = 0..K and Bonferroni's correction, each domain at level delta by itself.

    Every question counts as independent, as in the paper, so where patients have several the promise can be false more
    often than delta. Of the k that pass, the one of least measured risk is used, of equals the smallest; where none
    passes nothing is answered.
    """

    alpha: float
    delta: float

    @property
    def name(self) -> str:
        """Its name."""
        return RULE_WRITTEN

    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> Mapping[str, Choice]:
        """The k that passes in each domain."""
        if calibrate is None:
            raise InputError("not available: no outcomes of other questions to test on")
        found = {}
        for domain in sorted(set(calibrate.domains)):
            losses = calibrate.select(domain).losses
            passed = bonferroni(hoeffding_bentkus_p_value(losses, self.alpha), self.delta)
            if not passed.any():
                found[domain] = Choice(f"no k passes at {self.alpha:g}: answers nothing")
                continue
            risks = np.where(passed, np.round(losses.mean(axis=0), 12), np.inf)
            k = int(risks.argmin())
            found[domain] = Choice(f"k = {k} of {passed.sum()} that pass, risk {risks[k]:.3f}", Policy(k), True)
        return found


@dataclass(frozen=True)
class CodeCut:
    """MMed-RAG's cut as its released code has it: contexts are kept where best / logit is below a limit.

    A negative logit always passes, so what is kept need not be the first k. No outcome is known of such contexts: those
    questions get no answer, and the choice says how many they are.
    """

    limit: float = CODE_LIMIT
    name: str = CODE_CUT

    def answer(self, trial: Trial) -> Answered:
        """Read as many contexts as are kept."""
        table = trial.judged.table
        rows = range(len(table.question_ids))
        if table.similarities is None:
            return Answered.nothing(self.name, len(rows), "not available: fused rankings have no similarities")
        kept = [kept_by_ratio(found[np.isfinite(found)], self.limit) for found in table.similarities]
        first = [chosen == list(range(len(chosen))) for chosen in kept]
        told = {}
        for domain in sorted(set(table.domains)):
            own = [first[row] for row in rows if table.domains[row] == domain]
            unread = f"; {own.count(False)} of {len(own)} would read others than the first" if not all(own) else ""
            told[domain] = Choice(f"best / logit below {self.limit:g}{unread}")
        choices = table.choices or [None] * len(rows)
        probabilities = [
            np.exp(one.log_probabilities[len(kept[row])]) if one and first[row] else None
            for row, one in enumerate(choices)
        ]
        return Answered(
            self.name,
            tuple(table.answers[row][len(kept[row])] if first[row] else None for row in rows),
            np.array([len(kept[row]) if first[row] else 0 for row in rows], dtype=np.int64),
            tuple(probabilities),
            told,
        )


def kept_by_ratio(logits: Sequence[float] | NDArray[np.float64], limit: float) -> list[int]:
    """Which of the contexts, best first, MMed-RAG's released code keeps: those with best / logit below the limit.

    Examples
    --------
    The last two are nothing like the image, and are kept:

    >>> [[30, 25, 10, 5, -1, -20][place] for place in kept_by_ratio([30, 25, 10, 5, -1, -20], 1.5)]
    [30, 25, -1, -20]
    """
    best = float(logits[0]) if len(logits) else 0.0
    # Divided by zero, a positive number is infinitely many times as large, as the code's tensors have it.
    return [place for place, logit in enumerate(logits) if (best / logit if logit else np.inf) < limit]
