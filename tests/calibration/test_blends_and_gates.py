"""Blends and gates, by hand: two options, K = 2, and what three numbers of contexts say."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import FINGERPRINTS, Choices, OutcomeTable, Policy, PolicyGrid, answers_of, certify
from titrate import InputError

# Probabilities of "yes" with 0, 1 and 2 contexts, and whether "yes" is right.
SAID = {
    "sure alone, misled": ([0.9, 0.4, 0.2], True),
    "unsure alone, helped": ([0.45, 0.6, 0.95], True),
    "misled twice": ([0.55, 0.3, 0.1], True),
}


def table() -> OutcomeTable:
    yes = np.array([said for said, _ in SAID.values()])
    chances = np.stack([yes, 1 - yes], axis=-1)  # [questions, K + 1, options]
    losses = np.array([[float(not right), float(right)] for _, right in SAID.values()])
    best = chances.argmax(axis=-1)
    return OutcomeTable(
        question_ids=list(SAID),
        units=["p1", "p2", "p3"],
        domains=["radiology"] * 3,
        losses=np.take_along_axis(losses, best, axis=1),
        confidences=chances.max(axis=-1),
        answers=[["yes" if number == 0 else "no" for number in row] for row in best],
        choices=[Choices(("yes", "no"), np.log(c), lost) for c, lost in zip(chances, losses, strict=True)],
    )


@pytest.mark.parametrize(
    ("policy", "answers"),
    [
        (Policy(2), ["no", "yes", "no"]),
        # (0.9 + 0.2) / 2 = 0.55, (0.45 + 0.95) / 2 = 0.7, (0.55 + 0.1) / 2 = 0.325
        (Policy(2, blend="pair"), ["yes", "yes", "no"]),
        # Mean log odds: ln 9 + ln 2/3 + ln 1/4 = 0.405 > 0; -0.2 + 0.405 + 2.94 > 0; 0.2 - 0.85 - 2.2 < 0
        (Policy(2, blend="all"), ["yes", "yes", "no"]),
        (Policy(2, gate=0.8), ["yes", "yes", "no"]),
        (Policy(2, gate=0.5), ["yes", "no", "yes"]),
        (Policy(2, blend="pair", tau=0.6), [None, "yes", "no"]),
    ],
)
def test_by_hand(policy: Policy, answers: list[str | None]) -> None:
    assert answers_of(policy, table()) == answers


def test_what_a_grid_reads_is_what_the_policies_answer() -> None:
    made, grid = table(), PolicyGrid(2, taus=(0.6,), blends=("all", "pair"), gates=(0.8, 0.5))
    assert grid.size == len(grid.policies) == 2 * (3 + 2 * 4)
    assert grid.blends == ("pair", "all")
    read = grid.read(made)
    for column, policy in enumerate(grid.policies):
        answers = answers_of(policy, made)
        assert [answer is not None for answer in answers] == read.answered[:, column].tolist()
        for answer, lost, options in zip(answers, read.losses[:, column], made.choices or [], strict=True):
            assert options is not None
            assert answer is None or lost == options.losses[options.options.index(answer)]
    gate = grid.policies.index(Policy(2, gate=0.8))
    assert read.contexts[:, gate].tolist() == [0, 2, 2], "where it was sure alone nothing was read"
    pair = grid.policies.index(Policy(2, blend="pair"))
    assert read.contexts[:, pair].tolist() == [2, 2, 2]


def test_half_of_the_contexts_and_all_of_them_are_tried() -> None:
    tried = [policy.k for policy in PolicyGrid(8, blends=("pair",)).policies if policy.blend == "pair"]
    assert tried == [4, 8]
    assert [policy.k for policy in PolicyGrid(1, gates=(0.7,)).policies if policy.gate == 0.7] == [1]
    assert PolicyGrid(0, blends=("pair", "all"), gates=(0.7,)).size == 1
    grid = PolicyGrid(4, blends=("pair",))
    near = {(grid.policies[a], grid.policies[b]) for a, b in grid.neighbours if grid.policies[b].blend == "pair"}
    two, four = Policy(2, blend="pair"), Policy(4, blend="pair")
    assert near == {(Policy(2), two), (Policy(4), four), (two, four)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blend": "some"}, "unknown blend some"),
        ({"gate": 0.0}, r"gate is 0\.0"),
        ({"gate": 1.5}, r"gate is 1\.5"),
        ({"gate": 0.7, "blend": "all"}, "exclude each other"),
        ({"gamma": 1.0, "blend": "pair"}, "exclude each other"),
    ],
)
def test_policies_that_are_none(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Policy(2, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="once at most"):
        PolicyGrid(2, blends=("pair", "pair"))
    with pytest.raises(InputError, match="above 0, at most 1"):
        PolicyGrid(2, gates=(0.0,))


def test_questions_without_options_are_refused() -> None:
    made = table()
    without = replace(made, choices=[None, *(made.choices or [])[1:]])
    for refused in (without, replace(made, choices=None)):
        with pytest.raises(InputError, match="sure alone, misled has no options"):
            PolicyGrid(2, gates=(0.8,)).read(refused)
    assert PolicyGrid(2).read(without).losses.shape == (3, 3)


def test_contradictions_and_damage_are_refused(tmp_path: Path) -> None:
    made = table()
    with pytest.raises(InputError, match="is not that of the likeliest option"):
        replace(made, losses=1 - made.losses)
    with pytest.raises(InputError, match="do not add up to 1"):
        Choices(("yes", "no"), np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(InputError, match="2 options need"):
        Choices(("yes", "no"), np.log(np.full((3, 3), 1 / 3)), np.zeros(2))
    made.save(tmp_path / "table.jsonl")
    again = OutcomeTable.load(tmp_path / "table.jsonl")
    assert again.fingerprint == made.fingerprint
    assert answers_of(Policy(2, blend="all"), again) == answers_of(Policy(2, blend="all"), made)
    joined = OutcomeTable.join([made.take([2]), made.take([0, 1])])
    assert joined.fingerprint == made.fingerprint


def test_a_blend_is_certified_and_said(tmp_path: Path) -> None:
    """Alone and with two contexts every answer is wrong half of the time; the mean of both is always right."""
    one = [0.9, 0.2, 0.2], [0.3, 0.95, 0.95]
    yes = np.array([one[row % 2] for row in range(80)])
    chances = np.stack([yes, 1 - yes], axis=-1)
    best = chances.argmax(axis=-1)
    made = OutcomeTable(
        question_ids=[f"q{row}" for row in range(80)],
        units=[f"p{row}" for row in range(80)],
        domains=["radiology"] * 80,
        losses=best.astype(np.float64),
        confidences=chances.max(axis=-1),
        answers=[["yes" if number == 0 else "no" for number in row] for row in best],
        choices=[Choices(("yes", "no"), np.log(c), np.array([0.0, 1.0])) for c in chances],
    )
    certificate = certify(
        made, alpha=0.2, delta=0.1, fingerprints=dict.fromkeys(FINGERPRINTS, "1"), blends=("pair",), gates=(0.5,)
    )
    assert certificate.policy("radiology") == Policy(1, blend="pair")
    assert certificate.sentence("radiology").startswith(
        "In radiology (images routed there and not declined; no question was), the model answers from the mean of its "
        "answers from the image alone and from the image and the report of the most similar case: with"
    )
    certificate.save(tmp_path / "certificate.json")
    again = type(certificate).load(tmp_path / "certificate.json")
    assert again == certificate
    assert math.isinf(again.policy("radiology").gate)
