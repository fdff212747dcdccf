"""What to show of an image that holds more than a screen can: its grey window, and which of its frames."""

import math
from dataclasses import dataclass
from typing import Any

from titrate import InputError


@dataclass(frozen=True)
class ImageView:
    """What to show of an image that holds more than a screen can.

    Attributes
    ----------
    window
        Centre and width of the grey values shown, in the modality's unit (Hounsfield units for CT), for DICOM; None
        for the file's own window.
    frame
        Counted from 0, for DICOM, TIFF and WebP; None for the middle one, and of a slide for a page that is tissue (see
        `indexing.images.tiff_pages`).

    Raises
    ------
    InputError
        If the width is below 1 or the frame is negative.
    """

    window: tuple[float, float] | None = None
    frame: int | None = None

    def __post_init__(self) -> None:
        if self.window is not None and not (all(map(math.isfinite, self.window)) and self.window[1] >= 1):
            raise InputError("a window is a centre and a width of at least 1, such as 40 400")
        if self.frame is not None and self.frame < 0:
            raise InputError("frames are counted from 0; choose 0 or more")

    @classmethod
    def parse(cls, value: Any) -> "ImageView":
        """From the JSON object that `dataclasses.asdict` makes of a view.

        Raises
        ------
        InputError
            If it is malformed.
        """
        try:
            window = value["window"]
            return cls(None if window is None else (float(window[0]), float(window[1])), value["frame"])
        except (TypeError, ValueError, LookupError) as error:
            raise InputError("the index's window or frame is malformed; build the index again") from error

    def choose(self, frames: int, name: str) -> int:
        """Index of the frame to show, of so many.

        Raises
        ------
        InputError
            If the wanted frame is not there.
        """
        if self.frame is None:
            return frames // 2
        if self.frame >= frames:
            have = "1 frame" if frames == 1 else f"{frames:,} frames"
            raise InputError(f"image {name} has {have}; frame {self.frame} (counted from 0) is not there")
        return self.frame


AS_THE_FILE_SAYS = ImageView()
