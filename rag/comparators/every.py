"""Every comparator on one trial."""

from rag.comparators.base import Answered, Comparator, Trial
from rag.comparators.fixed import Fixed
from rag.comparators.ours import AfterTraining, CertifiedPolicy, Selective
from rag.comparators.predecessors import CodeCut, RuleAsWritten, paper_cut, rule_as_practised
from rag.comparators.without_model import MAJORITY, NEAREST, VOTE, WithoutModel

COVERAGES = (0.95, 0.9, 0.8)
"""Of answers to the surest questions."""


def every_comparator(max_k: int, alpha: float, delta: float, tuned: Trial | None = None) -> list[Comparator]:
    """All of them, those that need no model first.

    Parameters
    ----------
    max_k
        K; each k = 0..K is one.
    alpha, delta
        Of those that promise something.
    tuned
        Outcomes of a trained model, for no retrieval, all contexts and the certified policy after training.
    """
    certified = CertifiedPolicy(alpha, delta)
    found: list[Comparator] = [WithoutModel(name) for name in (MAJORITY, NEAREST, VOTE)]
    found += [Fixed(k) for k in range(max_k + 1)]
    found += [paper_cut(), CodeCut(), rule_as_practised(), RuleAsWritten(alpha, delta)]
    found += [CertifiedPolicy(alpha, delta, combined=False), certified]
    found += [Selective(coverage, alpha, delta) for coverage in COVERAGES]
    if tuned is not None:
        found += [AfterTraining(one, tuned) for one in (*map(Fixed, sorted({0, max_k})), certified)]
    return found


def answer_all(trial: Trial, *, alpha: float, delta: float, tuned: Trial | None = None) -> list[Answered]:
    """What every comparator answers; one that cannot says why in its note.

    Raises
    ------
    InputError
        If the trained model was asked other questions.
    """
    return [one.answer(trial) for one in every_comparator(trial.judged.table.max_k, alpha, delta, tuned)]
