"""Settings: which are refused, and what they come to."""

from dataclasses import replace
from math import nan
from typing import Any

import pytest

from preference import TrainingSettings
from titrate import InputError


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"epochs": 0.0}, "epochs is 0.0; give a number above 0"),
        ({"learning_rate": nan}, "learning_rate is nan"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"losses": (("sigmoid", 0.0),)}, "the factor of sigmoid is 0.0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"losses": ()}, "losses are none; give at least one of sigmoid, ipo"),
        ({"losses": (("sft", 1.0),)}, "losses are sft; give at least one of"),
        ({"losses": (("dpo", 1.0),)}, "losses are dpo; give"),
        ({"losses": (("ipo", 1.0), ("ipo", 2.0))}, "each once"),
        ({"losses": (("robust", 1.0),)}, "label_smoothing is 0.0; the robust loss"),
        ({"losses": (("robust", 1.0),), "label_smoothing": 0.5}, "above 0 and under 0.5"),
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1; the robust loss, and no other"),
        ({"hold_out": 1.0}, "hold_out is 1.0; give a share"),
    ],
)
def test_senseless_settings_are_refused(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainingSettings(**setting)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("pairs_", "changes", "processes", "steps"),
    [
        (10, {"epochs": 3.0, "batch_size": 4}, 1, 9),
        (10, {"epochs": 0.5, "batch_size": 4}, 1, 2),
        (1, {"epochs": 0.1}, 1, 1),
        (10, {"epochs": 3.0, "batch_size": 1, "accumulate": 4}, 1, 9),
        (10, {"epochs": 1.0, "batch_size": 2}, 2, 3),
        (10, {"epochs": 1.0, "batch_size": 2, "accumulate": 2}, 2, 2),
    ],
)
def test_number_of_steps(pairs_: int, changes: dict[str, Any], processes: int, steps: int) -> None:
    settings = TrainingSettings(**changes)
    assert settings.steps(pairs_, processes) == steps
    assert replace(settings, max_steps=1).steps(pairs_, processes) == 1


def test_the_learning_rate_is_smaller_for_all_weights() -> None:
    assert TrainingSettings().rate == 1e-4
    assert TrainingSettings(full=True).rate == 1e-6
    assert TrainingSettings(full=True, learning_rate=3e-5).rate == 3e-5


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True])
def test_seeds_have_32_bits(seed: Any) -> None:
    with pytest.raises(InputError, match="give a whole number from 0 to 4,294,967,295"):
        TrainingSettings(seed=seed)
    assert TrainingSettings(seed=2**32 - 1).seed == 2**32 - 1
