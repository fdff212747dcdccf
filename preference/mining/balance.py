"""Preference pairs cut so that no answer is preferred more often than its alternative."""

import random
from collections import defaultdict
from collections.abc import Sequence

from preference.pairs import PreferencePair

Group = tuple[str, tuple[str, ...]]
"""A domain, and the answers that pairs there choose between; no answers for free text."""


def balance_pairs(
    pairs: Sequence[PreferencePair], groups: Sequence[Group], rng: random.Random, *, limit: int | None = None
) -> tuple[list[int], tuple[str, ...]]:
    """Cut every answer of a group to as many pairs as the group's rarest has.

    Parameters
    ----------
    pairs, groups
        Pairs, and the group of each. An answer of the group that no pair chooses is the rarest.
    rng
        Draws what is kept; every question's first pair before any question's second.
    limit
        Keep at most so many, in each group the same share.

    Returns
    -------
    list of int, tuple of str
        Numbers of the pairs that are kept, ascending, and a sentence for each group that lost some.
    """
    sides: dict[Group, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, (pair, group) in enumerate(zip(pairs, groups, strict=True)):
        sides[group][pair.chosen if group[1] else ""].append(number)
    fewest = {group: min(len(side[answer]) for answer in group[1] or ("",)) for group, side in sides.items()}
    whole = sum(fewest[group] * max(1, len(group[1])) for group in sides)
    share = 1.0 if limit is None or whole <= limit else limit / whole
    kept: list[int] = []
    notes = []
    for group, side in sorted(sides.items()):
        most = int(fewest[group] * share)
        for answer in sorted(side):
            kept += _spread(side[answer], pairs, rng)[:most]
        lost = sum(map(len, side.values())) - most * len(side)
        if lost:
            counts = ", ".join(f"{len(side[answer])} prefer {answer or 'free text'!r}" for answer in sorted(side))
            notes.append(f"{group[0]}: {counts}; {lost} of these were left out for balance.")
    return sorted(kept), tuple(notes)


def _spread(numbers: list[int], pairs: Sequence[PreferencePair], rng: random.Random) -> list[int]:
    """In random order, but every question's first pair before any question's second."""
    shuffled = rng.sample(numbers, len(numbers))
    earlier: dict[str | None, int] = defaultdict(int)
    turn = {}
    for number in shuffled:
        turn[number] = earlier[pairs[number].question]
        earlier[pairs[number].question] += 1
    return sorted(shuffled, key=turn.__getitem__)
