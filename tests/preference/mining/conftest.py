"""A pair about an image whose evidence lies in one corner."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preference import Noise, PreferencePair


@pytest.fixture
def cornered(tmp_path: Path) -> PreferencePair:
    """Give a pair on a black image whose lower right sixteenth is white."""
    pixels = np.zeros((64, 64, 3), dtype=np.uint8)
    pixels[48:, 48:] = 255
    Image.fromarray(pixels).save(tmp_path / "corner.png")
    return PreferencePair("a", tmp_path / "corner.png", "Is it bright?", "yes", "yes", rejected_noise=Noise())
