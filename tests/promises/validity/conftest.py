"""What these simulations leave out."""

import pytest


@pytest.fixture(autouse=True)
def without_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the advice how many more patients would do: a simulation in each of the hundreds of calibrations here.

    It is no part of what is promised, and tested by itself.
    """
    monkeypatch.setattr("calibration.calibrate.further_units", lambda *_: None)
