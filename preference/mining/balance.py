"""Balancing: preference pairs are left out until no answer is preferred more often than its alternative."""

import random
from collections import defaultdict
from collections.abc import Sequence

from preference.pairs import PreferencePair

Group = tuple[str, tuple[str, ...]]
"""A domain, and the answers between which its pairs choose; no answers where pairs are of free text."""


def balance_pairs(
    pairs: Sequence[PreferencePair], groups: Sequence[Group], rng: random.Random, *, limit: int | None = None
) -> tuple[list[int], tuple[str, ...]]:
    """Keep as many pairs of every answer as the group's rarest answer has.

    Parameters
    ----------
    pairs
        Pairs to choose from.
    groups
        The group of each pair. An answer of a group that none of its pairs chooses is the rarest, with no pairs, so
        that the whole group is left out.
    rng
        Draws which pairs are kept. A question's second pair is kept only once every question's first pair is.
    limit
        The largest number of pairs to keep in all; every group then keeps the same share of its pairs.

    Returns
    -------
    list of int, tuple of str
        Positions in ``pairs`` of those that are kept, ascending, and a sentence for each group that lost some.
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
    """Put pairs in a random order, in which every question's first pair comes before any question's second."""
    shuffled = rng.sample(numbers, len(numbers))
    earlier: dict[str | None, int] = defaultdict(int)
    turn = {}
    for number in shuffled:
        turn[number] = earlier[pairs[number].question]
        earlier[pairs[number].question] += 1
    return sorted(shuffled, key=turn.__getitem__)
