"""Mining: questions that the model answered rightly alone and wrongly with contexts become preference pairs.

Over-reliance only (METHODS, section 7, kind 3; RULE, arXiv 2407.05131).
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from preference.pairs import PreferencePair, refuse_held_back
from preference.reliance import right_answers
from rag import Outcomes, PromptTemplate
from titrate.errors import InputError


@dataclass(frozen=True)
class Mined:
    """Preference pairs, and what became of the rest.

    Attributes
    ----------
    pairs
        In the order of the outcome table, then of k.
    questions
        How many questions were right alone and wrong with some number of contexts.
    found
        How many pairs they gave before balancing.
    notes
        One sentence for each domain and set of answers that lost pairs to balancing.
    """

    pairs: tuple[PreferencePair, ...]
    questions: int
    found: int
    notes: tuple[str, ...]


def mine_pairs(
    outcomes: Outcomes, prompt: PromptTemplate, *, per_question: int = 2, balance: bool = True, seed: int = 0
) -> Mined:
    """Find over-reliance and make preference pairs of it.

    Parameters
    ----------
    outcomes
        Of closed questions, of the ``prefer`` split.
    prompt
        The template that the outcomes were scored with.
    per_question
        At most so many pairs a question, each with another k, drawn from all k at which its answer was wrong. (A model
        tuned on one k only forgets how to answer at others.)
    balance
        In each domain, keep as many pairs that choose one answer over another as the other way round. Without it a
        model can lower its loss by always giving the answer that is chosen more often.
    seed
        Of both draws.

    Raises
    ------
    InputError
        If a question is of the ``calibrate`` or ``test`` split, there is no over-reliance, or balancing would leave
        nothing.
    """
    if per_question < 1:
        raise InputError(f"per_question is {per_question}; give at least 1")
    found = _find(outcomes, prompt, per_question, random.Random(seed))
    if not found:
        raise InputError(
            "no answer that was right without contexts became wrong with them: there is no over-reliance to train away"
        )
    pairs, notes = _balance(found, random.Random(seed)) if balance else (found, ())
    if not pairs:
        raise InputError(
            f"{' '.join(notes)} Nothing is left; mine more questions, or turn balancing off and risk a model that "
            "always gives one answer"
        )
    return Mined(tuple(pairs), len({pair.question for pair in found}), len(found), notes)


def _find(outcomes: Outcomes, prompt: PromptTemplate, per_question: int, dice: random.Random) -> list[PreferencePair]:
    table, right = outcomes.table, right_answers(outcomes.table)
    pairs = []
    for row, (question, matches) in enumerate(zip(outcomes.questions, outcomes.matches, strict=True)):
        refuse_held_back(question.split, f"question {question.id}")
        # Where fewer than K cases were found, the larger k repeat the same prompt.
        wrong = [k for k in range(1, min(table.max_k, len(matches)) + 1) if not right[row, k]]
        if not right[row, 0] or not wrong:
            continue
        reports = [match.record.report for match in matches]
        for k in sorted(dice.sample(wrong, min(per_question, len(wrong)))):
            pairs.append(
                PreferencePair(
                    id=f"{question.id}@{k}",
                    question=question.id,
                    image=question.image,
                    prompt=prompt.render(question.text, question.options, reports[:k]),
                    chosen=question.answer,
                    rejected=table.answers[row][k],
                    k=k,
                    domain=table.domains[row],
                    patient=question.patient,
                    split=question.split,
                )
            )
    return pairs


def _balance(found: Sequence[PreferencePair], dice: random.Random) -> tuple[list[PreferencePair], tuple[str, ...]]:
    """Cut the larger direction of each two answers, in each domain, to the size of the smaller."""
    sides: dict[tuple[str, str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, pair in enumerate(found):
        first, second = sorted((pair.chosen, pair.rejected))
        sides[pair.domain, first, second][pair.chosen].append(number)
    kept: list[int] = []
    notes = []
    for (domain, first, second), side in sorted(sides.items()):
        sizes = {answer: len(side[answer]) for answer in (first, second)}
        fewest = min(sizes.values())
        for answer in (first, second):
            kept += _spread(side[answer], found, dice)[:fewest]
        lost = sum(sizes.values()) - 2 * fewest
        if lost:
            notes.append(
                f"{domain}: {sizes[first]} pairs choose {first!r} over {second!r} and {sizes[second]} the other way "
                f"round, so {lost} were left out for balance."
            )
    return [found[number] for number in sorted(kept)], tuple(notes)


def _spread(numbers: list[int], found: Sequence[PreferencePair], dice: random.Random) -> list[int]:
    """In random order, but every question's first pair before any question's second."""
    shuffled = dice.sample(numbers, len(numbers))
    earlier: dict[str, int] = defaultdict(int)
    turn = {}
    for number in shuffled:
        turn[number] = earlier[found[number].question]
        earlier[found[number].question] += 1
    return sorted(shuffled, key=turn.__getitem__)
