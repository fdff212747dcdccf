"""Mining: answers that image and contexts pulled apart become preference pairs (METHODS, section 7).

Three kinds are those of MMed-RAG (arXiv 2410.13085); over-reliance alone is RULE's (arXiv 2407.05131). The fourth, the
anchor, is ours: pairs of over-reliance all have contexts, and a model that reads nothing else in training can lower
their loss by changing what it says whenever there are contexts, whatever they say. Anchors hold what it says alone.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from indexing import ImageView, load_image
from preference.mining.balance import Group, balance_pairs
from preference.mining.reliance import right_answers, right_despite_noise
from preference.noise import ImageNoise, Noise
from preference.pairs import ANCHOR, COPYING, OVER_RELIANCE, UNDER_USE, PreferencePair
from rag import Outcomes, PromptTemplate
from titrate import InputError

MINED_KINDS = (OVER_RELIANCE, UNDER_USE, COPYING, ANCHOR)
_CUT = (COPYING, ANCHOR)
"""Kinds that many questions show, whose pairs would drown the others."""


@dataclass(frozen=True)
class MinedPairs:
    """Preference pairs, and what became of the rest.

    Attributes
    ----------
    pairs
        In the order of kinds, then of the outcome table, then of k.
    confidences
        Of each pair: how sure the model was of the fault, the probability of the answer that it should not have given,
        or, for copying, not so readily; for anchors, the probability of all answers but the right one.
    found
        How many pairs of each kind there were before some were left out.
    notes
        One sentence for each reason to leave out pairs, or to have none.
    """

    pairs: tuple[PreferencePair, ...]
    confidences: tuple[float, ...]
    found: dict[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Candidate:
    """One number of contexts at which a question shows a kind, with how sure the model was of the fault."""

    row: int
    k: int
    chosen: str
    rejected: str
    confidence: float


def mine_pairs(
    outcomes: Outcomes,
    prompt: PromptTemplate,
    *,
    kinds: Sequence[str] = (OVER_RELIANCE, ANCHOR),
    noised: Outcomes | None = None,
    noise: ImageNoise | None = None,
    per_question: int = 2,
    per_kind: int | None = None,
    balance: bool = True,
    view: ImageView | None = None,
    seed: int = 0,
) -> MinedPairs:
    """Find where answers went wrong, or were right for the wrong reason, and make preference pairs of that.

    Parameters
    ----------
    outcomes
        Of the ``prefer`` split. An answer counts as right as `right_answers` has it.
    prompt
        The template that the outcomes were scored with.
    kinds
        Which kinds to make, in that order. ``"over-reliance"``: right alone, wrong with k contexts; the answer given
        alone is preferred to the one given with contexts. ``"under-use"``: wrong alone, right with k contexts, and the
        other way round. ``"copying"``: right with k contexts although the image was noised; the answer is preferred
        where it is given to the image rather than to the noised image. ``"anchor"``: right alone; that answer is
        preferred to another without contexts: to one that contexts made the model give, else to another option. Where
        there is neither, as for most free text, there is no anchor.
    noised
        Outcomes of the same questions with noised images, for ``"copying"``.
    noise
        What noise copying's rejected images get.
    per_question
        At most so many pairs a question and kind, each with another k, drawn from all k that show the fault. (A model
        tuned on one k only forgets how to answer at others.)
    per_kind
        At most so many pairs a kind. By default ``"copying"`` and ``"anchor"`` are cut to as many as the largest kind
        before them has, where there is one: most questions show them, and their pairs would drown the others.
    balance
        In each kind and domain, keep as many pairs that choose one option over another as the other way round. Without
        it a model can lower its loss by always giving the answer that is chosen more often.
    view
        How the outcomes' images were decoded; by default as the files say.
    seed
        Of all draws.

    Raises
    ------
    InputError
        If a question is of the ``calibrate`` or ``test`` split, a kind is unknown or lacks its noised outcomes, or no
        pair is found or left.
    """
    if per_question < 1 or (per_kind is not None and per_kind < 2):
        raise InputError(f"per_question is {per_question} and per_kind {per_kind}; give at least 1, and at least 2")
    unknown = sorted(set(kinds) - set(MINED_KINDS))
    if unknown or not kinds:
        raise InputError(f"unknown kinds {', '.join(unknown)}; they can be {', '.join(MINED_KINDS)}")
    if COPYING in kinds and (noised is None or noise is None):
        raise InputError("pairs of copying need the outcomes with noised images, and what noise they got")
    found: dict[str, int] = {}
    pairs: list[PreferencePair] = []
    confidences: list[float] = []
    notes: list[str] = []
    most = 0
    for kind in (kind for kind in MINED_KINDS if kind in kinds):
        rng = random.Random(f"{seed} {kind}")
        candidates = list(_draw(_candidates(kind, outcomes, noised, rng), per_question, rng))
        found[kind] = len(candidates)
        if not candidates:
            notes.append(f"{kind}: no question shows it.")
            continue
        made = [_pair(kind, candidate, outcomes, prompt) for candidate in candidates]
        limit = (most or None) if kind in _CUT and per_kind is None else per_kind
        groups = [_group(candidate, outcomes, balance=balance) for candidate in candidates]
        kept, left_out = balance_pairs(made, groups, rng, limit=limit)
        most = max(most, len(kept))
        pairs += [_with_noise(made[number], noise, view) if kind == COPYING else made[number] for number in kept]
        confidences += [candidates[number].confidence for number in kept]
        notes += [f"{kind}, {note}" for note in left_out]
    if not pairs:
        raise InputError(
            f"{' '.join(notes)} No pair is left; mine more questions, or leave balancing out (--no-balance) and risk a "
            "model that always gives one answer"
        )
    return MinedPairs(tuple(pairs), tuple(confidences), found, tuple(notes))


def _candidates(
    kind: str, outcomes: Outcomes, noised: Outcomes | None, rng: random.Random
) -> Iterator[list[_Candidate]]:
    """What each question shows of a kind, if anything."""
    table, right = outcomes.table, right_answers(outcomes.table)
    blind = outcomes.table if noised is None else noised.table
    right_blind = right if noised is None else right_despite_noise(outcomes, noised)
    for row, matches in enumerate(outcomes.matches):
        answers, sure = table.answers[row], table.confidences[row]
        # Where fewer than K cases were found, the larger k repeat the same prompt.
        reads = range(1, min(table.max_k, len(matches)) + 1)
        if kind == OVER_RELIANCE:
            misled = [k for k in reads if right[row, 0] and not right[row, k]]
            yield [_Candidate(row, k, answers[0], answers[k], float(sure[k])) for k in misled]
        elif kind == UNDER_USE:
            helped = [k for k in reads if not right[row, 0] and right[row, k]]
            yield [_Candidate(row, k, answers[k], answers[0], float(sure[0])) for k in helped]
        elif kind == ANCHOR:
            others = [answers[k] for k in reads if not right[row, k]]
            others = others or [option for option in outcomes.questions[row].options or () if option != answers[0]]
            if right[row, 0] and others:
                yield [_Candidate(row, 0, answers[0], rng.choice(others), 1 - float(sure[0]))]
        else:
            copied = [k for k in reads if right_blind[row, k]]
            said, surely = blind.answers[row], blind.confidences[row]
            yield [_Candidate(row, k, said[k], said[k], float(surely[k])) for k in copied]


def _draw(found: Iterator[list[_Candidate]], per_question: int, rng: random.Random) -> Iterator[_Candidate]:
    for candidates in found:
        yield from sorted(rng.sample(candidates, min(per_question, len(candidates))), key=lambda candidate: candidate.k)


def _pair(kind: str, candidate: _Candidate, outcomes: Outcomes, prompt: PromptTemplate) -> PreferencePair:
    question, matches = outcomes.questions[candidate.row], outcomes.matches[candidate.row]
    reports = [match.record.report for match in matches[: candidate.k]]
    try:
        return PreferencePair(
            id=f"{question.id}@{candidate.k}/{kind}",
            image=question.image,
            prompt=prompt.render(question.text, question.options, reports),
            chosen=candidate.chosen,
            rejected=candidate.rejected,
            kind=kind,
            rejected_noise=Noise() if kind == COPYING else None,  # its own is drawn once it is known to stay
            k=candidate.k,
            question=question.id,
            domain=outcomes.table.domains[candidate.row],
            patient=question.patient,
            split=question.split,
        )
    except InputError as error:
        raise InputError(f"question {question.id}: {error}") from error


def _with_noise(pair: PreferencePair, noise: ImageNoise | None, view: ImageView | None) -> PreferencePair:
    own = (noise or ImageNoise()).for_image(load_image(pair.image, view or ImageView()))
    return replace(pair, rejected_noise=own)


def _group(candidate: _Candidate, outcomes: Outcomes, *, balance: bool) -> Group:
    """What a pair is balanced within: its domain and two answers; of one answer twice, all that the question allows."""
    domain, options = outcomes.table.domains[candidate.row], outcomes.questions[candidate.row].options
    if options is None or not balance:
        return domain, ()
    return domain, tuple(
        sorted({candidate.chosen, candidate.rejected} if candidate.chosen != candidate.rejected else options)
    )
