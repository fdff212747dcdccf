"""Who is held out, and when training stops."""

from dataclasses import replace

import pytest

from preference import PreferencePair
from preference.training.held_out import hold_out, out_of_patience
from preference.training.rows import TrainingRow
from titrate import InputError


def rows(pairs: list[PreferencePair], patients: list[str | None]) -> list[TrainingRow]:
    return [
        TrainingRow(replace(pairs[n % 4], id=str(n), patient=patient), "", "", "") for n, patient in enumerate(patients)
    ]


def test_who_is_held_out_is_held_out_whole(pairs: list[PreferencePair]) -> None:
    made = rows(pairs, [f"p{n % 10}" for n in range(40)])
    taught, held = hold_out(made, 0.2, seed=0)
    owners = [{row.pair.patient for row in some} for some in (taught, held)]
    assert len(owners[1]) == 2 and len(held) == 8 and not owners[0] & owners[1]
    assert [row.pair.id for row in taught] == sorted((row.pair.id for row in taught), key=int)
    assert hold_out(made, 0.2, seed=0) == (taught, held)
    assert any(hold_out(made, 0.2, seed=seed) != (taught, held) for seed in range(1, 5))
    assert hold_out(made, 0, seed=0) == (made, [])


def test_a_share_of_few_patients_is_one_and_never_all(pairs: list[PreferencePair]) -> None:
    made = rows(pairs, ["a", "a", "b"])
    assert {len({row.pair.patient for row in held}) for _, held in [hold_out(made, s, 0) for s in (0.01, 0.99)]} == {1}
    with pytest.raises(InputError, match=r"all pairs are of one patient.*--hold-out to 0"):
        hold_out(made[:2], 0.1, 0)


def test_where_nobody_is_named_an_image_is_one_patient(pairs: list[PreferencePair]) -> None:
    made = rows(pairs, [None] * 8)  # four images, two pairs each
    _, held = hold_out(made, 0.25, seed=1)
    assert len(held) == 2 and held[0].pair.image == held[1].pair.image


def test_when_patience_runs_out() -> None:
    def history(*losses: float) -> list[dict[str, float]]:
        return [{"eval_loss": loss} for loss in losses]

    assert not out_of_patience([], 1)
    assert not out_of_patience(history(0.7, 0.6, 0.61), 2)
    assert out_of_patience(history(0.7, 0.6, 0.61, 0.6), 2)
    assert not out_of_patience(history(0.7, 0.6, 0.61, 0.59), 2)
    assert out_of_patience(history(0.7, 0.8), 1)
