"""The parts of tuning, by hand: recall, who is held out, what is read of a report, which layers are adapted."""

import random
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from indexing import Record, TuningSettings
from indexing.tuning.adapters import Adapters, adapted
from indexing.tuning.pairs import Pair, hold_out
from indexing.tuning.recall import recall_at
from indexing.tuning.reports import random_part, report_key
from titrate import InputError


def test_recall_by_hand() -> None:
    """Six reports. The first image's own is nearest, the second's is third, the third's ties with all others: last."""
    cosines = np.array(
        [[0.9, 0.1, 0.0, 0.0, 0.0, 0.0], [0.8, 0.5, 0.9, 0.0, 0.0, 0.0], [0.2] * 6], np.float32
    )  # fmt: skip
    recall = recall_at(cosines, np.array([0, 1, 2]))
    assert recall.at == pytest.approx({1: 1 / 3, 5: 2 / 3}), "all six are within ten"
    assert recall.mean == pytest.approx(1 / 2)
    assert str(recall) == "recall@1 0.333, recall@5 0.667"


def pairs(count: int, views: int = 2) -> list[Pair]:
    """Patients with several records each."""
    return [
        Pair(Record(f"{unit} {view}", "x.png", "r", patient=str(unit)), f"{unit} {view}", str(unit))
        for unit in range(count)
        for view in range(views)
    ]


def test_patients_are_held_out_whole_and_the_same_ones_whatever_else_is_there() -> None:
    kept, held = hold_out(pairs(20), 0.25)
    assert (len(kept), len(held)) == (30, 10)
    assert not {pair.unit for pair in kept} & {pair.unit for pair in held}
    again = hold_out(list(reversed(pairs(20))), 0.25)[1]
    assert {pair.unit for pair in again} == {pair.unit for pair in held}
    more = {pair.unit for pair in hold_out(pairs(40), 0.25)[1]}
    assert {unit for unit in more if int(unit) < 20} <= {pair.unit for pair in hold_out(pairs(20), 0.6)[1]}
    many = hold_out([*pairs(3, views=600), *pairs(40, views=1)], 0.9)[1]
    assert 0 < len({pair.unit for pair in many}) < 36 and (len(many) <= 1000 or len({pair.unit for pair in many}) == 1)
    assert len(hold_out(pairs(3), 0.01)[1]) == 2 and len(hold_out(pairs(3), 0.99)[0]) == 2


def test_too_few_to_hold_anybody_out() -> None:
    with pytest.raises(InputError, match=r"all 4 records are of one patient.*more patients"):
        hold_out(pairs(1, views=4), 0.5)
    with pytest.raises(InputError, match="one record is left to train on"):
        hold_out(pairs(2, views=1), 0.5)


def test_reports_that_say_the_same() -> None:
    same = [
        "A 71-year-old man.  No EFFUSION.",
        "an 8-year-old girl. No effusion.",
        "a 3 month old boy. no effusion.",
    ]
    assert len({report_key(report) for report in same}) == 1
    assert report_key("Female pelvis.") != report_key("Male pelvis.")
    assert report_key("19 red cells.") != report_key("20 red cells.")


def test_long_reports_are_read_from_their_beginning_or_a_sentence_on() -> None:
    generator = random.Random(0)
    parts = [random_part("One: no. Two! Three? 四。五。", generator) for _ in range(400)]
    expected = {"One: no. Two! Three? 四。五。", "Two! Three? 四。 五。", "Three? 四。 五。", "四。 五。", "五。"}
    assert set(parts) == expected
    assert 0.5 < sum(part.startswith("One") for part in parts) / 400 < 0.7, "1 in 2, and 1 in 5 of the others"
    assert random_part("no end", generator) == "no end" and random_part("", generator) == ""


def test_which_layers_take_an_adapter() -> None:
    """An attention reads its parts' weights itself, so that an adapter beside one of them would never be asked."""
    model = nn.ModuleDict(
        {
            "attn": nn.MultiheadAttention(8, 2),
            "mlp": nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)),
            "conv": nn.Conv2d(4, 4, 3),
            "depthwise": nn.Conv2d(4, 4, 3, groups=4),
            "words": nn.Embedding(5, 8),
        }
    )
    assert adapted(model) == ["attn", "mlp.0", "conv"]
    with pytest.raises(InputError, match=r"no layer of this encoder takes an adapter.*--full"):
        Adapters(nn.LayerNorm(3))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1}, "batch_size must be at least 2"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"crop": 0.0}, "crop is 0.0"),
        ({"hold_out": 1.0}, "hold_out is 1.0"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_out_of_range(setting: dict[str, float], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        TuningSettings(**setting)  # type: ignore[arg-type]
