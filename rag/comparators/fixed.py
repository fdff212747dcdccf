"""Comparators that read the same number of contexts for every question, or the number that did best before."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibration import OutcomeTable, Policy, PolicyGrid
from rag.comparators.base import ByPolicy, Choice
from rag.report.words import policy_name
from titrate import InputError

NO_RETRIEVAL = "no retrieval"


@dataclass(frozen=True)
class Fixed(ByPolicy):
    """The same k for all; ``Fixed(0)`` is no retrieval."""

    k: int

    @property
    def name(self) -> str:
        """No retrieval, or the k."""
        return f"k = {self.k}" if self.k else NO_RETRIEVAL

    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> Mapping[str, Choice]:
        """Nothing: it is chosen."""
        return {}

    def everywhere(self) -> Choice:
        """Read k contexts."""
        return Choice("by whoever runs it", Policy(self.k))


@dataclass(frozen=True)
class LeastLoss(ByPolicy):
    """Of some policies the one of least mean loss on the calibration questions of the domain; of equals the first.

    Parameters
    ----------
    called
        Its name.
    gammas
        Which cuts to choose from, each at k = K; none to choose k = 0..K without a cut.
    """

    called: str
    gammas: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """As it is called."""
        return self.called

    def choose(self, calibrate: OutcomeTable | None, prefer: OutcomeTable | None) -> Mapping[str, Choice]:
        """The least in each domain, each question counted once."""
        if calibrate is None:
            raise InputError("not available: no outcomes of other questions to choose by")
        grid = PolicyGrid(calibrate.max_k, self.gammas if calibrate.max_k > 1 else ())
        wanted = [column for column, policy in enumerate(grid.policies) if not self.gammas or policy.k == grid.max_k]
        found = {}
        for domain in sorted(set(calibrate.domains)):
            risks = grid.read(calibrate.select(domain)).losses.mean(axis=0)[wanted]
            best = grid.policies[wanted[int(np.argmin(np.round(risks, 12)))]]
            found[domain] = Choice(f"{policy_name(best)}: least of {len(wanted)}, risk {risks.min():.3f}", best)
        return found
