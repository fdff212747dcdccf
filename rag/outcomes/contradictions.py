"""What is stored of a question must be what its answers say: nobody re-scores it, so nothing else would notice."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from calibration import OutcomeTable
from rag.answering import Reply
from rag.outcomes.cache import Outcome
from rag.outcomes.losses import Loss
from rag.questions import Question
from titrate import InputError

_OTHER_MACHINE = 1e-9


def refuse_contradictions(
    questions: Sequence[Question], outcomes: Sequence[Outcome], max_k: int, loss: Loss, path: Path
) -> None:
    """Refuse stored outcomes that contradict themselves, or the reference answers.

    Of a question with options, the answer is the likeliest option, its confidence the probability of that, and the loss
    1 where it is not the reference answer. Of an open question, the loss is computed again.

    Parameters
    ----------
    questions, outcomes
        The questions, and what is stored of each.
    max_k
        K: outcomes are of k = 0..K.
    loss
        Of open questions' answers.
    path
        The file that they are stored in, for the message.

    Raises
    ------
    InputError
        One line that names the file, the question and what does not fit.
    """
    for question, outcome in zip(questions, outcomes, strict=True):
        problem = _contradiction(question, outcome, max_k, loss)
        if problem:
            raise InputError(
                f"{path}: what is stored of question {question.id} cannot be: {problem}; restore the file, or delete "
                "it to ask the model again"
            )


def refuse_contradicting_table(questions: Sequence[Question], table: OutcomeTable, loss: Loss, path: Path) -> None:
    """`refuse_contradictions` for a table, whose questions are all among those given.

    Raises
    ------
    InputError
        As `refuse_contradictions`, also if a stored question has other options by now.
    """
    asked = {question.id: question for question in questions}
    known, outcomes = [], []
    for row, name in enumerate(table.question_ids):
        question, choices = asked[name], None if table.choices is None else table.choices[row]
        if choices is not None and choices.options != question.options:
            raise InputError(f"{path}: what is stored of question {name} is about other options; restore the file")
        known.append(question)
        outcomes.append(
            Outcome(
                table.losses[row].tolist(),
                table.confidences[row].tolist(),
                list(table.answers[row]),
                None if choices is None else choices.log_probabilities.tolist(),
            )
        )
    refuse_contradictions(known, outcomes, table.max_k, loss, path)


def _contradiction(question: Question, outcome: Outcome, max_k: int, loss: Loss) -> str | None:
    logs, options = outcome.log_probabilities, question.options
    if any(len(column) != max_k + 1 for column in (outcome.losses, outcome.confidences, outcome.answers)):
        return f"it is not of k = 0 to {max_k}"
    if (logs is None) != (options is None):
        return "it has probabilities of options where the question has none, or the other way round"
    if logs is not None and options is not None:
        if len(logs) != max_k + 1 or any(len(row) != len(options) for row in logs):
            return "its log-probabilities are not those of each option at each k"
        table = np.array(logs, dtype=np.float64)
        if not (np.isfinite(table).all() and np.allclose(np.exp(table).sum(axis=1), 1.0, rtol=0, atol=1e-6)):
            return "its probabilities of options do not add up to 1"
        replies = [Reply.likeliest(options, row) for row in table]
    else:
        replies = [Reply(text, None) for text in outcome.answers]
    for k, (reply, told) in enumerate(zip(replies, outcome.answers, strict=True)):
        if told != reply.text:
            return f"the answer with k = {k} is not the likeliest option"
        if not abs(outcome.confidences[k] - reply.confidence) <= _OTHER_MACHINE:  # NaN fails the comparison
            return f"the confidence with k = {k} is not the probability of the answer"
        lost = float(told != question.answer) if options is not None else float(loss(told, question.answer))
        if not math.isclose(outcome.losses[k], lost, rel_tol=0, abs_tol=_OTHER_MACHINE):
            return f"the loss with k = {k} is {outcome.losses[k]:g}, and that of its answer {lost:g}"
    return None
