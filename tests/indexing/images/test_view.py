"""Windows and frames that cannot be shown."""

import pytest

from indexing.images.view import ImageView
from titrate import InputError


@pytest.mark.parametrize("window", [(0.0, 0.5), (float("nan"), 5.0), (0.0, float("inf"))])
def test_bad_windows_and_frames_are_refused(window: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="centre and a width"):
        ImageView(window=window)
    with pytest.raises(InputError, match="counted from 0"):
        ImageView(frame=-1)


@pytest.mark.parametrize("value", [None, {}, {"window": [1.0]}, {"window": "ab", "frame": None}, {"window": None}])
def test_malformed_views_are_refused(value: object) -> None:
    with pytest.raises(InputError, match="the index's window or frame is malformed; build the index again"):
        ImageView.parse(value)
    assert ImageView.parse({"window": [40, 400], "frame": 3}) == ImageView((40.0, 400.0), 3)
