"""Mining: preference pairs made of questions that show a fault (docs/methods.md, section 7)."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from indexing import ImageView, load_image
from preference.mining.balance import Group, balance_pairs
from preference.mining.candidates import DEFAULT_KINDS, MINED_KINDS, Candidate, find_candidates
from preference.noise import ImageNoise, Noise
from preference.pairs import ANCHOR, COPYING, PreferencePair
from rag import Outcomes
from titrate import InputError

_FREQUENT_KINDS = (COPYING, ANCHOR)
"""Kinds that most questions show: unless they are cut, their pairs drown those of the other kinds."""


@dataclass(frozen=True)
class MinedPairs:
    """Preference pairs, and what became of the rest.

    Attributes
    ----------
    pairs
        In the order of kinds, then of the outcome table, then of k.
    confidences
        One for each pair, in [0, 1]: how sure the model was of the fault. For over-reliance and under-use, the
        probability of the wrong answer that it gave; for copying, the probability of the answer about the noised image,
        of which it should not have been so sure; for anchors, the probability of all answers but the right one.
    found
        How many pairs of each kind there were, by the kind's name, before some were left out for balance or by a limit.
    notes
        One sentence for each reason why pairs were left out, or why there are none of a kind.
    """

    pairs: tuple[PreferencePair, ...]
    confidences: tuple[float, ...]
    found: dict[str, int]
    notes: tuple[str, ...]


def mine_pairs(
    outcomes: Outcomes,
    *,
    kinds: Sequence[str] = DEFAULT_KINDS,
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
        The answers to the questions of the ``prefer`` split, with every number of contexts. An answer counts as right
        if its loss is below one half.
    kinds
        The kinds of pairs to make. Whatever their order here, they are mined in the order of `MINED_KINDS`.

        ``"over-reliance"``: right without contexts, wrong with k of them; the answer given without contexts is
        preferred to the one given with them.
        ``"under-use"``: wrong without contexts, right with k of them; the answer given with contexts is preferred.
        ``"copying"``: right with k contexts although the image was noised, so that the answer can only come from the
        contexts; that answer is preferred as an answer about the image to the same answer about the noised image.
        ``"anchor"``: right without contexts, and asked without contexts; that answer is preferred to one that contexts
        made the model give or, if they never misled it, to another of the options. Where there is neither, as for
        most free text, there is no anchor.
    noised
        The answers to the same questions, with the same contexts, about noised images; needed for ``"copying"``.
    noise
        How those images were noised; needed for ``"copying"``, whose rejected images get the same noise.
    per_question
        The largest number of pairs of a question and kind. Each has another k, drawn from all k that show the fault: a
        model that is trained on one k only forgets how to answer at others.
    per_kind
        The largest number of pairs of a kind. By default only ``"copying"`` and ``"anchor"`` are cut, to the number
        of pairs of the largest kind mined before them, if there is any: most questions show these two kinds, and their
        pairs would drown the others.
    balance
        In each kind and domain, keep as many pairs that choose one option over another as the other way round. Without
        it a model can lower its loss by always giving the answer that is chosen more often.
    view
        How the images were decoded when the questions were answered; by default as the image files say.
    seed
        Decides everything that is drawn: which k of a question and which pairs are kept, and what anchors reject.

    Raises
    ------
    InputError
        If a question is of the ``calibrate`` or ``test`` split, a kind is unknown, copying is asked for without noised
        outcomes of the same questions and their noise, or no pair is found or left.
    """
    check_mining_settings(kinds, per_question, per_kind)
    if COPYING in kinds and (noised is None or noise is None):
        raise InputError("pairs of copying need the outcomes with noised images, and how these were noised")
    found: dict[str, int] = {}
    pairs: list[PreferencePair] = []
    confidences: list[float] = []
    notes: list[str] = []
    most = 0
    for kind in (kind for kind in MINED_KINDS if kind in kinds):
        rng = random.Random(f"{seed} {kind}")
        candidates = list(_draw(find_candidates(kind, outcomes, noised, rng), per_question, rng))
        found[kind] = len(candidates)
        if not candidates:
            notes.append(f"{kind}: no question shows it.")
            continue
        made = [_make_pair(kind, candidate, outcomes) for candidate in candidates]
        limit = (most or None) if kind in _FREQUENT_KINDS and per_kind is None else per_kind
        groups = [_group(candidate, outcomes, balance=balance) for candidate in candidates]
        kept, left_out = balance_pairs(made, groups, rng, limit=limit)
        most = max(most, len(kept))
        pairs += [_with_own_noise(made[number], noise, view) if kind == COPYING else made[number] for number in kept]
        confidences += [candidates[number].confidence for number in kept]
        notes += [f"{kind}, {note}" for note in left_out]
    if not pairs:
        raise InputError(
            f"{' '.join(notes)} No pair is left; mine more questions, or leave balancing out (--no-balance) and risk a "
            "model that always gives one answer"
        )
    return MinedPairs(tuple(pairs), tuple(confidences), found, tuple(notes))


def check_mining_settings(kinds: Sequence[str], per_question: int, per_kind: int | None) -> None:
    """Refuse settings of `mine_pairs` that can be refused before any question is answered.

    Raises
    ------
    InputError
        If there is no kind or an unknown one, ``per_question`` is below 1, or ``per_kind`` is below 2.
    """
    if per_question < 1 or (per_kind is not None and per_kind < 2):
        raise InputError(
            f"per_question is {per_question} and per_kind {per_kind}; per_question must be at least 1 and per_kind, "
            "if it is given, at least 2"
        )
    unknown = sorted(set(kinds) - set(MINED_KINDS))
    if unknown or not kinds:
        raise InputError(f"kinds are {', '.join(kinds) or 'none'}; give some of {', '.join(MINED_KINDS)}")


def _draw(candidates: Iterator[list[Candidate]], per_question: int, rng: random.Random) -> Iterator[Candidate]:
    """At most so many candidates of each question, by ascending k."""
    for same_question in candidates:
        drawn = rng.sample(same_question, min(per_question, len(same_question)))
        yield from sorted(drawn, key=lambda candidate: candidate.k)


def _make_pair(kind: str, candidate: Candidate, outcomes: Outcomes) -> PreferencePair:
    question, matches = outcomes.questions[candidate.row], outcomes.matches[candidate.row]
    reports = [match.record.report for match in matches[: candidate.k]]
    try:
        return PreferencePair(
            id=f"{question.id}@{candidate.k}/{kind}",
            image=question.image,
            prompt=outcomes.prompt.render(question.text, question.options, reports),
            chosen=candidate.chosen,
            rejected=candidate.rejected,
            kind=kind,
            # A placeholder: the image is only read for its own noise once the pair is known to be kept.
            rejected_noise=Noise() if kind == COPYING else None,
            k=candidate.k,
            question=question.id,
            domain=outcomes.table.domains[candidate.row],
            patient=question.patient,
            study=question.study,
            split=question.split,
        )
    except InputError as error:
        raise InputError(f"question {question.id}: {error}") from error


def _with_own_noise(pair: PreferencePair, noise: ImageNoise | None, view: ImageView | None) -> PreferencePair:
    image = load_image(pair.image, view or ImageView())
    return replace(pair, rejected_noise=(noise or ImageNoise()).for_image(image))


def _group(candidate: Candidate, outcomes: Outcomes, *, balance: bool) -> Group:
    """What a pair is balanced within: its domain and its two answers; where these are the same, all of the options."""
    domain, options = outcomes.table.domains[candidate.row], outcomes.questions[candidate.row].options
    if options is None or not balance:
        return domain, ()
    answers = {candidate.chosen, candidate.rejected}
    return domain, tuple(sorted(answers if len(answers) > 1 else options))
