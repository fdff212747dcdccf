"""Weights of pairs, worked out by hand."""

from dataclasses import replace

from preference import MinedPairs, PreferencePair, weigh_pairs


def test_weights_are_relevance_over_its_kinds_mean_clipped(cornered: PreferencePair) -> None:
    kinds = ["over-reliance"] * 3 + ["copying"] * 2
    pairs = tuple(replace(cornered, id=str(n), kind=kind) for n, kind in enumerate(kinds))
    mined = MinedPairs(pairs, (0.9, 0.8, 1.0, 0.5, 1.0), {}, ())
    # Means 0.9 and 0.75: 1, 0.8889, 1.1111 and 0.6667, 1.3333, the last two clipped.
    assert [pair.weight for pair in weigh_pairs(mined)] == [1.0, 0.8889, 1.1111, 0.75, 1.25]
    # With evidence, relevance is (0.45, 0.9, 0.5) and (0.75, 1.0): means 0.6167 and 0.875.
    weights = [pair.weight for pair in weigh_pairs(mined, [0.0, 1.0, 0.0, 1.0, 1.0])]
    assert weights == [0.75, 1.25, 0.8108, 0.8571, 1.1429]
