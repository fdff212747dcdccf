"""Reciprocal-rank fusion on rankings worked by hand."""

from rag.retrieval.fusion import fuse_ranks


def test_worked_by_hand() -> None:
    """b: 1/62 + 1/61 = 0.03252; c: 1/63 + 1/62 = 0.03200; a: 1/61 = 0.01639; d: 1/63 = 0.01587."""
    assert fuse_ranks([["a", "b", "c"], ["b", "c", "d"]]) == ["b", "c", "a", "d"]


def test_low_in_three_beats_first_in_one() -> None:
    """The z is tenth thrice, 3/70 = 0.0429, above the firsts' 1/61 = 0.0164."""
    rankings = [[f"{name}{rank}" for rank in range(9)] + ["z"] for name in "abc"]
    assert fuse_ranks(rankings)[:2] == ["z", "a0"]


def test_equal_scores_go_by_the_best_rank_and_then_by_the_earlier_ranking() -> None:
    assert fuse_ranks([["a"], ["b"]]) == ["a", "b"]
    assert fuse_ranks([["a", "b"], ["b", "a"]]) == ["a", "b"]
    # m at ranks 1, 2, 3 and n at 2, 3, 1: the same three fractions, which floats would not add up alike.
    assert fuse_ranks([["m", "n", "x"], ["y", "m", "n"], ["n", "z", "m"]])[:2] == ["m", "n"]
    assert fuse_ranks([["x", "m", "n"], ["n", "y", "m"], ["m", "n", "z"]])[:2] == ["n", "m"]


def test_nothing_to_fuse() -> None:
    assert fuse_ranks([]) == []
    assert fuse_ranks([[], ["a"], []]) == ["a"]
